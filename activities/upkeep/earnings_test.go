package upkeep

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

func earningsOf(rig *activitytest.Rig) *Earnings { return &Earnings{Store: rig.Store, Now: rig.Time} }

// refresh computes the earnings of all tenants and returns those of the rig's, as its own role sees them.
func refresh(rig *activitytest.Rig) map[uuid.UUID]domain.Earnings {
	rig.T.Helper()
	done, err := earningsOf(rig).RefreshEarnings(rig.T.Context())
	require.NoError(rig.T, err)
	require.Zero(rig.T, done.Failed)
	return storedEarnings(rig)
}

func storedEarnings(rig *activitytest.Rig) map[uuid.UUID]domain.Earnings {
	rig.T.Helper()
	found := map[uuid.UUID]domain.Earnings{}
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		rows, err := queries.ListEarnings(ctx, tx, rig.TenantID)
		for _, row := range rows {
			found[row.OfferID] = domain.Earnings{Clicks: row.Clicks, Conversions: row.Conversions, Revenue: row.RevenueMicros, LastRevenueAt: row.LastRevenueAt}
		}
		return err
	})
	return found
}

// Rule 43: counted are clicks that were not refused and live conversions by their receipt, of the last
// 30 days, at their present figures. Tests are not. Computed again, it is the same.
func TestRule43EarningsCountWhatReportsCount(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Repeats), activitytest.Goal("B", activitytest.PendingFor("3")), activitytest.Goal("C", func(e *domain.Event) { e.Revenue = activitytest.Decimal("0") })})
	idle := rig.Offer([]domain.Event{activitytest.Goal("A")})
	first := rig.Time()
	clicks := rig.Clicks(o, 5, func(i int, c *domain.Click) {
		if i == 3 {
			c.RefusedReason = domain.ReasonCapped
		}
		c.IsTest = i == 4
	})
	requireEarned := func(what string, conversions int64, revenue string, last time.Time) {
		t.Helper()
		want := domain.Earnings{Clicks: 4, Conversions: conversions, Revenue: *activitytest.Decimal(revenue), LastRevenueAt: &last}
		for range 2 {
			found := refresh(rig)
			require.Equal(t, want, found[o.ID], what)
			require.NotContains(t, found, idle.ID, "nothing ever came of it")
		}
	}
	rig.Post(clicks[0], "A")
	rig.Wait(time.Hour)
	second := rig.Time()
	rig.Click(o)
	last := rig.Post(clicks[1], "A")
	rig.Wait(time.Hour)
	third := rig.Time()
	late := rig.Post(clicks[1], "B")
	rig.Wait(time.Hour)
	rig.Post(clicks[1], "C")
	rig.Post(clicks[4], "A", func(p *domain.Postback) { p.IsTest = true })
	requireEarned("a Pending one counts, a free one brings no revenue", 4, "7.5", third)
	rig.Review(late.ConversionID, domain.ActionReject)
	requireEarned("rejected, it does not", 3, "5", second)

	raised := *activitytest.Decimal("7.5")
	_, err := rig.Adjust(t.Context(), attribution.AdjustRequest{TenantID: rig.TenantID, ConversionID: *last.ConversionID, Figures: domain.Adjustment{Revenue: &raised},
		RequestID: uuid.NewString(), Actor: "person", Note: "agreed"})
	require.NoError(t, err)
	requireEarned("adjusted", 3, "10", second)
	rig.Review(last.ConversionID, domain.ActionReverse)
	requireEarned("reversed, the one before is the last that brought anything", 2, "2.5", first)
}

