package tracking

import (
	"context"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// ClickTracked is GET /c/{linkId}: the click is on disk before the member is sent on.
func (t *Edge) ClickTracked(c *gin.Context) {
	id, ok := domain.ParseSentID(c.Param("linkId"))
	if !ok {
		deadEnd(c)
		return
	}
	found, err := t.offers.ByLink(c.Request.Context(), c, id)
	t.click(c, found, err)
}

// LinkProbed is HEAD on a link: somebody asks whether it is there. Nobody visits, so that no click
// is made, and nothing says where the link leads.
func (t *Edge) LinkProbed(c *gin.Context) {
	id, ok := domain.ParseSentID(c.Param("linkId"))
	err := lookup.ErrNotFound
	if ok {
		_, err = t.offers.ByLink(c.Request.Context(), c, id)
	}
	c.Header("Cache-Control", "no-store")
	switch {
	case err == nil:
		c.Status(http.StatusOK)
	case errors.Is(err, lookup.ErrTooMany):
		c.Status(http.StatusServiceUnavailable)
	default:
		c.Status(http.StatusNotFound)
	}
}

// click redirects one member.
func (t *Edge) click(c *gin.Context, to offercache.Target, err error) {
	switch {
	case errors.Is(err, lookup.ErrNotFound):
		deadEnd(c)
		return
	case err != nil:
		if !errors.Is(err, lookup.ErrTooMany) {
			clicksUnavailable.Inc()
			slog.WarnContext(c.Request.Context(), "cannot look up link", "error", err)
		}
		tryAgain(c, "Please try again.")
		return
	}
	if isPrefetch(c.Request) {
		// No click before the member clicks: browsers take a 503 for "not yet" and ask again (rule 46).
		c.Header("Vary", "Sec-Purpose, Purpose, X-Moz, X-Purpose")
		c.Header("Retry-After", retrySeconds)
		c.Writer.Header()["Cache-Control"] = noStore
		c.Status(http.StatusServiceUnavailable)
		return
	}
	params, tooLong := ReadClickParams(c.Request.URL.RawQuery)
	if tooLong != "" {
		// Cut short, it would name another member or click than the publisher's.
		c.Header("Cache-Control", "no-store")
		c.String(http.StatusBadRequest, "The parameter %s is too long.", tooLong)
		return
	}
	if to.View != nil {
		params.fill(to.View)
	}
	t.record(c, to, &params)
}

// clickWait bounds how long a member waits for the disk; a stream that is that far behind is full.
const clickWait = 5 * time.Second

// record puts the click on disk, then sends the member on, or along the fallback chain with the
// reason recorded (rule 46).
func (t *Edge) record(c *gin.Context, to offercache.Target, params *ClickParams) {
	at := t.now()
	t.traffic.count(at)
	clientIP := c.ClientIP()
	userAgent := domain.Truncated(c.Request.UserAgent(), maxHeaderText)
	visitor := parseVisitor(userAgent, params.Device)
	where := t.places.find(c, clientIP)
	click := t.newClick(to, params, at)
	click.IP, click.UserAgent = clientIP, userAgent
	click.Referer = domain.Truncated(c.Request.Referer(), maxHeaderText)
	click.Country, click.Device, click.OS, click.Browser = where.country, visitor.device, visitor.os, visitor.browser
	click.Normalise()
	t.addDecider(click, &to.Offer.TenantID)
	seen := Audience(to, params, where, visitor.device)
	click.RefusedReason = refusal(to, at, visitor, seen)
	if click.RefusedReason == domain.ReasonNone || t.spending.clicks.mayRecord(click, at) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), clickWait)
		defer cancel()
		if err := t.clicks.Publish(ctx, click); err != nil {
			clicksUnavailable.Inc()
			slog.WarnContext(c.Request.Context(), "click not recorded", "error", err)
			tryAgain(c, "Please try again.")
			return
		}
	}
	if click.RefusedReason != domain.ReasonNone {
		why := ""
		if MissesCountry(click.RefusedReason, &to.Offer.Targeting, seen) {
			why = t.unplacedClick(c, click)
		}
		t.fallback(c, to, params, why)
		return
	}
	t.leaveCookie(c, to, click)
	sendOn(c, to.Offer.Destination, func(name string) string { return params.offersMacro(name, to, click.ID) })
}

