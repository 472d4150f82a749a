package tracking

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

const (
	// maxHeaderText is how much of a header is kept.
	maxHeaderText = 512
	// PubSubs is how many sub ids a click may have, pub_sub_1 and so on.
	PubSubs = 15
)

// ClickParams are the parameters of a click that mean something, clean. Of a parameter that is
// given twice the first value counts. One that says nothing, such as a macro that was not filled in, is none;
// but whose member it is is never guessed at.
type ClickParams struct {
	MemberID, ClickID, SessionID, Gender, Age, Country, State, PostalCode, Device, ViewID, Source, creativeOrder string
	subs                                                                                                         [PubSubs]string
	// LeftOut is the first parameter that was too long and identifies nothing.
	LeftOut string
}

// ReadClickParams reads a query as every tracking form is read (sent_read.go). tooLong names the first
// parameter that identifies something and is longer than what can be kept: cut short, it would name
// another. Any other that is too long is left out, and a pair that is wrongly encoded is taken as it was
// sent: a member is not turned away for them. Blanks are part of a member's id, and of nothing else.
func ReadClickParams(query string) (p ClickParams, tooLong string) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		sent, value, _ := strings.Cut(pair, "=")
		name := NormalName(unescaped(sent))
		to, limit := p.Field(name)
		if to == nil || *to != "" {
			continue
		}
		text := unescaped(value)
		if to != &p.MemberID {
			if text = domain.TrimBlanks(text); domain.SaysNothing(text) {
				continue
			}
		}
		switch {
		case len(text) <= limit:
			*to = domain.StoredText(text)
		case limit > maxClickParam:
			return p, domain.Truncated(name, 64)
		case p.LeftOut == "":
			p.LeftOut = name
		}
	}
	return p, ""
}

// unescaped decodes percent-encoding and plus signs, or returns what was sent.
func unescaped(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	text, err := url.QueryUnescape(s)
	if err != nil {
		return s
	}
	return text
}

// Field is where a parameter is kept and how long it may be; nil for a name that means nothing. Names
// are in lower case. It says what ClickFields and TuneClickFields say, without a look-up.
func (p *ClickParams) Field(name string) (*string, int) {
	if n, ok := subIndex(name); ok {
		return &p.subs[n], MaxClickID
	}
	switch name {
	case "pub_member_id":
		return &p.MemberID, maxMemberID
	case "pub_click_id", "aff_click_id":
		return &p.ClickID, MaxClickID
	case "pub_session_id":
		return &p.SessionID, MaxClickID
	case "pub_gender":
		return &p.Gender, maxClickParam
	case "pub_age":
		return &p.Age, maxClickParam
	case "pub_geo_country":
		return &p.Country, maxClickParam
	case "pub_geo_state":
		return &p.State, maxClickParam
	case "pub_postal_code":
		return &p.PostalCode, maxClickParam
	case "pub_device":
		return &p.Device, maxClickParam
	case "viewid":
		return &p.ViewID, maxClickParam
	case "source":
		return &p.Source, MaxClickID
	case "creativeorder":
		return &p.creativeOrder, maxClickParam
	default:
		return nil, 0
	}
}

// PubSubName is the name of a sub id by its index.
func PubSubName(n int) string { return "pub_sub_" + strconv.Itoa(n+1) }

// subIndex is which sub id a name means, ours or the older protocol's.
func subIndex(name string) (int, bool) {
	switch name {
	case "aff_sub":
		return 0, true
	case "aff_sub2", "aff_sub3", "aff_sub4", "aff_sub5":
		return int(name[len(name)-1] - '1'), true
	}
	rest, ok := strings.CutPrefix(name, "pub_sub_")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	return n - 1, err == nil && n >= 1 && n <= PubSubs && rest[0] != '0' && rest[0] != '+'
}

// AudienceParams are what the publisher may say of a member that targeting judges (rule 45).
var AudienceParams = []string{"pub_gender", "pub_age", "pub_geo_country", "pub_geo_state", "pub_postal_code", "pub_device"}

// AudienceQuery is what of them was said, for ReadClickParams to read again.
func (p *ClickParams) AudienceQuery() string {
	said := url.Values{}
	for _, name := range AudienceParams {
		if text, _ := p.Field(name); *text != "" {
			said.Set(name, domain.SentText(*text))
		}
	}
	return said.Encode()
}

