package api_test

import (
	"encoding/csv"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// document is an answer as it is, for what must not be in it.
type document = map[string]any

// Rule 57: the one figure is the advertiser's cost and the publisher's revenue, in whatever shows a
// conversion.
func TestRule57CostAndRevenue(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	id := b.converted("anna", eventInstall)
	own := b.addOffer("Own")
	mine := *b.postback(b.book.click("ben", func(c *domain.Click) { c.OfferID, c.AdvertiserID = own.ID, own.AdvertiserID }), eventInstall).ConversionID

	var page struct{ Items []document }
	b.me.get(lately("filter.offerId", b.offer.ID.String())).into(http.StatusOK, &page)
	require.Len(t, page.Items, 1)
	require.Equal(t, []any{"5.00", "0.00", "0.00", nil}, []any{page.Items[0]["cost"], page.Items[0]["payout"], page.Items[0]["reward"], page.Items[0]["pubMemberId"]})
	require.NotContains(t, page.Items[0], "revenue")

	for path, key := range map[string]string{
		"/api/v1/conversions/" + id.String(): "", "/api/v1/clicks/" + page.Items[0]["clickId"].(string): "conversions",
	} {
		for _, side := range []struct {
			who          *caller
			named, other string
			member       any
		}{{b.me, "cost", "revenue", nil}, {b.publisher, "revenue", "cost", "anna"}} {
			var shown document
			side.who.get(path).into(http.StatusOK, &shown)
			if key != "" {
				shown = shown[key].([]any)[0].(document)
			}
			require.Equal(t, "5.00", shown[side.named], path)
			require.NotContains(t, shown, side.other, path)
			require.Equal(t, side.member, shown["pubMemberId"], path)
		}
	}
	var shown document
	b.me.get("/api/v1/conversions/"+mine.String()).into(http.StatusOK, &shown)
	require.Equal(t, "5.00", shown["revenue"], "an own offer's is revenue")
	require.NotContains(t, shown, "cost")

	for filter, want := range map[string]int{"cost=5": 1, "revenue=5": 1, "cost=6": 0} {
		var found struct{ TotalCount int }
		b.me.get(lately()+"&filter."+filter).into(http.StatusOK, &found)
		require.Equal(t, want, found.TotalCount, filter)
	}
	b.me.get(lately("orderby", "cost")).into(http.StatusOK, nil)

	rows, err := csv.NewReader(strings.NewReader(string(b.me.with("Accept", "text/csv").get(lately("filter.offerId", b.offer.ID.String())).body))).ReadAll()
	require.NoError(t, err)
	header, cells := rows[0], rows[1]
	cost := slices.Index(header, "cost")
	require.GreaterOrEqual(t, cost, 0, "%v", header)
	for i, name := range header {
		if name == "revenue" || name == "pubMemberId" {
			require.Empty(t, cells[i], name)
		}
	}
	require.Equal(t, "5.00", cells[cost])
}

// Rule 57: of the publisher's members the advertiser sees nothing, in a click's trace either.
func TestRule57TheTraceNamesNobody(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	filled := func(c *domain.Click) {
		c.PubSubs, c.PubClickID, c.UserAgent, c.Country, c.PartnerID = []string{"sub-secret"}, "click-secret", "agent-secret", "DE", &b.partner
	}
	first := b.click("anna-secret", filled)
	second := b.click("anna-secret", filled)
	b.postback(second, eventInstall)
	answer := b.me.get("/api/v1/clicks/" + second.String())
	var shown struct {
		Click struct {
			Country  string
			IsUnique bool
		}
	}
	answer.into(http.StatusOK, &shown)
	require.NotContains(t, string(answer.body), "secret")
	require.NotContains(t, string(answer.body), b.partner.String())
	require.NotContains(t, string(answer.body), "198.51.100.7")
	require.Equal(t, "DE", shown.Click.Country)
	require.False(t, shown.Click.IsUnique, "one member's second click, as the publisher sees it")
	b.publisher.get("/api/v1/clicks/"+second.String()).into(http.StatusOK, &shown)
	require.False(t, shown.Click.IsUnique)
	b.me.get("/api/v1/clicks/"+first.String()).into(http.StatusOK, &shown)
	require.True(t, shown.Click.IsUnique)
}

// Rule 58: review is the advertiser's. The publisher's request names that for each, moves nothing and
// touches no workflow, which is the advertiser's.
func TestRule58ReviewIsTheAdvertisers(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	id := b.converted("anna", eventBuy)
	refusal := "Pending: decided by the advertiser: ask it"
	for _, dry := range []bool{true, false} {
		for _, action := range []string{"approve", "reject", "reverse"} {
			out := b.publisher.review(action, map[string]any{"dryRun": dry}, id)
			require.Equal(t, []string{refusal}, out.statuses(), "%s, dry run %t", action, dry)
			require.Zero(t, out.Totals.Count)
		}
	}
	for who, want := range map[*caller]int{b.publisher: 0, b.me: 1} {
		var many reviewed
		who.post(reviewPath, map[string]any{"action": "approve", "filter": map[string]any{"status": "Pending"}, "dryRun": true}).into(http.StatusOK, &many)
		require.Empty(t, many.Results)
		require.Equal(t, want, many.Totals.Count, "a filter means what the tenant decides")
	}
	require.Empty(t, b.engine.updates)
	require.Equal(t, 2, b.count("SELECT count(*) FROM conversions WHERE id = $1 AND status = 'Pending'", id))

	adjust := "/api/v1/conversions/" + id.String() + "/adjust"
	b.publisher.post(adjust, map[string]any{"revenue": "1", "reason": "r"}).refused(http.StatusForbidden)
	b.me.post(adjust, map[string]any{"payout": "1", "reason": "r"}).refused(http.StatusForbidden, "payout")
	b.me.post(adjust, map[string]any{"reward": "1", "reason": "r"}).refused(http.StatusForbidden, "reward")
	var adjusted document
	b.me.post(adjust, map[string]any{"revenue": "12", "reason": "r"}).into(http.StatusOK, &adjusted)
	require.Equal(t, "12.00", adjusted["cost"])
	var history struct {
		History []struct{ Before, After document }
	}
	b.me.get("/api/v1/conversions/"+id.String()).into(http.StatusOK, &history)
	require.Equal(t, []any{"10.00", "12.00"}, []any{history.History[1].Before["cost"], history.History[1].After["cost"]})
	require.NotContains(t, history.History[1].Before, "revenue")

	approved := b.me.review("approve", nil, id)
	require.Equal(t, []string{"Success"}, approved.statuses())
}

// Cost and revenue are never added together: a review's totals hold each by itself.
func TestReviewTotalsKeepCostApart(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	shared := b.converted("anna", eventBuy)
	own := b.addOffer("Own")
	mine := *b.postback(b.book.click("ben", func(c *domain.Click) { c.OfferID, c.AdvertiserID = own.ID, own.AdvertiserID }), eventBuy).ConversionID
	var out struct {
		Totals struct{ Revenue, Cost, Payout, Reward string }
	}
	b.me.post(reviewPath, map[string]any{"action": "approve", "dryRun": true, "ids": []uuid.UUID{shared, mine}}).into(http.StatusOK, &out)
	require.Equal(t, []string{"10.00", "10.00", "0.00", "300.00"}, []string{out.Totals.Revenue, out.Totals.Cost, out.Totals.Payout, out.Totals.Reward})
}

// Rule 59: performance is visible to both, alike but for what each calls the figure.
func TestRule59PerformanceOfBothSides(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	agent := func(name string) func(*domain.Click) {
		return func(c *domain.Click) {
			c.UserAgent = name
			c.MemberKey = domain.VisitorKeyPrefix + b.api.Keys.Pseudonym(b.publisherID, c.IP+" "+c.UserAgent)
		}
	}
	for range 2 {
		b.click("anna")
		b.click("", agent("one"))
	}
	b.click("", agent("another"))
	b.converted("ben", eventInstall) // Success: 5
	b.copied(*b.postback(b.click("carl", func(c *domain.Click) { c.RefusedReason = "" }), eventInstall).ConversionID)
	b.converted("dora", eventBuy) // waits for approval: in no report
	own := b.addOffer("Own")
	b.postback(b.book.click("ben", func(c *domain.Click) { c.OfferID, c.AdvertiserID = own.ID, own.AdvertiserID }), eventInstall)

	type row struct {
		OfferID                             string
		Clicks, UniqueClicks, RefusedClicks int64
		Conversions                         struct{ Pending, Success, Rejected int64 }
		Revenue, Cost, Margin, PendingCost  string
	}
	report := func(who *caller, more ...string) (out struct {
		Items  []row
		Totals row
	}) {
		query := spanOfTests()
		query.Set("group_by", "offer")
		for i := 0; i < len(more); i += 2 {
			query.Set(more[i], more[i+1])
		}
		who.get("/api/v1/reports/performance?"+query.Encode()).into(http.StatusOK, &out)
		return out
	}
	check := func() {
		t.Helper()
		mine, theirs := report(b.me, "filter.OfferId", b.offer.ID.String()).Items[0], report(b.publisher).Items[0]
		require.Equal(t, []string{"0.00", "10.00", "-10.00"}, []string{mine.Revenue, mine.Cost, mine.Margin})
		require.Equal(t, []string{"10.00", "0.00"}, []string{theirs.Revenue, theirs.Cost})
		require.Equal(t, []int64{8, 6, 2}, []int64{mine.Clicks, mine.UniqueClicks, mine.Conversions.Success})
		require.Equal(t, []any{theirs.Clicks, theirs.UniqueClicks, theirs.RefusedClicks, theirs.Conversions},
			[]any{mine.Clicks, mine.UniqueClicks, mine.RefusedClicks, mine.Conversions})
		all := report(b.me).Totals
		require.Equal(t, []string{"5.00", "10.00"}, []string{all.Revenue, all.Cost}, "never added together")
	}
	check()
	b.rollUp()
	check()

	query := spanOfTests()
	query.Set("format", "csv")
	query.Set("group_by", "offer")
	query.Set("filter.OfferId", b.offer.ID.String())
	rows, err := csv.NewReader(strings.NewReader(string(b.me.get("/api/v1/reports/performance?" + query.Encode()).body))).ReadAll()
	require.NoError(t, err)
	cells := map[string]string{}
	for i, name := range rows[0] {
		cells[name] = rows[1][i]
	}
	require.Equal(t, []string{"0.00", "10.00", "-10.00"}, []string{cells["revenue"], cells["cost"], cells["margin"]})
}
