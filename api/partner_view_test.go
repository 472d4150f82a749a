package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// openToPartners are the routes that answer a partner's token. A route that is opened to partners
// needs a line here, so that nobody opens one without noticing.
var openToPartners = []string{
	"/api/v1/sdk-offer-management/{product}/offers", "/api/v1/sdk-offer-management/{product}/offers/{id}", "/api/v1/offers/{id}/links",
	"/api/v1/sdk-conversion-system/conversions", "/api/v1/conversions/{id}", "/api/v1/clicks/{id}",
	"/api/v1/partner-payouts", "/api/v1/partner-payouts/{id}",
	"/api/v1/reports/performance", "/api/v1/partner-postbacks", "/api/v1/partner-postbacks/{id}", "/api/v1/deliveries",
}

// keptFromPartners are words that no name of a field in a partner's answer may hold.
var keptFromPartners = []string{
	"revenue", "margin", "reward", "cost", "budget", "epc", "ratio", "advertiser", "fraud", "finding", "findings", "evidence", "ledger",
	"actor", "note", "cap", "caps", "private", "tier", "tiers", "structure", "postbacks", "deliveries", "workflow", "tracking", "partner",
	"created by", "user agent", "ip", "referer", "redirect link", "placement", "counters", "before", "after",
}

// spies is a tenant with two partners and two advertisers, of whom one asks.
type spies struct {
	*rich
	asking *caller
	// kept are words that no name of a field in an answer may hold.
	kept []string
	// advertiser is the one whose offer is shown.
	advertiser string
	// partnersOwn is the asking partner, rivals the other one.
	partnersOwn, rivals string
	// ids are everything that may stand in a path, by noun.
	candidates map[string][]string
	// secrets are values that the partner must not see, by what they are.
	secrets map[string]string
	// theirOwn are values that the partner must see.
	theirOwn []string
}

