package attribution_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/domain"
)

// exchangeLife is what a random life of a shared offer's conversions goes by.
type exchangeLife struct {
	*activitytest.SharedRig
	t           *rapid.T
	offer       *domain.Offer
	partnership domain.Partnership
	clicks      []domain.Click
	ids         []uuid.UUID
}

// Invariant 13: whatever the advertiser does with its conversions and whenever, however often and in
// whatever order news of it comes, both books are equal when the last news has come.
func TestInvariant13BothBooksConverge(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 8)
	rapid.Check(t, func(t *rapid.T) {
		life := newLife(rig, t)
		for range rapid.IntRange(1, 14).Draw(t, "steps") {
			life.step()
		}
		life.catchUp()
		rig.RequireEqual(t, life.offer)
	})
}

func newLife(rig *activitytest.SharedRig, t *rapid.T) *exchangeLife {
	life := &exchangeLife{SharedRig: rig, t: t}
	life.offer, life.partnership = rig.SharedOffer([]domain.Event{
		activitytest.Goal("once", func(e *domain.Event) { e.MinTimeFromPreviousEvent = activitytest.Decimal("1") }), activitytest.Goal("often", activitytest.Repeats, activitytest.PendingFor("1")),
		activitytest.Goal("review", activitytest.Approval, func(e *domain.Event) { e.UseDefaultRatio = true }),
	}, func(o *domain.Offer) {
		if rapid.Bool().Draw(t, "a share of the sale") {
			revshare(o)
		}
	})
	first := rig.Click(life.offer)
	life.clicks = []domain.Click{first, rig.Click(life.offer, func(c *domain.Click) { c.PubMemberID = first.PubMemberID }),
		rig.Click(life.offer, func(c *domain.Click) { c.PubMemberID, c.PartnerID = nil, nil })}
	return life
}

// step is one thing that happens.
func (life *exchangeLife) step() {
	id := uuid.Nil
	if len(life.ids) > 0 {
		id = rapid.SampledFrom(life.ids).Draw(life.t, "conversion")
	}
	switch what := rapid.SampledFrom([]string{"post", "post", "review", "review", "adjust", "wait", "sync", "sync"}).Draw(life.t, "what"); {
	case what == "wait":
		life.Wait(time.Duration(rapid.Int64Range(1, 3*60).Draw(life.t, "minutes")) * time.Minute)
	case what == "post" || id == uuid.Nil:
		life.convert()
	case what == "review":
		_, err := life.ApplyTransition(life.SharedRig.T.Context(), attribution.TransitionRequest{
			TenantID: life.TenantID, ConversionID: id, RequestID: uuid.NewString(), Actor: "person",
			Action: rapid.SampledFrom([]domain.Action{domain.ActionApprove, domain.ActionReject, domain.ActionReverse}).Draw(life.t, "action"),
		})
		require.NoError(life.t, err)
	case what == "adjust":
		revenue, amount := domain.Micros(rapid.Int64Range(0, 9_000_000).Draw(life.t, "revenue")), domain.Micros(7)
		_, err := life.Adjust(life.SharedRig.T.Context(), attribution.AdjustRequest{
			TenantID: life.TenantID, ConversionID: id, RequestID: uuid.NewString(), Actor: "person", Note: "n",
			Figures: domain.Adjustment{Revenue: &revenue, Amount: &amount},
		})
		if !errors.Is(err, domain.ErrAdjustRejected) && !errors.Is(err, domain.ErrNothingAdjusted) {
			require.NoError(life.t, err)
		}
	default:
		life.trySync(id)
	}
}

func (life *exchangeLife) convert() {
	click := rapid.SampledFrom(life.clicks).Draw(life.t, "click")
	event := rapid.SampledFrom([]string{"once", "often", "review"}).Draw(life.t, "event")
	result, err := life.Decide(life.SharedRig.T.Context(), life.TenantID, life.Postback(click, event, func(b *domain.Postback) {
		b.Amount = rapid.SampledFrom([]string{"", "10", "99.999999"}).Draw(life.t, "amount")
		b.ConversionID = uuid.NewString()
	}))
	require.NoError(life.t, err)
	if result.Answer.Outcome == domain.OutcomeAccepted || result.Answer.Outcome == domain.OutcomeRejected {
		life.ids = append(life.ids, *result.Answer.ConversionID)
	}
}

// trySync says whether it went through; else a conversion of the same event is live yet in the
// publisher's book, and it is tried again.
func (life *exchangeLife) trySync(id uuid.UUID) bool {
	_, err := life.Exchange().SyncConversion(life.SharedRig.T.Context(), life.partnership, id)
	if db.UniqueViolation(err) != "" {
		return false
	}
	require.NoError(life.t, err)
	return true
}

// catchUp delivers the last news of every conversion, in any order; what must wait for another is tried
// again behind it.
func (life *exchangeLife) catchUp() {
	waiting := life.ids
	if len(waiting) > 0 {
		waiting = rapid.Permutation(waiting).Draw(life.t, "order")
	}
	for len(waiting) > 0 {
		var still []uuid.UUID
		for _, id := range waiting {
			if !life.trySync(id) {
				still = append(still, id)
			}
		}
		require.Less(life.t, len(still), len(waiting), "they wait for each other")
		waiting = still
	}
}