// Rule 43: what is older than 30 days does not count; when revenue came last is known for ever, and
// right whether its bucket is rolled up, marked, or emptied by a reversal.
func TestRule43EarningsLeaveTheirWindow(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	rollUp := func() {
		t.Helper()
		_, err := (&Rollups{Store: rig.Store, Now: func() time.Time { return rig.Time().Add(time.Hour) }}).RollUp(t.Context())
		require.NoError(t, err)
	}
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Repeats)})
	first := rig.Time()
	early := rig.Post(rig.Click(o), "A")
	rollUp()
	rig.Wait(domain.EPCWindow)
	second := rig.Time()
	late := rig.Post(rig.Click(o), "A")
	require.Equal(t, domain.Earnings{Clicks: 2, Conversions: 2, Revenue: *activitytest.Decimal("5"), LastRevenueAt: &second}, refresh(rig)[o.ID], "30 days to the second")
	rig.Wait(time.Second)
	require.Equal(t, domain.Earnings{Clicks: 1, Conversions: 1, Revenue: *activitytest.Decimal("2.5"), LastRevenueAt: &second}, refresh(rig)[o.ID], "and a second")

	rig.Wait(domain.EPCWindow)
	require.Equal(t, domain.Earnings{LastRevenueAt: &second}, refresh(rig)[o.ID], "marked")
	rollUp()
	require.Equal(t, domain.Earnings{LastRevenueAt: &second}, refresh(rig)[o.ID], "rolled up")
	rig.Review(late.ConversionID, domain.ActionReverse)
	require.Equal(t, domain.Earnings{LastRevenueAt: &first}, refresh(rig)[o.ID], "reversed")
	rollUp()
	require.Equal(t, domain.Earnings{LastRevenueAt: &first}, refresh(rig)[o.ID], "and rolled up")
	rig.Review(early.ConversionID, domain.ActionReverse)
	require.Equal(t, domain.Earnings{}, refresh(rig)[o.ID], "nothing is left")
}

// Rules 43 and 57: a shared offer earns in the publisher's book. Its advertiser pays.
func TestRule43EarningsOfASharedOffer(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A")})
	own := rig.Offer([]domain.Event{activitytest.Goal("A")})
	for range 3 {
		rig.Sync(p, rig.Post(rig.Click(offer), "A").ConversionID)
	}
	rig.Rig.Post(rig.Rig.Click(own), "A")
	last := rig.Time()
	require.Equal(t, map[uuid.UUID]domain.Earnings{own.ID: {Clicks: 1, Conversions: 1, Revenue: *activitytest.Decimal("2.5"), LastRevenueAt: &last}}, refresh(rig.Rig))
	require.Equal(t, map[uuid.UUID]domain.Earnings{offer.ID: {Clicks: 3, Conversions: 3, Revenue: *activitytest.Decimal("7.5"), LastRevenueAt: &last}}, refresh(rig.Publisher))
}

// Rule 43 and invariant 9: in every snapshot, whatever goes on, the earnings are what the raw rows add
// up to, also where the window begins among them.
func TestRule43EarningsEqualTheirRawRowsAtAnyMoment(t *testing.T) {
	t.Parallel()
	r := newReportRig(t, 8)
	racing, err := db.Open(t.Context(), r.URL, 16)
	require.NoError(t, err)
	defer racing.Close()
	r.Store, r.Quiet, r.rollups.Store = racing, r.Store, racing
	defer func() { r.Store = r.Quiet }()
	random := rand.New(rand.NewPCG(5, 6))
	for range 10 {
		require.NoError(t, r.insert(t.Context(), random))
	}
	const workers, steps = 4, 60
	activitytest.AtOnce(t, workers+1, func(w int) error {
		random := rand.New(rand.NewPCG(uint64(w), 10))
		for range steps {
			if w < workers {
				if err := r.step(t.Context(), random); err != nil {
					return err
				}
				continue
			}
			if err := r.compareEarnings(t.Context(), random); err != nil { // while the others write
				return err
			}
		}
		return nil
	})
	for range 20 {
		require.NoError(t, r.compareEarnings(t.Context(), random))
	}
	require.Positive(t, activitytest.Value[int64](r.Rig, "SELECT count(*) FROM conversions WHERE status = 'Success' AND NOT is_test"))
}

