package activities

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

func earningsOf(rig *decisionRig) *Earnings { return &Earnings{Store: rig.Store, Now: rig.now} }

// refresh computes the earnings of all tenants and returns those of the rig's, as its own role sees them.
func refresh(rig *decisionRig) map[uuid.UUID]domain.Earnings {
	rig.t.Helper()
	done, err := earningsOf(rig).RefreshEarnings(rig.t.Context())
	require.NoError(rig.t, err)
	require.Zero(rig.t, done.Failed)
	return storedEarnings(rig)
}

func storedEarnings(rig *decisionRig) map[uuid.UUID]domain.Earnings {
	rig.t.Helper()
	found := map[uuid.UUID]domain.Earnings{}
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		rows, err := queries.ListEarnings(ctx, tx, rig.tenantID)
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
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A", repeats), goal("B", pendingFor("3")), goal("C", func(e *domain.Event) { e.Revenue = decimal("0") })})
	idle := rig.offer([]domain.Event{goal("A")})
	first := rig.now()
	clicks := rig.clicks(o, 5, func(i int, c *domain.Click) {
		if i == 3 {
			c.RefusedReason = domain.ReasonCapped
		}
		c.IsTest = i == 4
	})
	requireEarned := func(what string, conversions int64, revenue string, last time.Time) {
		t.Helper()
		want := domain.Earnings{Clicks: 4, Conversions: conversions, Revenue: *decimal(revenue), LastRevenueAt: &last}
		for range 2 {
			found := refresh(rig)
			require.Equal(t, want, found[o.ID], what)
			require.NotContains(t, found, idle.ID, "nothing ever came of it")
		}
	}
	rig.post(clicks[0], "A")
	rig.wait(time.Hour)
	second := rig.now()
	rig.click(o)
	last := rig.post(clicks[1], "A")
	rig.wait(time.Hour)
	third := rig.now()
	late := rig.post(clicks[1], "B")
	rig.wait(time.Hour)
	rig.post(clicks[1], "C")
	rig.post(clicks[4], "A", func(p *domain.Postback) { p.IsTest = true })
	requireEarned("a Pending one counts, a free one brings no revenue", 4, "7.5", third)
	rig.review(late.ConversionID, domain.ActionReject)
	requireEarned("rejected, it does not", 3, "5", second)

	raised := *decimal("7.5")
	_, err := rig.Adjust(t.Context(), AdjustRequest{TenantID: rig.tenantID, ConversionID: *last.ConversionID, Figures: domain.Adjustment{Revenue: &raised},
		RequestID: uuid.NewString(), Actor: "person", Note: "agreed"})
	require.NoError(t, err)
	requireEarned("adjusted", 3, "10", second)
	rig.review(last.ConversionID, domain.ActionReverse)
	requireEarned("reversed, the one before is the last that brought anything", 2, "2.5", first)
}

// Rule 43: what is older than 30 days does not count; when revenue came last is known for ever, and
// right whether its bucket is rolled up, marked, or emptied by a reversal.
func TestRule43EarningsLeaveTheirWindow(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	rollUp := func() {
		t.Helper()
		_, err := (&Rollups{Store: rig.Store, Now: func() time.Time { return rig.now().Add(time.Hour) }}).RollUp(t.Context())
		require.NoError(t, err)
	}
	o := rig.offer([]domain.Event{goal("A", repeats)})
	first := rig.now()
	early := rig.post(rig.click(o), "A")
	rollUp()
	rig.wait(domain.EPCWindow)
	second := rig.now()
	late := rig.post(rig.click(o), "A")
	require.Equal(t, domain.Earnings{Clicks: 2, Conversions: 2, Revenue: *decimal("5"), LastRevenueAt: &second}, refresh(rig)[o.ID], "30 days to the second")
	rig.wait(time.Second)
	require.Equal(t, domain.Earnings{Clicks: 1, Conversions: 1, Revenue: *decimal("2.5"), LastRevenueAt: &second}, refresh(rig)[o.ID], "and a second")

	rig.wait(domain.EPCWindow)
	require.Equal(t, domain.Earnings{LastRevenueAt: &second}, refresh(rig)[o.ID], "marked")
	rollUp()
	require.Equal(t, domain.Earnings{LastRevenueAt: &second}, refresh(rig)[o.ID], "rolled up")
	rig.review(late.ConversionID, domain.ActionReverse)
	require.Equal(t, domain.Earnings{LastRevenueAt: &first}, refresh(rig)[o.ID], "reversed")
	rollUp()
	require.Equal(t, domain.Earnings{LastRevenueAt: &first}, refresh(rig)[o.ID], "and rolled up")
	rig.review(early.ConversionID, domain.ActionReverse)
	require.Equal(t, domain.Earnings{}, refresh(rig)[o.ID], "nothing is left")
}