// fill adds what a view says of a member and the address leaves out.
func (p *ClickParams) fill(view *dbgen.OfferView) {
	seen, _ := ReadClickParams(view.Params)
	for _, name := range AudienceParams {
		text, _ := p.Field(name)
		known, _ := seen.Field(name)
		*text = cmp.Or(*text, *known)
	}
	p.MemberID = cmp.Or(p.MemberID, view.PubMemberID)
	if view.CreativeOrder != nil {
		p.creativeOrder = cmp.Or(p.creativeOrder, strconv.Itoa(int(*view.CreativeOrder)))
	}
}

// creative is the order of the creative that the member clicked: the link's, else the one that is named,
// else on the wall the first, which it shows where nobody says otherwise. nil where nothing tells.
func (p *ClickParams) creative(to offercache.Target) *int32 {
	if to.Link.CreativeOrder != nil {
		return to.Link.CreativeOrder
	}
	if order, ok := CreativeOf(&to.Offer.Offer, p.creativeOrder); ok {
		return order
	}
	if to.OnWall {
		return FirstCreative(&to.Offer.Offer)
	}
	return nil
}

// CreativeOf is a creative of the offer by the text of its order.
func CreativeOf(offer *domain.Offer, text string) (*int32, bool) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || !slices.ContainsFunc(offer.Creatives, func(c domain.Creative) bool { return c.Order == int(n) }) {
		return nil, false
	}
	order := int32(n)
	return &order, true
}

// FirstCreative is the first creative of the offer, nil where it has none.
func FirstCreative(offer *domain.Offer) *int32 {
	if len(offer.Creatives) == 0 {
		return nil
	}
	first, _ := CreativeOf(offer, strconv.Itoa(offer.Creatives[0].Order))
	return first
}

// answer says whether everything is there that targeting asks for and a view may know. A state is
// believed within its country.
func (p *ClickParams) answer(asked *domain.Targeting) bool {
	return len(asked.PlacementIDs) == 0 && (len(asked.Genders) == 0 || p.Gender != "") &&
		(asked.MinAge == nil && asked.MaxAge == nil || p.Age != "") &&
		(len(asked.Countries)+len(asked.States) == 0 || p.Country != "") && (len(asked.States) == 0 || p.State != "") &&
		(len(asked.ZipCodes) == 0 || p.PostalCode != "") && (len(asked.Devices) == 0 || p.Device != "")
}

// Member is nil when the publisher named none.
func (p *ClickParams) Member() *string {
	if p.MemberID == "" {
		return nil
	}
	return &p.MemberID
}

// FilledSubs are the subs up to the last one that was given.
func (p *ClickParams) FilledSubs() []string {
	for n := PubSubs; n > 0; n-- {
		if p.subs[n-1] != "" {
			return p.subs[:n]
		}
	}
	return nil
}

// offersMacro is macro for the offer's own addresses. Of a shared offer the advertiser writes them, and
// members are the publisher's (rule 57); what else the publisher says of a click it passes on only as it
// allows (rule 59). To that advertiser the affiliate is the publisher: which of its partners sent the click
// is the publisher's to know.
func (p *ClickParams) offersMacro(name string, to offercache.Target, clickID uuid.UUID) string {
	if to.IsShared() {
		canonical, publishers := domain.PublishersMacro(name)
		switch {
		case name == "pub_member_id", publishers && !slices.Contains(to.Passed(), canonical):
			return ""
		case name == "affiliate_id":
			return to.Link.TenantID.String()
		}
	}
	return p.macro(name, to, clickID)
}

// macro is the value of one macro of an address, as it was sent. A nil ClickID gives none away.
func (p *ClickParams) macro(name string, to offercache.Target, clickID uuid.UUID) string {
	switch name {
	case "gk_click_id", "transaction_id":
		if clickID == uuid.Nil {
			return ""
		}
		return clickID.String()
	case "gk_offer_id", "offer_id":
		return to.Offer.ID.String()
	case "gk_offer_name", "offer_name":
		return to.Offer.Name
	case "advertiser_id":
		return to.Offer.AdvertiserID.String()
	case "affiliate_id":
		if to.Link.PartnerID == nil {
			return ""
		}
		return to.Link.PartnerID.String()
	case "pub_member_id":
		return domain.SentText(p.MemberID)
	case "pub_click_id":
		return domain.SentText(p.ClickID)
	case "source":
		return domain.SentText(p.Source)
	default:
		if n, ok := subIndex(name); ok {
			return domain.SentText(p.subs[n])
		}
		return ""
	}
}
