package attribution_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// rules 24, 42: an adjustment is a transition of its own, with a transaction for the difference, its
// news and its audit entry. The books are checked as a whole after the test.
func TestRule42Adjust(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	click := rig.Click(o)
	id := rig.Post(click, "A").ConversionID
	budget := func() int64 {
		return rig.Counter(domain.CapScopeBudget, o.ID, domain.PeriodTotal, (domain.Periods{}).Start(domain.PeriodTotal))
	}
	require.Equal(t, int64(2_500_000), budget())

	request := attribution.AdjustRequest{
		TenantID: rig.TenantID, ConversionID: *id, RequestID: "r1", Actor: "person", Note: "partial refund",
		Figures: domain.Adjustment{Amount: activitytest.Decimal("7"), Revenue: activitytest.Decimal("1.5"), Payout: activitytest.Decimal("0.4"), Reward: activitytest.Decimal("60")},
	}
	for range 3 { // once, however often it is asked
		row, err := rig.Adjust(t.Context(), request)
		require.NoError(t, err)
		require.Equal(t, int64(2), row.Sequence)
		require.Equal(t, *activitytest.Decimal("60"), row.RewardMicros)
	}
	require.Equal(t, int64(60_000_000), rig.Points(*click.PubMemberID))
	require.Equal(t, int64(1_500_000), budget())
	rows := rig.Transitions(id)
	require.Len(t, rows, 2)
	last := rows[1]
	require.Equal(t, []string{"Success", "Success", "", "person", "partial refund"}, []string{last.FromStatus, last.ToStatus, last.Reason, last.Actor, last.Note})
	require.JSONEq(t, `{"amount": null, "revenue": "2.50", "payout": "1.00", "reward": "100.00"}`, string(last.FiguresBefore))
	require.JSONEq(t, `{"amount": "7.00", "revenue": "1.50", "payout": "0.40", "reward": "60.00"}`, string(last.FiguresAfter))
	require.Equal(t, int64(1), activitytest.Value[int64](rig, "SELECT count(*) FROM audit_log WHERE action = 'adjust' AND before->>'reward' = '100.00' AND after->>'reward' = '60.00'"))

	var event stream.ConversionEvent
	require.NoError(t, json.Unmarshal(activitytest.Value[[]byte](rig, "SELECT payload FROM outbox WHERE payload->>'sequence' = '2' AND payload->>'conversionId' = $1", id.String()), &event))
	require.Equal(t, []domain.Status{domain.StatusSuccess, domain.StatusSuccess}, []domain.Status{event.FromStatus, event.Status})
	var news domain.CallbackConversion
	require.NoError(t, json.Unmarshal(event.Conversion, &news))
	require.Equal(t, []string{"60.00", "1.50"}, []string{news.RewardPoints, news.Revenue})

	// A reversal takes back what is there now, a revival gives it again.
	rig.Review(id, domain.ActionReverse)
	require.Zero(t, rig.Points(*click.PubMemberID))
	require.Zero(t, budget())
	require.ErrorIs(t, rig.AdjustBy(id, domain.Adjustment{Reward: activitytest.Decimal("1")}), domain.ErrAdjustRejected)
	rig.Review(id, domain.ActionApprove)
	require.Equal(t, int64(60_000_000), rig.Points(*click.PubMemberID))
	require.ErrorIs(t, rig.AdjustBy(id, domain.Adjustment{Reward: activitytest.Decimal("60")}), domain.ErrNothingAdjusted)
	stranger := uuid.New()
	require.ErrorIs(t, rig.AdjustBy(&stranger, domain.Adjustment{Reward: activitytest.Decimal("1")}), attribution.ErrNoConversion)
}

// A Pending conversion is adjusted without the ledger, and released with its new figures.
func TestAdjustWhilePending(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1"))})
	click := rig.Click(o)
	id := rig.Post(click, "A").ConversionID
	require.NoError(t, rig.AdjustBy(id, domain.Adjustment{Revenue: activitytest.Decimal("1"), Reward: activitytest.Decimal("40")}))
	require.Zero(t, activitytest.Value[int64](rig, "SELECT count(*) FROM ledger_entries"))
	rig.Wait(24 * time.Hour)
	require.Equal(t, domain.StatusSuccess, rig.Review(id, domain.ActionRelease, activitytest.ByTimer).Status)
	require.Equal(t, int64(40_000_000), rig.Points(*click.PubMemberID))
}

