package api_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
)

const conversionsPath = "/api/v1/sdk-conversion-system/conversions"

// shownConversion is the tests' own reading of a conversion.
type shownConversion struct {
	ID, Status, ClickID, OfferID, OfferName, EventID, EventName, OfferEventID string
	RejectionReason, PartnerID, PubMemberID, Amount                           *string
	Revenue, Payout, Reward, Currency                                         string
	CreatedAt, UserCompletedAt                                                time.Time
	ReleaseAt, DecidedAt                                                      *time.Time
	SequenceNumber                                                            int
	NeedsReview, IsTest                                                       bool
	History                                                                   []struct {
		Sequence                      int
		From, To, Reason, Actor, Note string
		At                            time.Time
		OverrideCaps                  bool
	}
	Ledger []struct{ TransactionID, Account, Party, Currency, Amount string }
}

// lately is the range of everything that a test makes.
func lately(more ...string) string {
	query := url.Values{
		"user_completed_at_from": {clocktest.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)},
		"user_completed_at_to":   {clocktest.Now().Add(time.Hour).UTC().Format(time.RFC3339)},
	}
	for i := 0; i < len(more); i += 2 {
		query.Add(more[i], more[i+1])
	}
	return conversionsPath + "?" + query.Encode()
}

func TestConversionsAreListed(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	click := b.click("anna")
	install := *b.postback(click, eventInstall).ConversionID
	level := *b.postback(click, eventLevel).ConversionID
	buy := b.converted("", eventBuy)

	var all page[shownConversion]
	b.me.get(lately("orderby", "createdAt", "order_asc", "true")).into(http.StatusOK, &all)
	require.Equal(t, 3, all.TotalCount)
	first, second, third := all.Items[0], all.Items[1], all.Items[2]
	require.Equal(t, []string{install.String(), level.String(), buy.String()}, []string{first.ID, second.ID, third.ID})
	require.Equal(t, "Success", first.Status)
	require.Nil(t, first.RejectionReason)
	require.Equal(t, click.String(), first.ClickID)
	require.Equal(t, []string{b.offer.ID.String(), "=Coin Game", eventInstall, "Event install", b.offer.Events[0].ID.String()},
		[]string{first.OfferID, first.OfferName, first.EventID, first.EventName, first.OfferEventID})
	require.Equal(t, []string{"5.00", "0.00", "100.00"}, []string{first.Revenue, first.Payout, first.Reward})
	require.Equal(t, "anna", *first.PubMemberID)
	require.NotNil(t, first.DecidedAt)
	require.Nil(t, first.ReleaseAt)
	require.Equal(t, 1, first.SequenceNumber)
	require.Equal(t, "Pending", second.Status)
	require.WithinDuration(t, clocktest.Now().Add(72*time.Hour), *second.ReleaseAt, time.Minute)
	require.Nil(t, second.DecidedAt)
	require.True(t, third.NeedsReview)
	require.Nil(t, third.PubMemberID)

	for filter, want := range map[string]int{
		"status=Pending": 2, "status=Pending&filter.status=Success": 3, "offerId=" + b.offer.ID.String(): 3, "eventId=" + eventBuy: 1,
		"EventId=" + b.offer.Events[1].ID.String(): 1, "eventId=nothing": 0, "pubMemberId=anna": 2, "clickId=" + click.String(): 2,
		"rejectionReason=manual": 0, "partnerId=" + uuid.NewString(): 0, "advertiserId=" + b.offer.AdvertiserID.String(): 3, "needsReview=true": 1,
	} {
		var found page[shownConversion]
		b.me.get(lately()+"&filter."+filter).into(http.StatusOK, &found)
		require.Equal(t, want, found.TotalCount, filter)
	}
	var one page[shownConversion]
	b.me.get(lately("page", "1", "page_size", "2")).into(http.StatusOK, &one)
	require.Len(t, one.Items, 1)
	require.Equal(t, 2, one.TotalPages)
}

func TestConversionsOfWhomAndWhen(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	id := b.converted("anna", eventInstall)
	_, stranger := b.tenant("Stranger")
	var found page[shownConversion]
	stranger.get(lately()).into(http.StatusOK, &found)
	require.Zero(t, found.TotalCount)
	stranger.get("/api/v1/conversions/" + id.String()).refused(http.StatusNotFound)
	for _, scope := range []string{"readonly", "finance"} {
		b.me.token(scope).get(lately()).into(http.StatusOK, &found)
		require.Equal(t, 1, found.TotalCount)
	}
	partner := b.me.made("/api/v1/partners", map[string]any{"name": "P"})
	b.me.token("partner", "partnerId", partner).get(lately()).into(http.StatusOK, &found)
	require.Zero(t, found.TotalCount, "a partner sees its own")

	const from, to = "user_completed_at_from", "user_completed_at_to"
	for query, fields := range map[string][]string{
		"": {from, to}, from + "=2026-01-01": {to}, from + "=then&" + to + "=2026-01-01": {from},
		from + "=2026-01-01&" + to + "=2026-04-02": {to}, from + "=2026-02-01&" + to + "=2026-01-01": {to},
	} {
		b.me.get(conversionsPath+"?"+query).refused(http.StatusBadRequest, fields...)
	}
	b.me.get(conversionsPath+"?"+from+"=2026-01-01&"+to+"=2026-04-01").into(http.StatusOK, nil)
	b.me.get(lately("filter.colour", "red")).refused(http.StatusBadRequest, "filter.colour")
	b.me.get(lately("filter.eventId", "\x00")).into(http.StatusOK, &found)
	require.Zero(t, found.TotalCount)
}