// compareEarnings computes the earnings of some instant and reads the raw rows in one snapshot.
func (r *reportRig) compareEarnings(ctx context.Context, random *rand.Rand) error {
	at := r.Time().Add(domain.EPCWindow - time.Duration(random.IntN(9*3_600_000))*time.Millisecond)
	since := domain.EarningsSince(at)
	tx, err := r.Quiet.SystemPool().BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // so that each instant begins without the last one's
	if _, err := queries.SystemRefreshEarnings(ctx, tx, at, r.TenantID, since); err != nil {
		return err
	}
	stored, err := collect[dbgen.OfferEarning](ctx, tx, "SELECT * FROM offer_earnings")
	if err != nil {
		return err
	}
	raw, err := readRaw(ctx, tx, r.TenantID, time.Time{}, at)
	if err != nil {
		return err
	}
	want, got := raw.earnings(since), map[uuid.UUID]string{}
	for _, row := range stored {
		e := domain.Earnings{Clicks: row.Clicks, Conversions: row.Conversions, Revenue: row.RevenueMicros, LastRevenueAt: row.LastRevenueAt}
		got[row.OfferID] = earningsText(e)
	}
	for _, o := range r.offers {
		if text := earningsText(want[o.ID]); got[o.ID] != text && (got[o.ID] != "" || text != earningsText(domain.Earnings{})) {
			return fmt.Errorf("offer %s at %v: %s, want %s", o.ID, at, got[o.ID], text)
		}
	}
	return nil
}

func earningsText(e domain.Earnings) string {
	last := "never"
	if e.LastRevenueAt != nil {
		last = e.LastRevenueAt.Format(time.RFC3339Nano)
	}
	return fmt.Sprint(e.Clicks, " clicks, ", e.Conversions, " conversions, ", e.Revenue, ", last ", last)
}

// earnings adds up raw rows without a word of the statement's SQL.
func (raw *rawRows) earnings(since time.Time) map[uuid.UUID]domain.Earnings {
	sums := map[uuid.UUID]domain.Earnings{}
	for _, c := range raw.clicks {
		if c.RefusedReason == domain.ReasonNone && !c.ClickedAt.Truncate(time.Millisecond).Before(since) {
			e := sums[c.OfferID]
			e.Clicks++
			sums[c.OfferID] = e
		}
	}
	for _, c := range raw.conversions {
		if c.Status != domain.StatusSuccess && (c.Status != domain.StatusPending || !*c.IsExpected) {
			continue
		}
		e, bucket := sums[c.OfferID], c.ReceivedAt.Truncate(rollupBucket)
		if !c.ReceivedAt.Before(since) {
			e.Conversions, e.Revenue = e.Conversions+1, e.Revenue+c.RevenueMicros
		}
		if c.RevenueMicros > 0 && (e.LastRevenueAt == nil || bucket.After(*e.LastRevenueAt)) {
			e.LastRevenueAt = &bucket
		}
		sums[c.OfferID] = e
	}
	return sums
}

// A run that was slow does not undo what a later one computed.
func TestRule43EarningsNeverGoBack(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	rig.Click(o)
	slow := rig.Time()
	rig.Wait(time.Minute)
	require.Equal(t, int64(1), refresh(rig)[o.ID].Clicks)
	rig.Click(o)
	_, err := (&Earnings{Store: rig.Store, Now: func() time.Time { return slow }}).RefreshEarnings(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), storedEarnings(rig)[o.ID].Clicks)
	require.Equal(t, int64(2), refresh(rig)[o.ID].Clicks)
}