// Rules 43 and 57: a shared offer earns in the publisher's book. Its advertiser pays.
func TestRule43EarningsOfASharedOffer(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A")})
	own := rig.offer([]domain.Event{goal("A")})
	for range 3 {
		rig.sync(p, rig.post(rig.click(offer), "A").ConversionID)
	}
	rig.decisionRig.post(rig.decisionRig.click(own), "A")
	last := rig.now()
	require.Equal(t, map[uuid.UUID]domain.Earnings{own.ID: {Clicks: 1, Conversions: 1, Revenue: *decimal("2.5"), LastRevenueAt: &last}}, refresh(rig.decisionRig))
	require.Equal(t, map[uuid.UUID]domain.Earnings{offer.ID: {Clicks: 3, Conversions: 3, Revenue: *decimal("7.5"), LastRevenueAt: &last}}, refresh(rig.publisher))
}

// Rule 43 and invariant 9: in every snapshot, whatever goes on, the earnings are what the raw rows add
// up to, also where the window begins among them.
func TestRule43EarningsEqualTheirRawRowsAtAnyMoment(t *testing.T) {
	t.Parallel()
	r := newReportRig(t, 8)
	racing, err := db.Open(t.Context(), r.url, 16)
	require.NoError(t, err)
	defer racing.Close()
	r.Store, r.quiet, r.rollups.Store = racing, r.Store, racing
	defer func() { r.Store = r.quiet }()
	random := rand.New(rand.NewPCG(5, 6))
	for range 10 {
		require.NoError(t, r.insert(t.Context(), random))
	}
	const workers, steps = 4, 60
	atOnce(t, workers+1, func(w int) error {
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
	require.Positive(t, value[int64](r.decisionRig, "SELECT count(*) FROM conversions WHERE status = 'Success' AND NOT is_test"))
}

// compareEarnings computes the earnings of some instant and reads the raw rows in one snapshot.
func (r *reportRig) compareEarnings(ctx context.Context, random *rand.Rand) error {
	at := r.now().Add(domain.EPCWindow - time.Duration(random.IntN(9*3_600_000))*time.Millisecond)
	since := domain.EarningsSince(at)
	tx, err := r.quiet.SystemPool().BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // so that each instant begins without the last one's
	if _, err := queries.SystemRefreshEarnings(ctx, tx, at, r.tenantID, since); err != nil {
		return err
	}
	stored, err := collect[dbgen.OfferEarning](ctx, tx, "SELECT * FROM offer_earnings")
	if err != nil {
		return err
	}
	raw, err := readRaw(ctx, tx, r.tenantID, time.Time{}, at)
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
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A")})
	rig.click(o)
	slow := rig.now()
	rig.wait(time.Minute)
	require.Equal(t, int64(1), refresh(rig)[o.ID].Clicks)
	rig.click(o)
	_, err := (&Earnings{Store: rig.Store, Now: func() time.Time { return slow }}).RefreshEarnings(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), storedEarnings(rig)[o.ID].Clicks)
	require.Equal(t, int64(2), refresh(rig)[o.ID].Clicks)
}

// A tenant whose figures cannot be added up keeps the old ones; the others, more than a page of them,
// get theirs. A database that is away ends the run: its next try makes up for it.
func TestRule43EarningsOfOneTenantKeepNoOther(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	mine, theirs := rig.offer([]domain.Event{goal("A")}), rig.publisher.offer([]domain.Event{goal("A")})
	rig.decisionRig.click(mine)
	rig.publisher.click(theirs)
	refresh(rig.decisionRig)
	rig.decisionRig.click(mine)
	rig.publisher.click(theirs)
	rig.system(`INSERT INTO conversion_rollups (tenant_id, offer_id, bucket, advertiser_id, country, device, event_id, currency, pending, success, rejected,
		revenue_micros, payout_micros, reward_micros, pending_revenue_micros, pending_payout_micros, pending_reward_micros)
		SELECT $1, $2, rollup_bucket($3::timestamptz), $2, '', '', gen_random_uuid(), 'USD', 0, 1, 0, 9223372036854775807, 0, 0, 0, 0, 0 FROM generate_series(1, 2)`,
		rig.tenantID, mine.ID, rig.now())
	rig.system(`INSERT INTO tenants (tenant_id, name, product, email, currency, timezone, created_at)
		SELECT gen_random_uuid(), 'T', 'publisher', '', 'USD', 'UTC', $1 FROM generate_series(1, $2)`, rig.now(), ItemsPage)
	done, err := earningsOf(rig.decisionRig).RefreshEarnings(t.Context())
	require.NoError(t, err)
	require.Equal(t, EarningsRefreshed{Tenants: ItemsPage + 1, Offers: 1, Failed: 1}, done)
	require.Equal(t, int64(1), storedEarnings(rig.decisionRig)[mine.ID].Clicks)
	require.Equal(t, int64(2), storedEarnings(rig.publisher)[theirs.ID].Clicks)

	away, err := db.Open(t.Context(), rig.url, 1)
	require.NoError(t, err)
	away.Close()
	_, err = (&Earnings{Store: away, Now: rig.now}).RefreshEarnings(t.Context())
	require.Error(t, err)
}

// Rule 43: an offer that pays late ranks like one that pays at once. What a person must let through
// first may never be paid, and does not count (rules 31, 64); where a person approves every conversion
// (rule 22) it does.
func TestRule43OffersThatPayLateEarnAsMuch(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	manual := func(o *domain.Offer) { o.RewardType = domain.RewardTypeManual }
	overCap := func(o *domain.Offer) { o.OverCapPolicy = domain.OverCapPolicyPending }
	for name, c := range map[string]struct {
		offer *domain.Offer
		want  string
	}{
		"at once":                 {rig.offer([]domain.Event{goal("A")}), "10"},
		"after 30 days":           {rig.offer([]domain.Event{goal("A", pendingFor("30"))}), "10"},
		"by a person, always":     {rig.offer([]domain.Event{goal("A")}, manual), "10"},
		"what requires approval":  {rig.offer([]domain.Event{goal("A", approval)}), "0"},
		"manual, needs approval":  {rig.offer([]domain.Event{goal("A", approval)}, manual), "0"},
		"beyond a cap, by policy": {rig.offer([]domain.Event{goal("A", capped(1), pendingFor("30"))}, overCap), "2.5"},
		"repeats of what is late": {rig.offer([]domain.Event{goal("A", repeats, pendingFor("30"))}), "10"},
		"repeats over the cap":    {rig.offer([]domain.Event{goal("A", repeats, capped(1))}, overCap), "2.5"},
	} {
		click := rig.click(c.offer)
		for i := range 4 {
			if c.offer.Events[0].AllowRepetitions {
				rig.wait(time.Minute)
			} else if i > 0 {
				click = rig.click(c.offer)
			}
			answer := rig.post(click, "A")
			require.NotNil(t, answer.ConversionID, "%s: %+v", name, answer)
		}
		for _, how := range []string{"marked", "rolled up"} {
			require.Equal(t, *decimal(c.want), refresh(rig)[c.offer.ID].Revenue, "%s, %s", name, how)
			_, err := (&Rollups{Store: rig.Store, Now: func() time.Time { return rig.now().Add(time.Hour) }}).RollUp(t.Context())
			require.NoError(t, err)
		}
	}
}

// Rule 43: rows from before the column say by their wait whether they count, and a rollup from before is
// not trusted with it.
func TestRule43EarningsOfOlderRows(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	late, asked := rig.offer([]domain.Event{goal("A", pendingFor("30"))}), rig.offer([]domain.Event{goal("A", approval)})
	rig.decisionRig.post(rig.decisionRig.click(late), "A")
	rig.decisionRig.post(rig.decisionRig.click(asked), "A")
	rig.system("UPDATE conversions SET is_expected = NULL")
	_, err := (&Rollups{Store: rig.Store, Now: func() time.Time { return rig.now().Add(time.Hour) }}).RollUp(t.Context())
	require.NoError(t, err)
	rig.system("UPDATE conversion_rollups SET expected = NULL, expected_revenue_micros = NULL")
	found := refresh(rig.decisionRig)
	require.Equal(t, *decimal("2.5"), found[late.ID].Revenue)
	require.Zero(t, found[asked.ID].Revenue)
}
