package api_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
)

// insertLive is a conversion of a partner, as a decision would leave it.
func insertLive(t *testing.T, tx pgx.Tx, tenantID, partnerID string, day time.Time, counted bool) {
	t.Helper()
	status, reason := "Success", ""
	if !counted {
		status, reason = "Rejected", "too_soon"
	}
	_, err := tx.Exec(t.Context(), `INSERT INTO conversions (tenant_id, id, click_id, postback_id, offer_id, offer_version, event_id,
		advertiser_id, partner_id, status, rejection_reason, sequence, currency, revenue_micros, payout_micros, reward_micros,
		received_at, created_at, user_completed_at, unique_per, is_counted, counted_day, counted_week, counted_month)
		VALUES ($1, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), $2, 1, $2, $2, $3, $4, $5, 1, 'USD', 0, 0, 0,
		now(), now(), now(), 'click', $6, $7, $7, $7)`, tenantID, uuid.New(), partnerID, status, reason, counted, day)
	require.NoError(t, err)
}

func counters(site *site, partnerID string) map[string]int64 {
	found := map[string]int64{}
	require.NoError(site.t, site.store.System(site.t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(site.t.Context(), "SELECT period, value FROM cap_counters WHERE scope = 'partner' AND scope_id = $1", partnerID)
		require.NoError(site.t, err)
		var period string
		var value int64
		_, err = pgx.ForEachRow(rows, []any{&period, &value}, func() error { found[period] = value; return nil })
		return err
	}))
	return found
}

// A cap that is newly set starts from what is live already.
func TestPartnerCapsAreSeeded(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	tenantID, management := site.tenant("Loyal")
	partnerID := management.made("/api/v1/partners", map[string]any{"name": "P"})
	other := management.made("/api/v1/partners", map[string]any{"name": "Q"})
	today := clocktest.Now().UTC()
	require.NoError(t, site.store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		insertLive(t, tx, tenantID, partnerID, today, true)
		insertLive(t, tx, tenantID, partnerID, today, true)
		insertLive(t, tx, tenantID, partnerID, today, false)
		insertLive(t, tx, tenantID, other, today, true)
		for range 3 {
			insertLive(t, tx, tenantID, partnerID, today.AddDate(-1, -1, 0), true)
		}
		return nil
	}))
	caps := func(body string) { management.put("/api/v1/partners/"+partnerID, body).into(200, nil) }
	caps(`{"caps":{"dailyCap":10}}`)
	require.Equal(t, map[string]int64{"day": 2}, counters(site, partnerID))
	caps(`{"caps":{"dailyCap":20,"weeklyCap":10,"monthlyCap":10,"allTimeCap":10}}`)
	require.Equal(t, map[string]int64{"day": 2, "week": 2, "month": 2, "total": 5}, counters(site, partnerID))
	require.Empty(t, counters(site, other))

	// Nobody keeps the counters of a cap that is not set: none is left to be taken for the truth later.
	caps(`{"caps":{"weeklyCap":10,"monthlyCap":10,"allTimeCap":10}}`)
	require.Equal(t, map[string]int64{"week": 2, "month": 2, "total": 5}, counters(site, partnerID))
}

// An offer on which repeats are switched off waits for the decisions under way: what they make while
// repeats are on, rule 6 must see.
func TestRule6SwitchingRepeatsOffWaitsForDecisions(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	id := x.share(x.offer(multiEvent()), x.publisher).SharedOfferID
	document, _ := x.advertiser.sharedOffer(id)
	event := document["offerEvents"].([]any)[0].(map[string]any)["id"].(string)
	set := func(repeats bool) int {
		patch := map[string]any{"offerEvents": []any{map[string]any{"id": event, "allowRepetitions": repeats}}}
		return x.advertiser.edit(id, patch).status
	}
	require.Equal(t, 200, set(true))
	done := make(chan int, 1)
	require.NoError(t, x.site.store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock_shared(hashtextextended('caps ' || $1::text, 0))", "offer "+id)
		require.NoError(t, err)
		go func() { done <- set(false) }()
		require.Eventually(t, func() bool { return waiting(t, x.site) == 1 }, time.Minute, 20*time.Millisecond)
		return nil
	}))
	require.Equal(t, 200, <-done)
}

// A decision that is under way when a cap is set is waited for and counted.
func TestPartnerCapsWaitForDecisions(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	tenantID, management := site.tenant("Loyal")
	partnerID := management.made("/api/v1/partners", map[string]any{"name": "P"})
	done := make(chan int, 1)
	require.NoError(t, site.store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock_shared(hashtextextended('caps ' || $1::text, 0))", "partner "+partnerID)
		require.NoError(t, err)
		go func() { done <- management.put("/api/v1/partners/"+partnerID, `{"caps":{"allTimeCap":10}}`).status }()
		require.Eventually(t, func() bool { return waiting(t, site) == 1 }, time.Minute, 20*time.Millisecond)
		insertLive(t, tx, tenantID, partnerID, clocktest.Now().UTC(), true)
		return nil
	}))
	require.Equal(t, 200, <-done)
	require.Equal(t, map[string]int64{"total": 1}, counters(site, partnerID))
}

// waiting is how many sessions of the database wait for an advisory lock.
func waiting(t *testing.T, site *site) (n int) {
	t.Helper()
	row := site.store.SystemPool().QueryRow(t.Context(),
		"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	require.NoError(t, row.Scan(&n))
	return n
}