var clicksUnavailable = promauto.NewCounter(prometheus.CounterOpts{
	Name: "offerflow_clicks_unavailable_total",
	Help: "Clicks of any format answered 503 because they could not be stored or their link could not be looked up.",
})

func (t *Edge) newClick(to offercache.Target, params *ClickParams, at time.Time) *domain.Click {
	return &domain.Click{
		ID: t.keys.NewID(keyring.KindClick, at), TenantID: to.Link.TenantID, ClickedAt: at, LinkID: to.Link.ID,
		OfferID: to.Offer.ID, OfferVersion: to.Offer.Version, AdvertiserID: to.Offer.AdvertiserID,
		PartnerID: to.Link.PartnerID, PlacementID: to.Link.PlacementID, CreativeOrder: params.creative(to),
		PubMemberID: params.Member(), PubClickID: params.ClickID, PubSessionID: params.SessionID,
		PubGender: params.Gender, PubAge: params.Age, PubGeoCountry: params.Country, PubGeoState: params.State,
		PubPostalCode: params.PostalCode, PubDevice: params.Device, PubSubs: params.FilledSubs(),
		ViewID: params.ViewID, Source: params.Source, SessionEndsAt: to.Offer.SessionEnd(at),
	}
}

// addDecider gives a click on a shared offer to the advertiser too, with a key in place of who it was:
// the link is the publisher's, and so are its members (rules 57, 58). Other clicks have no need of it.
func (t *Edge) addDecider(click *domain.Click, offersTenant *uuid.UUID) {
	if *offersTenant == click.TenantID {
		return
	}
	click.AdvertiserTenantID, click.MemberKey = offersTenant, memberKey(t.keys, click)
}

// memberKey tells a publisher's members and visitors apart, and says nothing else about them.
func memberKey(keys *keyring.Keyring, click *domain.Click) string {
	if click.PubMemberID != nil {
		return domain.MemberKeyPrefix + keys.Pseudonym(click.TenantID, domain.MemberKeyPrefix+*click.PubMemberID)
	}
	return domain.VisitorKeyPrefix + keys.Pseudonym(click.TenantID, domain.VisitorKeyPrefix+click.IP+" "+click.UserAgent)
}

// refusal says why a click cannot convert; the first reason wins, what the offer's people must
// mend before what the member is.
func refusal(to offercache.Target, at time.Time, who visitor, audience domain.Audience) domain.Reason {
	if who.bot && !to.Tenant.AdmitsBots { // rule 47
		return domain.ReasonFraudBot
	}
	return to.Unavailability(at, audience)
}

// Audience is what targeting judges at the click. Where the address tells the country, it counts;
// what the publisher says in pub_geo_* counts only where nothing else is known, since it is a
// claim, and before the embedded database, which is not exact enough to overrule it. A state or postal code is believed within the country that is known.
func Audience(to offercache.Target, params *ClickParams, where Place, device string) domain.Audience {
	a := domain.Audience{Country: where.country, State: where.state, PostalCode: where.postalCode, Device: device, PlacementID: to.Link.PlacementID}
	if len(to.Offer.Targeting.Countries)+len(to.Offer.Targeting.States) > 0 {
		claimed, _ := domain.ParseCountry(params.Country)
		if a.Country == "" || where.rough && claimed.Code != "" {
			a.Country = claimed.Code
		}
		if state, ok := domain.ParseStateIn(a.Country, params.State); ok && a.State == "" && state.CountryCode == a.Country {
			a.State = state.Code
		}
	}
	if a.PostalCode == "" {
		a.PostalCode = params.PostalCode
	}
	if age, err := strconv.Atoi(params.Age); err == nil && age >= 0 {
		a.Age = &age
	}
	if gender, ok := domain.ParseGender(params.Gender); ok {
		a.Gender = gender.Code
	}
	return a
}

