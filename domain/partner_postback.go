package domain

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// PartnerEvents are the transitions that can be sent to a partner. Unlike a tenant (rule 50) it gets nothing
// that was not asked for: most partners count each call as a conversion, whatever stands in it.
var PartnerEvents = []string{"success", "pending", "rejected", "reversed"}

// PartnerMethods are how a partner may be called.
var PartnerMethods = []string{http.MethodGet, http.MethodPost}

// PartnerWantsEvent says whether an event is sent to a partner that is told of these events. A rejection
// that takes a Success back is `reversed`, any other one `rejected`.
func PartnerWantsEvent(events []string, event StatusEvent) bool {
	name := strings.ToLower(string(event.Status))
	if event.Status == StatusRejected && event.RewardWasSent {
		name = "reversed"
	}
	return slices.Contains(events, name)
}

// PartnerHeardAlready says whether another Success would be counted twice: the partner was told of
// one, and not that it was taken back. queue is in order of sequence.
func PartnerHeardAlready(queue []QueuedDelivery) bool {
	told := false
	for _, event := range queue {
		switch {
		case event.Status == StatusSuccess:
			told = true
		case event.Reversal:
			told = false
		}
	}
	return told
}

// PartnerConversion is everything that a partner may see of one of its conversions: no revenue, no reward,
// no margin (rule 66).
type PartnerConversion struct {
	ConversionID uuid.UUID
	ClickID      uuid.UUID
	OfferID      uuid.UUID
	OfferName    string
	AdvertiserID uuid.UUID
	PartnerID    uuid.UUID
	PubMemberID  string
	PubClickID   string
	PubSubs      []string
	Source       string
	Event        Event
	// EventID and Amount are as they were posted.
	EventID  string
	Amount   string
	Payout   Micros
	Currency string
	Status   Status
}

// Macros are what the macros stand for in this event, by name in lower case; empty ones are left out.
func (n *PartnerConversion) Macros() map[string]string {
	values := map[string]string{
		"gk_click_id": n.ClickID.String(), "gk_offer_id": n.OfferID.String(), "gk_offer_name": n.OfferName,
		"pub_member_id": SentText(n.PubMemberID), "pub_click_id": SentText(n.PubClickID), // as they were sent (rule 72)
		"affiliate_id": n.PartnerID.String(), "source": SentText(n.Source), "advertiser_id": n.AdvertiserID.String(),
		"cnv_event_id": cmp.Or(n.Event.EventID, n.EventID), "cnv_amount": n.Amount,
		"goal_id": n.Event.ID.String(), "goal_name": cmp.Or(n.Event.Slug, n.Event.Name), "goal_ref": n.Event.Reference,
		"payout": n.Payout.String(), "currency": n.Currency, "status": string(n.Status), "gk_conversion_id": n.ConversionID.String(),
	}
	for i, sub := range n.PubSubs {
		values["pub_sub_"+strconv.Itoa(i+1)] = SentText(sub)
	}
	for older, ours := range map[string]string{
		"transaction_id": "gk_click_id", "offer_id": "gk_offer_id", "offer_name": "gk_offer_name", "aff_sub": "pub_sub_1",
		"aff_sub2": "pub_sub_2", "aff_sub3": "pub_sub_3", "aff_sub4": "pub_sub_4", "aff_sub5": "pub_sub_5",
	} {
		values[older] = values[ours]
	}
	for name, value := range values {
		if value == "" {
			delete(values, name)
		}
	}
	return values
}

// PartnerRequest is one call of a partner's URL.
type PartnerRequest struct {
	Method string
	URL    string
	// Body is a form, for POST only.
	Body string
}

// NewPartnerRequest fills a template in. A POST carries as a form what a GET carries as its query,
// so that the same template serves both. The expanded query begins where the template's does: what
// a macro stands for is escaped and brings no question mark of its own.
func NewPartnerRequest(method, template string, values map[string]string) PartnerRequest {
	address := CompileTemplate(template).ExpandString(func(name string) string { return values[name] })
	if method != http.MethodPost {
		return PartnerRequest{Method: method, URL: address}
	}
	address, query, _ := strings.Cut(address, "?")
	return PartnerRequest{Method: method, URL: address, Body: query}
}

// ContentType is the body's, or "" without one.
func (r PartnerRequest) ContentType() string {
	if r.Method != http.MethodPost {
		return ""
	}
	return "application/x-www-form-urlencoded"
}

var (
	errMacroInHost = errors.New("must not have a macro before the path, because the host is checked when it is saved")
	errFragment    = errors.New("must not contain #, because the part after it is never sent")
)

// CheckPartnerURL refuses a template whose host would depend on a conversion (rule 53), or that
// says what cannot be sent. Whether the host may be called is for others to find out.
func CheckPartnerURL(template string) error {
	_, rest, ok := strings.Cut(template, "://")
	if !ok {
		rest = template
	}
	scheme := template[:len(template)-len(rest)]
	host := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		host = rest[:end]
	}
	switch before := strings.ToUpper(scheme + host); {
	case strings.ContainsAny(before, "{}"), strings.Contains(before, "%7B"), strings.Contains(before, "%7D"):
		return errMacroInHost
	case strings.Contains(template, "#"):
		return errFragment
	default:
		return nil
	}
}

// LintPartnerURL says what is probably wrong with a template that is nevertheless accepted.
func LintPartnerURL(template string, events []string) []string {
	warnings := []string{}
	add := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	compiled := CompileTemplate(template)
	names := compiled.Macros()
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !KnownMacro(name, false) {
			add("{%s} is not a known macro and becomes empty", name)
		}
	}
	lintBraces(template, add)
	if len(names) == 0 {
		add("has no macro, so every call is the same")
	}
	if len(events) > 1 && !compiled.Has("status") {
		add("is called for several statuses but does not contain {status}")
	}
	return warnings
}