// newSpies marks every value that a partner must not see.
func newSpies(t *testing.T) *spies {
	t.Helper()
	b := newBook(t, func(s *api.Server) {
		s.Config.CallbackAllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	s := &spies{rich: &rich{book: b, member: "a-member", ids: map[string]string{}}, candidates: map[string][]string{}, secrets: map[string]string{}}
	s.everything()
	for noun, id := range s.ids {
		s.candidates[noun] = append(s.candidates[noun], id)
	}
	// It has no partnership: what routes of the Exchange take is some id of its own.
	s.ids["partnership"], s.ids["shared offer"], s.ids["shared conversion"] = uuid.NewString(), s.own("offer"), s.own("conversion")
	me := s.me
	tier := me.made("/api/v1/partner-tiers", map[string]any{"name": "Insider tier"})
	structure := me.made("/api/v1/payout-structures", `{"name":"Insider structure","rules":[{"conditions":[{"parameter":"pub_sub_1","operator":"=","values":["rivals-sub"]}],"flat":"77.0707"}],"default":{"flat":"1.75"}}`)
	asking := me.made("/api/v1/partners", map[string]any{"name": "Asking partner", "tierId": tier})
	rival := me.made("/api/v1/partners", map[string]any{"name": "Rival partner", "fallbackUrl": "https://rival.example/", "caps": map[string]any{"dailyCap": 424242}})
	advertiser := me.made("/api/v1/advertisers", map[string]any{"name": "Hidden advertiser", "email": "hidden@advertiser.example"})
	s.asking, s.kept, s.advertiser = me.token("partner", "partnerId", asking), keptFromPartners, advertiser
	s.partnersOwn, s.rivals = asking, rival
	s.secret(map[string]string{
		"the tier": tier, "the tier's name": "Insider tier", "the structure": structure, "the structure's name": "Insider structure",
		"a structure's rule": "rivals-sub", "a structure's figure": "77.0707", "the rival": rival, "the rival's name": "Rival partner",
		"the rival's cap": "424242", "the rival's address": "https://rival.example/", "the advertiser": advertiser, "the advertiser's name": "Hidden advertiser",
	})
	s.offerOf(advertiser, tier, structure)
	s.traffic(asking, rival)
	return s
}

func (s *spies) secret(values map[string]string) {
	for what, value := range values {
		s.secrets[what] = value
	}
}

// offerOf makes the offer of the spies, with a public goal, one by a structure, a private and a
// deleted one, and an offer that only the rival has a link to.
func (s *spies) offerOf(advertiser, tier, structure string) {
	s.t.Helper()
	event := func(eventID string, order int, more map[string]any) map[string]any {
		doc := map[string]any{
			"name": "Goal " + eventID, "eventId": eventID, "showOnOfferWall": true, "displayOrder": order, "sequenceNumber": nil,
			"pendingTime": nil, "hasRevenue": true, "hasReward": true, "useDefaultRatio": false,
		}
		for name, value := range more {
			doc[name] = value
		}
		return doc
	}
	document := func(name string, events ...any) map[string]any {
		return map[string]any{
			"trackingSystemLink": "https://hidden-destination.example/?sub1={gk_click_id}", "trackingSystem": "AppsFlyer", "name": name,
			"headline": "Play", "offerDetails": "<b>Do</b>", "creatives": []any{map[string]any{"order": 1, "url": "https://cdn.example/1.png"}},
			"offerType": "MultiEvent", "conversionType": "FlatRate", "advertiserId": advertiser, "isPaused": false, "budgetType": "Total",
			"budget": "98765432.1234", "launchDate": "2020-01-01T00:00:00Z", "ageId": everyAge(s.me), "categoryIds": []any{}, "countryIds": []any{},
			"initialEpc": "3.141592", "isEpcLocked": false, "offerEvents": events,
		}
	}
	var made, rivals madeOffer
	s.me.post(offersPath, document("Shown offer",
		event("shown", 1, map[string]any{"revenue": "1234.5678", "reward": "7777.2525", "payout": "1.25", "payoutTiers": map[string]any{tier: "2.25"},
			"revenueTiers": map[string]any{tier: "3456.7891"}, "dailyCap": 535353}),
		event("structured", 2, map[string]any{"revenue": "1234.5678", "reward": 1, "payoutStructureId": structure}),
		event("hush", 3, map[string]any{"revenue": "2345.6789", "reward": 1, "isPrivate": true, "slug": "hush-slug"}),
		event("gone", 4, map[string]any{"revenue": "2345.6789", "reward": 1, "payout": "8.08", "status": "deleted"}),
	)).into(http.StatusCreated, &made)
	s.me.post(offersPath, document("Rival's offer", event("theirs", 1, map[string]any{"revenue": 1, "reward": 1}))).into(http.StatusCreated, &rivals)
	s.load(made.ID)
	hush, gone := s.offer.Events[2], s.offer.Events[3]
	s.candidates["offer"] = append(s.candidates["offer"], made.ID, rivals.ID)
	s.candidates["event"] = append(s.candidates["event"], hush.ID.String(), gone.ID.String(), s.offer.Events[0].ID.String())
	s.secret(map[string]string{
		"revenue": "1234.5678", "a tier's revenue": "3456.7891", "a private goal's revenue": "2345.6789", "the reward": "7777.2525",
		"the budget": "98765432.1234", "the epc": "3.141592", "a cap": "535353", "the destination": "hidden-destination",
		"a private goal": hush.ID.String(), "its name": "Goal hush", "its slug": "hush-slug", "a deleted goal": gone.ID.String(), "the deleted goal's name": "Goal gone",
		"another's offer": rivals.ID, "the other's offer's name": "Rival's offer",
	})
	s.theirOwn = append(s.theirOwn, made.ID, "Shown offer", "Goal shown", `"2.25"`, `"1.75"`)
}

func (s *spies) load(offerID string) {
	s.t.Helper()
	s.inTenant(func(ctx context.Context, tx pgx.Tx) error {
		version, err := dbgen.New().GetOfferVersion(s.t.Context(), tx, uuid.MustParse(offerID), 1)
		s.offer = domain.Offer{}
		require.NoError(s.t, json.Unmarshal(version.Document, &s.offer))
		return err
	})
}

// traffic makes links, clicks, conversions and custom payouts of both partners.
func (s *spies) traffic(asking, rival string) {
	s.t.Helper()
	offerID := s.offer.ID.String()
	link := func(partner string) string {
		return s.me.made("/api/v1/offers/"+offerID+"/links", map[string]any{"partnerId": partner})
	}
	ours, theirs := link(asking), link(rival)
	s.me.made("/api/v1/offers/"+s.secrets["another's offer"]+"/links", map[string]any{"partnerId": rival})
	click := func(partner, member string, change ...func(*domain.Click)) uuid.UUID {
		id := uuid.MustParse(partner)
		return s.click(member, append([]func(*domain.Click){func(c *domain.Click) {
			c.PartnerID, c.PubSubs, c.UserAgent = &id, []string{"sub of " + member}, "Agent of "+member
		}}, change...)...)
	}
	first, second := click(asking, "one"), click(asking, "two")
	rivals := click(rival, "rival-member")
	bot := click(asking, "three", func(c *domain.Click) { c.RefusedReason = domain.ReasonFraudBot })
	shown, structured, hush := s.postback(first, "shown"), s.postback(first, "structured"), s.postback(first, "hush")
	fraud, rivalsOwn := s.postback(second, "shown"), s.postback(rivals, "shown")
	s.me.post("/api/v1/conversions/review", map[string]any{
		"action": "reverse", "ids": []any{shown.ConversionID}, "reason": "a hidden note",
	}).into(http.StatusOK, nil)
	s.exec("UPDATE conversions SET status = 'Rejected', is_counted = false, rejection_reason = 'fraud_geo' WHERE id = '" + fraud.ConversionID.String() + "'")
	s.exec("UPDATE transitions SET to_status = 'Rejected', reason = 'fraud_geo' WHERE conversion_id = '" + fraud.ConversionID.String() + "'")
	custom := func(partner, event, flat string) string {
		return s.me.made("/api/v1/partner-payouts", map[string]any{"partnerId": partner, "offerId": offerID, "eventId": event, "flat": flat})
	}
	calls := func(partner, address string) string {
		id := s.me.made("/api/v1/partner-postbacks", map[string]any{"partnerId": partner, "url": "http://127.0.0.1:9/" + address})
		return id
	}
	ourCalls, theirCalls := calls(asking, "of-asking"), calls(rival, "of-rival")
	s.candidates["partner postback"] = append(s.candidates["partner postback"], ourCalls, theirCalls)
	ourNews, theirNews, hushNews := s.delivered(ourCalls, *shown.ConversionID), s.delivered(theirCalls, *rivalsOwn.ConversionID), s.delivered(ourCalls, *hush.ConversionID)
	theirCustom, ourCustom := custom(rival, s.offer.Events[0].ID.String(), "66.6667"), custom(asking, s.offer.Events[0].ID.String(), "2.25")
	s.candidates["click"] = append(s.candidates["click"], first.String(), second.String(), rivals.String(), bot.String())
	for _, answer := range []domain.Answer{shown, structured, hush, fraud, rivalsOwn} {
		s.candidates["conversion"] = append(s.candidates["conversion"], answer.ConversionID.String())
		s.candidates["postback"] = append(s.candidates["postback"], answer.PostbackID.String())
	}
	s.candidates["partner payout"] = append(s.candidates["partner payout"], theirCustom, ourCustom)
	s.candidates["partner"] = append(s.candidates["partner"], asking, rival)
	s.secret(map[string]string{
		"the rival's link": theirs, "the rival's click": rivals.String(), "the rival's conversion": rivalsOwn.ConversionID.String(),
		"the rival's member": "rival-member", "the rival's payout": theirCustom, "the rival's figure": "66.6667",
		"a private goal's conversion": hush.ConversionID.String(), "fraud at the conversion": "fraud_geo", "fraud at the click": "fraud_bot",
		"what a reviewer wrote": "a hidden note", "an agent": "Agent of one",
		"the rival's postback": theirCalls, "the rival's URL": "of-rival", "the rival's delivery": theirNews, "a private goal's delivery": hushNews,
	})
	s.theirOwn = append(s.theirOwn, ourCalls, "of-asking", ourNews)
	s.theirOwn = append(s.theirOwn, ours, first.String(), bot.String(), shown.ConversionID.String(), structured.ConversionID.String(), fraud.ConversionID.String(),
		ourCustom, "sub of one", "sub of two")
}

// delivered is a delivery of news of a conversion to a partner's URL, with an attempt.
func (s *spies) delivered(endpoint string, conversion uuid.UUID) string {
	id := uuid.NewString()
	s.exec("INSERT INTO deliveries (tenant_id, id, endpoint_id, kind, conversion_id, sequence, status, state, body, created_at, next_attempt_at) VALUES ('" +
		s.tenantID.String() + "', '" + id + "', '" + endpoint + "', 'partner', '" + conversion.String() + "', 1, 'Success', 'waiting', '', now(), now() + interval '1 day')")
	s.exec("INSERT INTO delivery_attempts (tenant_id, delivery_id, number, at, status_code, latency_ms, error, answer) VALUES ('" +
		s.tenantID.String() + "', '" + id + "', 1, now(), 503, 12, '', 'busy')")
	return id
}

// paths are a route with every id that the tenant has of its nouns.
func (s *spies) paths(t *testing.T, o operation) []string {
	t.Helper()
	paths := []string{o.path}
	for _, noun := range nounsIn(t, o.path) {
		var filled []string
		for _, path := range paths {
			for _, id := range slices.Compact(append([]string{s.own(noun)}, s.candidates[noun]...)) {
				filled = append(filled, operation{path: path}.firstID(id))
			}
		}
		paths = filled
	}
	query := "page_size=100"
	if required := queries[o.path]; required != nil {
		outside := *s.rich
		outside.isOutside = true
		query += "&" + required(&outside)
	}
	for i := range paths {
		paths[i] = operation{path: paths[i]}.with(nil, s.productWord()) + "?" + query
	}
	return paths
}

// firstID fills the first parameter that is an id.
func (o operation) firstID(id string) string {
	for from := 0; ; {
		begin := strings.Index(o.path[from:], "{")
		if begin < 0 {
			return o.path
		}
		begin += from
		end := begin + strings.Index(o.path[begin:], "}") + 1
		if words[o.path[begin:end]] == "" {
			return o.path[:begin] + id + o.path[end:]
		}
		from = end
	}
}

// rules 48, 54, 66: whatever a partner's token reads, on every route there is and with every id there
// is, no field and no value is among it that is not the partner's to know; and it reads its own.
func TestRule66PartnersSeeTheirOwn(t *testing.T) {
	t.Parallel()
	s := newSpies(t)
	var seen, known strings.Builder
	var answering []string
	for _, o := range s.surface().operations {
		if o.method != http.MethodGet {
			answer := s.asking.send(o.method, o.filled(), map[string]any{})
			require.Equal(t, http.StatusForbidden, answer.status, "%s %s: %s", o.method, o.path, answer.body)
			continue
		}
		for _, path := range s.paths(t, o) {
			answer := s.asking.get(path)
			require.Contains(t, []int{200, 400, 403, 404}, answer.status, "%s: %s", path, answer.body)
			s.requireClean(path, answer)
			if answer.status == http.StatusOK {
				answering = append(answering, o.path)
				seen.Write(answer.body)
			}
			s.requireCleanList(path, answer)
			known.Write(s.me.get(path).body)
		}
	}
	slices.Sort(answering)
	require.ElementsMatch(t, openToPartners, slices.Compact(answering), "routes that answer partners")
	for _, value := range s.theirOwn {
		require.Contains(t, seen.String(), value, "the partner's own")
	}
	for what, value := range s.secrets { // or the test would prove nothing
		require.Contains(t, known.String(), value, "%s is nowhere to be seen by management either", what)
	}
}

// requireClean looks for what the partner must not see in one answer.
func (s *spies) requireClean(path string, answer *answer) {
	s.t.Helper()
	s.requireCleanAs(path, answer)
	if answer.status != http.StatusOK {
		for _, word := range []string{"revenue", "margin", "reward", "budget", "cost", "epc", "advertiser"} {
			require.NotContains(s.t, strings.ToLower(string(answer.body)), word, "%s names what it keeps", path)
		}
	}
}

// requireCleanAs looks for what is kept from whoever asks.
func (s *spies) requireCleanAs(path string, answer *answer) {
	s.t.Helper()
	for what, value := range s.secrets {
		require.NotContains(s.t, string(answer.body), value, "%s shows %s", path, what)
	}
	if answer.status != http.StatusOK {
		return
	}
	var document any
	require.NoError(s.t, json.Unmarshal(answer.body, &document), "%s: %s", path, answer.body)
	walkNames(document, func(name string) {
		for _, word := range s.kept {
			require.NotContains(s.t, " "+spaced(name)+" ", " "+word+" ", "%s has a field %s", path, name)
		}
	})
}

// requireNoOrderBy asks a list to be ordered and filtered by what it keeps: that would tell it without
// showing it.
func (s *spies) requireNoOrderBy(path string, names ...string) {
	s.t.Helper()
	for _, name := range names {
		require.Equal(s.t, http.StatusBadRequest, s.asking.get(path+"&orderby="+name).status, "%s ordered by %s", path, name)
		require.Equal(s.t, http.StatusBadRequest, s.asking.get(path+"&filter."+name+"=1").status, "%s filtered by %s", path, name)
	}
}

// requireCleanList asks a list for filters and orders by what it keeps: an order by revenue would tell
// it without showing it.
func (s *spies) requireCleanList(path string, answer *answer) {
	s.t.Helper()
	if answer.total() < 0 {
		return
	}
	for _, query := range []string{"filter.noSuchField=1", "orderby=noSuchField"} {
		refused := s.asking.get(path + "&" + query)
		require.Equal(s.t, http.StatusBadRequest, refused.status)
		for _, name := range regexp.MustCompile(`[A-Za-z]+`).FindAllString(string(refused.body), -1) {
			for _, word := range s.kept {
				if word != "after" && word != "before" {
					require.NotContains(s.t, " "+spaced(name)+" ", " "+word+" ", "%s: a filter or order by %s", path, name)
				}
			}
		}
	}
	s.requireNoOrderBy(path, "revenue", "reward", "advertiserId", "partnerId", "needsReview")
	for _, reason := range []string{"fraud_geo", "fraud_bot"} {
		found := s.asking.get(path + "&filter.rejectionReason=" + reason)
		require.True(s.t, found.status == http.StatusBadRequest || found.total() == 0, "%s tells %s by its filter", path, reason)
	}
}

func walkNames(v any, name func(string)) {
	switch value := v.(type) {
	case map[string]any:
		for key, inner := range value {
			name(key)
			walkNames(inner, name)
		}
	case []any:
		for _, inner := range value {
			walkNames(inner, name)
		}
	}
}

// spaced is a name's words: "minTimeFromPreviousEvent" is "min time from previous event".
func spaced(name string) string {
	var out strings.Builder
	runes := []rune(name)
	for i, c := range runes {
		if i > 0 && unicode.IsUpper(c) && !unicode.IsUpper(runes[i-1]) {
			out.WriteByte(' ')
		}
		out.WriteRune(unicode.ToLower(c))
	}
	return out.String()
}
