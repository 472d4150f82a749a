package api

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

const (
	// maxHeaderText is how much of a header is kept.
	maxHeaderText = 512
	pubSubs       = 15
)

// clickParams are the parameters of a click that mean something, clean. Of a parameter that is
// given twice the first value counts. One that says nothing, such as a macro that was not filled in, is none;
// but whose member it is is never guessed at.
type clickParams struct {
	memberID, clickID, sessionID, gender, age, country, state, postalCode, device, viewID, source, creativeOrder string
	subs                                                                                                         [pubSubs]string
	// leftOut is the first parameter that was too long and identifies nothing.
	leftOut string
}

// readClickParams reads a query as every tracking form is read (sent_read.go). tooLong names the first
// parameter that identifies something and is longer than what can be kept: cut short, it would name
// another. Any other that is too long is left out, and a pair that is wrongly encoded is taken as it was
// sent: a member is not turned away for them. Blanks are part of a member's id, and of nothing else.
func readClickParams(query string) (p clickParams, tooLong string) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		sent, value, _ := strings.Cut(pair, "=")
		name := normalName(unescaped(sent))
		to, limit := p.field(name)
		if to == nil || *to != "" {
			continue
		}
		text := unescaped(value)
		if to != &p.memberID {
			if text = domain.TrimBlanks(text); domain.SaysNothing(text) {
				continue
			}
		}
		switch {
		case len(text) <= limit:
			*to = domain.StoredText(text)
		case limit > maxClickParam:
			return p, truncated(name, 64)
		case p.leftOut == "":
			p.leftOut = name
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

// field is where a parameter is kept and how long it may be; nil for a name that means nothing. Names
// are in lower case. It says what ClickFields and TuneClickFields say, without a look-up.
func (p *clickParams) field(name string) (*string, int) {
	if n, ok := subIndex(name); ok {
		return &p.subs[n], maxClickID
	}
	switch name {
	case "pub_member_id":
		return &p.memberID, maxMemberID
	case "pub_click_id", "aff_click_id":
		return &p.clickID, maxClickID
	case "pub_session_id":
		return &p.sessionID, maxClickID
	case "pub_gender":
		return &p.gender, maxClickParam
	case "pub_age":
		return &p.age, maxClickParam
	case "pub_geo_country":
		return &p.country, maxClickParam
	case "pub_geo_state":
		return &p.state, maxClickParam
	case "pub_postal_code":
		return &p.postalCode, maxClickParam
	case "pub_device":
		return &p.device, maxClickParam
	case "viewid":
		return &p.viewID, maxClickParam
	case "source":
		return &p.source, maxClickID
	case "creativeorder":
		return &p.creativeOrder, maxClickParam
	default:
		return nil, 0
	}
}

// pubSubName is the name of a sub id by its index.
func pubSubName(n int) string { return "pub_sub_" + strconv.Itoa(n+1) }

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
	return n - 1, err == nil && n >= 1 && n <= pubSubs && rest[0] != '0' && rest[0] != '+'
}

// audienceParams are what the publisher may say of a member that targeting judges (rule 45).
var audienceParams = []string{"pub_gender", "pub_age", "pub_geo_country", "pub_geo_state", "pub_postal_code", "pub_device"}

// audienceQuery is what of them was said, for readClickParams to read again.
func (p *clickParams) audienceQuery() string {
	said := url.Values{}
	for _, name := range audienceParams {
		if text, _ := p.field(name); *text != "" {
			said.Set(name, domain.SentText(*text))
		}
	}
	return said.Encode()
}

// fill adds what a view says of a member and the address leaves out.
func (p *clickParams) fill(view *dbgen.OfferView) {
	seen, _ := readClickParams(view.Params)
	for _, name := range audienceParams {
		text, _ := p.field(name)
		known, _ := seen.field(name)
		*text = cmp.Or(*text, *known)
	}
	p.memberID = cmp.Or(p.memberID, view.PubMemberID)
	if view.CreativeOrder != nil {
		p.creativeOrder = cmp.Or(p.creativeOrder, strconv.Itoa(int(*view.CreativeOrder)))
	}
}

// creative is the order of the creative that the member clicked: the link's, else the one that is named,
// else on the wall the first, which it shows where nobody says otherwise. nil where nothing tells.
func (p *clickParams) creative(to target) *int32 {
	if to.link.CreativeOrder != nil {
		return to.link.CreativeOrder
	}
	if order, ok := creativeOf(&to.offer.Offer, p.creativeOrder); ok {
		return order
	}
	if to.onWall {
		return firstCreative(&to.offer.Offer)
	}
	return nil
}

// creativeOf is a creative of the offer by the text of its order.
func creativeOf(offer *domain.Offer, text string) (*int32, bool) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || !slices.ContainsFunc(offer.Creatives, func(c domain.Creative) bool { return c.Order == int(n) }) {
		return nil, false
	}
	order := int32(n)
	return &order, true
}

func firstCreative(offer *domain.Offer) *int32 {
	if len(offer.Creatives) == 0 {
		return nil
	}
	first, _ := creativeOf(offer, strconv.Itoa(offer.Creatives[0].Order))
	return first
}

// answer says whether everything is there that targeting asks for and a view may know. A state is
// believed within its country.
func (p *clickParams) answer(asked *domain.Targeting) bool {
	return len(asked.PlacementIDs) == 0 && (len(asked.Genders) == 0 || p.gender != "") &&
		(asked.MinAge == nil && asked.MaxAge == nil || p.age != "") &&
		(len(asked.Countries)+len(asked.States) == 0 || p.country != "") && (len(asked.States) == 0 || p.state != "") &&
		(len(asked.ZipCodes) == 0 || p.postalCode != "") && (len(asked.Devices) == 0 || p.device != "")
}

// member is nil when the publisher named none.
func (p *clickParams) member() *string {
	if p.memberID == "" {
		return nil
	}
	return &p.memberID
}

// filledSubs are the subs up to the last one that was given.
func (p *clickParams) filledSubs() []string {
	for n := pubSubs; n > 0; n-- {
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
func (p *clickParams) offersMacro(name string, to target, clickID uuid.UUID) string {
	if to.isShared() {
		canonical, publishers := domain.PublishersMacro(name)
		switch {
		case name == "pub_member_id", publishers && !slices.Contains(to.passed(), canonical):
			return ""
		case name == "affiliate_id":
			return to.link.TenantID.String()
		}
	}
	return p.macro(name, to, clickID)
}

// macro is the value of one macro of an address, as it was sent. A nil clickID gives none away.
func (p *clickParams) macro(name string, to target, clickID uuid.UUID) string {
	switch name {
	case "gk_click_id", "transaction_id":
		if clickID == uuid.Nil {
			return ""
		}
		return clickID.String()
	case "gk_offer_id", "offer_id":
		return to.offer.ID.String()
	case "gk_offer_name", "offer_name":
		return to.offer.Name
	case "advertiser_id":
		return to.offer.AdvertiserID.String()
	case "affiliate_id":
		if to.link.PartnerID == nil {
			return ""
		}
		return to.link.PartnerID.String()
	case "pub_member_id":
		return domain.SentText(p.memberID)
	case "pub_click_id":
		return domain.SentText(p.clickID)
	case "source":
		return domain.SentText(p.source)
	default:
		if n, ok := subIndex(name); ok {
			return domain.SentText(p.subs[n])
		}
		return ""
	}
}