// A tenant whose figures cannot be added up keeps the old ones; the others, more than a page of them,
// get theirs. A database that is away ends the run: its next try makes up for it.
func TestRule43EarningsOfOneTenantKeepNoOther(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	mine, theirs := rig.Offer([]domain.Event{activitytest.Goal("A")}), rig.Publisher.Offer([]domain.Event{activitytest.Goal("A")})
	rig.Rig.Click(mine)
	rig.Publisher.Click(theirs)
	refresh(rig.Rig)
	rig.Rig.Click(mine)
	rig.Publisher.Click(theirs)
	rig.System(`INSERT INTO conversion_rollups (tenant_id, offer_id, bucket, advertiser_id, country, device, event_id, currency, pending, success, rejected,
		revenue_micros, payout_micros, reward_micros, pending_revenue_micros, pending_payout_micros, pending_reward_micros)
		SELECT $1, $2, rollup_bucket($3::timestamptz), $2, '', '', gen_random_uuid(), 'USD', 0, 1, 0, 9223372036854775807, 0, 0, 0, 0, 0 FROM generate_series(1, 2)`,
		rig.TenantID, mine.ID, rig.Time())
	rig.System(`INSERT INTO tenants (tenant_id, name, product, email, currency, timezone, created_at)
		SELECT gen_random_uuid(), 'T', 'publisher', '', 'USD', 'UTC', $1 FROM generate_series(1, $2)`, rig.Time(), activities.ItemsPage)
	done, err := earningsOf(rig.Rig).RefreshEarnings(t.Context())
	require.NoError(t, err)
	require.Equal(t, EarningsRefreshed{Tenants: activities.ItemsPage + 1, Offers: 1, Failed: 1}, done)
	require.Equal(t, int64(1), storedEarnings(rig.Rig)[mine.ID].Clicks)
	require.Equal(t, int64(2), storedEarnings(rig.Publisher)[theirs.ID].Clicks)

	away, err := db.Open(t.Context(), rig.URL, 1)
	require.NoError(t, err)
	away.Close()
	_, err = (&Earnings{Store: away, Now: rig.Time}).RefreshEarnings(t.Context())
	require.Error(t, err)
}

// Rule 43: an offer that pays late ranks like one that pays at once. What a person must let through
// first may never be paid, and does not count (rules 31, 64); where a person approves every conversion
// (rule 22) it does.
func TestRule43OffersThatPayLateEarnAsMuch(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	manual := func(o *domain.Offer) { o.RewardType = domain.RewardTypeManual }
	overCap := func(o *domain.Offer) { o.OverCapPolicy = domain.OverCapPolicyPending }
	for name, c := range map[string]struct {
		offer *domain.Offer
		want  string
	}{
		"at once":                 {rig.Offer([]domain.Event{activitytest.Goal("A")}), "10"},
		"after 30 days":           {rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("30"))}), "10"},
		"by a person, always":     {rig.Offer([]domain.Event{activitytest.Goal("A")}, manual), "10"},
		"what requires approval":  {rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Approval)}), "0"},
		"manual, needs approval":  {rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Approval)}, manual), "0"},
		"beyond a cap, by policy": {rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Capped(1), activitytest.PendingFor("30"))}, overCap), "2.5"},
		"repeats of what is late": {rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Repeats, activitytest.PendingFor("30"))}), "10"},
		"repeats over the cap":    {rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Repeats, activitytest.Capped(1))}, overCap), "2.5"},
	} {
		click := rig.Click(c.offer)
		for i := range 4 {
			if c.offer.Events[0].AllowRepetitions {
				rig.Wait(time.Minute)
			} else if i > 0 {
				click = rig.Click(c.offer)
			}
			answer := rig.Post(click, "A")
			require.NotNil(t, answer.ConversionID, "%s: %+v", name, answer)
		}
		for _, how := range []string{"marked", "rolled up"} {
			require.Equal(t, *activitytest.Decimal(c.want), refresh(rig)[c.offer.ID].Revenue, "%s, %s", name, how)
			_, err := (&Rollups{Store: rig.Store, Now: func() time.Time { return rig.Time().Add(time.Hour) }}).RollUp(t.Context())
			require.NoError(t, err)
		}
	}
}

// Rule 43: rows from before the column say by their wait whether they count, and a rollup from before is
// not trusted with it.
func TestRule43EarningsOfOlderRows(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	late, asked := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("30"))}), rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Approval)})
	rig.Rig.Post(rig.Rig.Click(late), "A")
	rig.Rig.Post(rig.Rig.Click(asked), "A")
	rig.System("UPDATE conversions SET is_expected = NULL")
	_, err := (&Rollups{Store: rig.Store, Now: func() time.Time { return rig.Time().Add(time.Hour) }}).RollUp(t.Context())
	require.NoError(t, err)
	rig.System("UPDATE conversion_rollups SET expected = NULL, expected_revenue_micros = NULL")
	found := refresh(rig.Rig)
	require.Equal(t, *activitytest.Decimal("2.5"), found[late.ID].Revenue)
	require.Zero(t, found[asked.ID].Revenue)
}