// unplacedClick tells of a click that was refused since nobody knows its country: the log, now and then, and
// whoever clicked from a private address, which is a developer's, or that of a proxy that is not named.
func (t *Edge) unplacedClick(c *gin.Context, click *domain.Click) (why string) {
	t.unplaced.Do(func() {
		slog.WarnContext(c.Request.Context(), "a click was refused: the offer has countries or states",
			"offer", click.OfferID, "click", click.ID, "why", t.places.WhyUnknown(click.IP))
	})
	if addr, err := netip.ParseAddr(click.IP); err == nil && isPrivate(addr.Unmap()) {
		return t.places.WhyUnknown(click.IP)
	}
	return ""
}

// fallback is the chain of rule 46: the offer's address, the partner's, the tenant's, else a page, which may
// say why. No click id is given away.
func (t *Edge) fallback(c *gin.Context, to offercache.Target, params *ClickParams, why string) {
	switch {
	case to.Offer.Fallback != nil:
		sendOn(c, *to.Offer.Fallback, func(name string) string { return params.offersMacro(name, to, uuid.Nil) })
	case to.Partner != nil && to.Partner.Fallback != nil:
		sendOn(c, *to.Partner.Fallback, func(name string) string { return params.macro(name, to, uuid.Nil) })
	case to.Tenant.Fallback != nil:
		sendOn(c, *to.Tenant.Fallback, func(name string) string { return params.macro(name, to, uuid.Nil) })
	default:
		deadEndBecause(c, why)
	}
}

// sendOn answers 302. The Location is fit for a header: the template has encoded what is not.
func sendOn(c *gin.Context, to domain.Template, value func(string) string) {
	header := c.Writer.Header()
	header["Location"] = []string{to.ExpandString(value)}
	header["Cache-Control"] = noStore
	// The publisher's page is named to the advertiser by its origin only: its path may name a member.
	header["Referrer-Policy"] = strictOrigin
	c.Status(http.StatusFound)
	c.Writer.WriteHeaderNow()
}

// barePage is the policy of pages that are text alone. Walls and advertisers' pages show them in frames.
const barePage = "default-src 'none'; base-uri 'none'; form-action 'none'"

var (
	noStore      = []string{"no-store"}
	strictOrigin = []string{"strict-origin"}
	deadEndPage  = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
		`<title>Not available</title><p>This offer is not available.</p>%s</html>`
)

// deadEnd is the plain page at the end of the fallback chain, and for links that do not exist.
func deadEnd(c *gin.Context) { deadEndBecause(c, "") }

func deadEndBecause(c *gin.Context, why string) {
	if why != "" {
		why = "<p>" + html.EscapeString(why) + ".</p>"
	}
	header := c.Writer.Header()
	header["Cache-Control"] = noStore
	header.Set("Content-Security-Policy", barePage)
	header.Set("Referrer-Policy", "no-referrer")
	c.Data(http.StatusNotFound, "text/html; charset=utf-8", fmt.Appendf(nil, deadEndPage, why))
}

// isPrefetch says whether a browser loads ahead of a click that may never come.
func isPrefetch(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Moz", "X-Purpose"} {
		value := r.Header.Get(name)
		if value == "" {
			continue
		}
		for token := range strings.FieldsFuncSeq(strings.ToLower(value), func(c rune) bool { return c == ';' || c == ',' || c == ' ' }) {
			if token == "prefetch" || token == "prerender" || token == "preview" {
				return true
			}
		}
	}
	return false
}