func TestConversionsAsCSV(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	for _, member := range []string{"=1+1", "+49", "-5", "@me", "\tx", "plain, \"quoted\"\nline"} {
		b.converted(member, eventInstall)
	}
	reply := b.me.with("Accept", "text/csv").get(lately("page_size", "2", "order_asc", "true"))
	require.Equal(t, http.StatusOK, reply.status)
	require.Equal(t, "text/csv; charset=utf-8", reply.header.Get("Content-Type"))
	require.Equal(t, "Accept", reply.header.Get("Vary"))
	rows, err := csv.NewReader(strings.NewReader(string(reply.body))).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"id", "status", "rejectionReason", "clickId", "offerId", "offerName", "eventId", "eventName", "partnerId",
		"pubMemberId", "revenue", "payout", "reward", "currency", "amount", "createdAt", "userCompletedAt", "releaseAt", "decidedAt",
		"sequenceNumber"}, rows[0][:20])
	require.Len(t, rows, 7)
	var members []string
	for _, row := range rows[1:] {
		require.Equal(t, "'=Coin Game", row[5])
		require.Equal(t, []string{"5.00", "0.00", "100.00", "USD", ""}, row[10:15])
		members = append(members, row[9])
	}
	require.Equal(t, []string{"'=1+1", "'+49", "'-5", "'@me", "'\tx", "plain, \"quoted\"\nline"}, members)

	require.Len(t, b.me.csv(lately("orderby", "revenue")), 7, "in any order")
	b.me.with("Accept", "text/csv").get(conversionsPath).refused(http.StatusBadRequest, "user_completed_at_from", "user_completed_at_to")
	json := b.me.with("Accept", "application/json, text/csv;q=0").get(lately())
	require.Equal(t, "application/json", json.header.Get("Content-Type"))
}

// Many rows of the same instant: none is lost or sent twice where one batch ends and the next begins.
func TestCSVHasEveryRowOnce(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	id := b.converted("anna", eventInstall)
	const copies = 1100
	b.exec(fmt.Sprintf(`INSERT INTO conversions (SELECT (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'pub_member_id', 'm' || n,
		'unique_per', 'none', 'user_completed_at', c.user_completed_at - (n %% 3) * interval '1 minute'))).*
		FROM conversions c, generate_series(1, %d) n WHERE c.id = '%s')`, copies, id))
	for _, ascending := range []string{"true", "false"} {
		reply := b.me.with("Accept", "text/csv").get(lately("order_asc", ascending))
		rows, err := csv.NewReader(strings.NewReader(string(reply.body))).ReadAll()
		require.NoError(t, err)
		seen := map[string]bool{}
		for i, row := range rows[1:] {
			seen[row[0]] = true
			if i > 0 {
				require.Equal(t, ascending == "true" || row[16] == rows[i][16], row[16] >= rows[i][16])
			}
		}
		require.Len(t, seen, copies+1)
		require.Len(t, rows, copies+2)
	}
}

func TestConversionHistory(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	id := b.converted("anna", eventBuy)
	b.me.post("/api/v1/conversions/review", map[string]any{"action": "approve", "ids": []any{id}, "reason": "looks fine"}).into(http.StatusOK, nil)
	b.me.post("/api/v1/conversions/review", map[string]any{"action": "reverse", "ids": []any{id}}).into(http.StatusOK, nil)
	var shown shownConversion
	b.me.get("/api/v1/conversions/"+id.String()).into(http.StatusOK, &shown)
	require.Equal(t, "Rejected", shown.Status)
	require.Equal(t, "reversed", *shown.RejectionReason)
	require.Equal(t, 3, shown.SequenceNumber)
	require.Len(t, shown.History, 3)
	require.Equal(t, []string{"", "Pending", "postback"}, []string{shown.History[0].From, shown.History[0].To, shown.History[0].Actor})
	approval := shown.History[1]
	require.Equal(t, []string{"Pending", "Success", "", "looks fine"}, []string{approval.From, approval.To, approval.Reason, approval.Note})
	require.Contains(t, approval.Actor, "token ")
	require.Equal(t, "reversed", shown.History[2].Reason)
	require.Len(t, shown.Ledger, 8)
	require.Equal(t, []string{"member_points", "anna", "PTS", "300.00"},
		[]string{shown.Ledger[2].Account, shown.Ledger[2].Party, shown.Ledger[2].Currency, shown.Ledger[2].Amount})
	require.Equal(t, "-300.00", shown.Ledger[6].Amount)
	b.me.get("/api/v1/conversions/" + uuid.NewString()).refused(http.StatusNotFound)
}