// rule 32: a raised revenue takes the difference from the budget, or is refused whole.
func TestRule32AdjustAtTheBudget(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")}, func(o *domain.Offer) { o.Budget = *activitytest.Decimal("6") })
	id := rig.Post(rig.Click(o), "A").ConversionID
	rig.Post(rig.Click(o), "A")
	require.ErrorIs(t, rig.AdjustBy(id, domain.Adjustment{Revenue: activitytest.Decimal("3.500001")}), attribution.ErrBudgetExhausted)
	require.Len(t, rig.Transitions(id), 1, "refused whole")
	require.Equal(t, *activitytest.Decimal("2.5"), rig.Conversion(id).RevenueMicros)
	require.NoError(t, rig.AdjustBy(id, domain.Adjustment{Revenue: activitytest.Decimal("3.5")}))
	override := func(r *attribution.AdjustRequest) { r.OverrideCaps = true }
	require.ErrorIs(t, rig.AdjustBy(id, domain.Adjustment{Revenue: activitytest.Decimal("4")}, override, func(r *attribution.AdjustRequest) { r.Note = " " }), attribution.ErrOverrideNoReason)
	require.NoError(t, rig.AdjustBy(id, domain.Adjustment{Revenue: activitytest.Decimal("4")}, override))
	require.True(t, rig.Transitions(id)[2].OverrideCaps)
}

// rules 25, 41, 42: many hands at once on the same few conversions; the books are checked afterwards.
func TestAdjustAndReviewAtOnce(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, activitytest.RaceConns)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	ids := make([]*uuid.UUID, 4)
	for i := range ids {
		ids[i] = rig.Post(rig.Click(o), "A").ConversionID
	}
	activitytest.AtOnce(t, 24, func(i int) error {
		rng := rand.New(rand.NewPCG(uint64(i), 0))
		for range 12 {
			id := ids[rng.IntN(len(ids))]
			if rng.IntN(2) == 0 {
				figure := domain.Micros(rng.Int64N(200_000_000))
				_, err := rig.Adjust(t.Context(), attribution.AdjustRequest{
					TenantID: rig.TenantID, ConversionID: *id, RequestID: uuid.NewString(), Actor: "person", Note: "n",
					Figures: []domain.Adjustment{{Revenue: &figure}, {Payout: &figure}, {Reward: &figure}}[rng.IntN(3)],
				})
				if err != nil && !errors.Is(err, domain.ErrAdjustRejected) && !errors.Is(err, domain.ErrNothingAdjusted) {
					return err
				}
				continue
			}
			action := []domain.Action{domain.ActionApprove, domain.ActionReverse}[rng.IntN(2)]
			if _, err := rig.ApplyTransition(t.Context(), attribution.TransitionRequest{
				TenantID: rig.TenantID, ConversionID: *id, Action: action, RequestID: uuid.NewString(), Actor: "person",
			}); err != nil {
				return err
			}
		}
		return nil
	})
	require.Greater(t, activitytest.Value[int64](rig, "SELECT count(*) FROM transitions WHERE figures_after IS NOT NULL"), int64(10))
}

func TestRule39AnAdjustmentPaysNobodyWhoIsNotPaid(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	open := rig.Offer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("P", func(e *domain.Event) { e.IsPrivate = true })})
	alone := rig.Post(rig.Click(open, func(c *domain.Click) { c.PartnerID = nil }), "A").ConversionID
	private := rig.Post(rig.Click(open), "P").ConversionID
	for _, id := range []*uuid.UUID{alone, private} {
		require.ErrorIs(t, rig.AdjustBy(id, domain.Adjustment{Payout: activitytest.Decimal("1")}), domain.ErrNobodyToPay)
		require.NoError(t, rig.AdjustBy(id, domain.Adjustment{Revenue: activitytest.Decimal("4")}))
	}
}
