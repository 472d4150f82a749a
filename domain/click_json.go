package domain

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// AppendJSON appends what json.Marshal makes of the click, in a fifth of its time: redirects are
// counted in microseconds, and this was a tenth of ours.
func (c *Click) AppendJSON(dst []byte) []byte {
	w := clickWriter{dst}
	w.id(`{"id":`, c.ID)
	w.id(`,"tenantId":`, c.TenantID)
	w.time(`,"clickedAt":`, c.ClickedAt)
	w.id(`,"linkId":`, c.LinkID)
	w.id(`,"offerId":`, c.OfferID)
	w.dst = strconv.AppendInt(append(w.dst, `,"offerVersion":`...), c.OfferVersion, 10)
	w.id(`,"advertiserId":`, c.AdvertiserID)
	w.idIf(`,"partnerId":`, c.PartnerID)
	w.idIf(`,"placementId":`, c.PlacementID)
	if c.CreativeOrder != nil {
		w.dst = strconv.AppendInt(append(w.dst, `,"creativeOrder":`...), int64(*c.CreativeOrder), 10)
	}
	if c.PubMemberID != nil {
		w.string(append(w.dst, `,"pubMemberId":`...), *c.PubMemberID)
	}
	w.textIf(`,"pubClickId":`, c.PubClickID)
	w.textIf(`,"pubSessionId":`, c.PubSessionID)
	w.textIf(`,"pubGender":`, c.PubGender)
	w.textIf(`,"pubAge":`, c.PubAge)
	w.textIf(`,"pubGeoCountry":`, c.PubGeoCountry)
	w.textIf(`,"pubGeoState":`, c.PubGeoState)
	w.textIf(`,"pubPostalCode":`, c.PubPostalCode)
	w.textIf(`,"pubDevice":`, c.PubDevice)
	separator := `,"pubSubs":[`
	for _, sub := range c.PubSubs {
		w.string(append(w.dst, separator...), sub)
		separator = `,`
	}
	if len(c.PubSubs) > 0 {
		w.dst = append(w.dst, ']')
	}
	w.textIf(`,"viewId":`, c.ViewID)
	w.textIf(`,"source":`, c.Source)
	w.idIf(`,"advertiserTenantId":`, c.AdvertiserTenantID)
	w.textIf(`,"memberKey":`, c.MemberKey)
	w.textIf(`,"ip":`, c.IP)
	w.textIf(`,"userAgent":`, c.UserAgent)
	w.textIf(`,"referer":`, c.Referer)
	w.textIf(`,"country":`, c.Country)
	w.textIf(`,"device":`, c.Device)
	w.textIf(`,"os":`, c.OS)
	w.textIf(`,"browser":`, c.Browser)
	w.textIf(`,"refusedReason":`, string(c.RefusedReason))
	if c.IsTest {
		w.dst = append(w.dst, `,"isTest":true`...)
	}
	w.time(`,"sessionEndsAt":`, c.SessionEndsAt)
	return append(w.dst, '}')
}

// clickWriter appends members, each with its name and what separates it from the one before.
type clickWriter struct{ dst []byte }

func (w *clickWriter) id(name string, id uuid.UUID) {
	text, _ := id.MarshalText() // never fails
	w.dst = append(append(append(append(w.dst, name...), '"'), text...), '"')
}

func (w *clickWriter) idIf(name string, id *uuid.UUID) {
	if id != nil {
		w.id(name, *id)
	}
}

func (w *clickWriter) time(name string, at time.Time) {
	w.dst = append(at.AppendFormat(append(append(w.dst, name...), '"'), time.RFC3339Nano), '"')
}

func (w *clickWriter) textIf(name, text string) {
	if text != "" {
		w.string(append(w.dst, name...), text)
	}
}

// string appends text to dst, as it is where nothing in it needs escaping.
func (w *clickWriter) string(dst []byte, text string) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			escaped, _ := json.Marshal(text) // never fails for a string
			w.dst = append(dst, escaped...)
			return
		}
	}
	w.dst = append(append(append(dst, '"'), text...), '"')
}
