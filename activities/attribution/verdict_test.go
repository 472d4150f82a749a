package attribution_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

func TestRule77ASuccessIsTakenBackAndGivenAgain(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Capped(1))}, activitytest.Trusted)
	click := rig.Click(o)
	first := rig.Post(click, "A")
	require.Equal(t, domain.StatusSuccess, first.Status)
	require.Equal(t, domain.ReasonCapTotal, rig.Post(rig.Click(o), "A").Reason)

	rejection := rig.Postback(click, "A", activitytest.Says("Rejected"))
	answer := rig.MustDecide(rejection).Answer
	require.Equal(t, []any{domain.OutcomeRejected, domain.ReasonReversed, domain.StatusRejected, *first.ConversionID},
		[]any{answer.Outcome, answer.Reason, answer.Status, *answer.ConversionID})
	require.Zero(t, rig.Points(*click.PubMemberID))
	require.Zero(t, rig.RevenueBooked())
	require.Equal(t, answer, rig.MustDecide(rejection).Answer, "the same postback again: the same answer, and nothing moves")
	history := rig.Transitions(first.ConversionID)
	require.Len(t, history, 2)
	require.Equal(t, []any{"advertiser", "status=Rejected", "reversed", rejection.ID.String()},
		[]any{history[1].Actor, history[1].Note, history[1].Reason, history[1].RequestID})
	require.Zero(t, activitytest.Value[int64](rig, "SELECT count(*) FROM audit_log"), "nobody of the tenant did it")

	require.Equal(t, domain.OutcomeRejected, rig.Post(click, "A").Outcome, "any other postback answers the Rejected row")
	other := rig.Post(rig.Click(o), "A")
	require.Equal(t, domain.StatusSuccess, other.Status, "the cap has its slot again")
	answer = rig.Post(click, "A", activitytest.Says("approved"))
	require.Equal(t, []any{domain.OutcomeRejected, domain.ReasonCapTotal, domain.StatusRejected}, []any{answer.Outcome, answer.Reason, answer.Status},
		"rule 25: no override")
	rig.Review(other.ConversionID, domain.ActionReverse)
	answer = rig.Post(click, "A", activitytest.Says("approved"))
	require.Equal(t, []any{domain.OutcomeAccepted, domain.StatusSuccess, *first.ConversionID}, []any{answer.Outcome, answer.Status, *answer.ConversionID},
		"the same row")
	require.Equal(t, int64(100_000_000), rig.Points(*click.PubMemberID))
	event := rig.NewsOf(first.ConversionID)
	require.Equal(t, []any{"Success", "Rejected", "Success"}, []any{event[0]["status"], event[1]["status"], event[2]["status"]})
	require.EqualValues(t, 1, activitytest.Value[int64](rig, `SELECT count(*) FROM outbox WHERE (payload->>'rewardWasSent')::boolean AND payload->>'conversionId' = $1`,
		first.ConversionID.String()), "rule 50: the reversal of what was sent is always sent")
}

func TestRule77PendingUntilTheVerdict(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), activitytest.Goal("B", activitytest.Numbered(2), activitytest.PendingFor("1"))}, activitytest.Trusted)
	click := rig.Click(o)
	waiting := rig.MustDecide(rig.Postback(click, "A", activitytest.Says("pending")))
	require.Equal(t, []any{domain.OutcomeAccepted, domain.StatusPending}, []any{waiting.Answer.Outcome, waiting.Answer.Status})
	require.Len(t, waiting.Waiting, 1, "somebody waits for it")
	id := waiting.Answer.ConversionID
	require.True(t, rig.Conversion(id).NeedsReview)
	rig.Wait(time.Minute)
	approved := rig.MustDecide(rig.Postback(click, "A", activitytest.Says("APPROVED")))
	require.Equal(t, []any{domain.OutcomeAccepted, domain.StatusSuccess, *id}, []any{approved.Answer.Outcome, approved.Answer.Status, *approved.Answer.ConversionID})
	require.False(t, rig.Conversion(id).NeedsReview)
	require.EqualValues(t, 1, activitytest.Value[int64](rig, "SELECT count(*) FROM outbox WHERE (payload->>'endsWait')::boolean"), "the run that waits for it ends")

	second := rig.Post(click, "B")
	require.Equal(t, domain.StatusPending, second.Status)
	rejected := rig.Post(click, "B", activitytest.Says("cancelled"))
	require.Equal(t, []any{domain.OutcomeRejected, domain.ReasonAdvertiser, *second.ConversionID},
		[]any{rejected.Outcome, rejected.Reason, *rejected.ConversionID})
	rig.Wait(25 * time.Hour)
	require.Equal(t, domain.StatusRejected, rig.Review(second.ConversionID, domain.ActionRelease, activitytest.ByTimer).Status, "its release comes to nothing")
}

func TestRule77AHeldOneIsRejectedWithIt(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), activitytest.Goal("B", activitytest.Numbered(2))}, activitytest.Trusted)
	click := rig.Click(o)
	early := rig.Postback(click, "B")
	require.Equal(t, domain.OutcomeHeld, rig.MustDecide(early).Answer.Outcome)
	rig.Wait(time.Minute)
	rejection := rig.Post(click, "B", activitytest.Says("rejected"))
	require.Equal(t, domain.ReasonAdvertiser, rejection.Reason)
	require.Zero(t, activitytest.Value[int64](rig, "SELECT count(*) FROM held_postbacks"), "it is decided at once, and waits for nothing")
	answer := rig.MustDecide(early).Answer
	require.Equal(t, []any{domain.OutcomeRejected, domain.ReasonAdvertiser, *rejection.ConversionID}, []any{answer.Outcome, answer.Reason, *answer.ConversionID})
	rig.Post(click, "A")
	revived := rig.Post(click, "B", activitytest.Says("approved"))
	require.Equal(t, []any{domain.StatusSuccess, *rejection.ConversionID}, []any{revived.Status, *revived.ConversionID})
}

func TestRule77WhoIsBelieved(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	click := rig.Click(o)
	live := rig.Post(click, "A")
	doubted := rig.Postback(click, "A", activitytest.Says("rejected"))
	for range 2 { // a redelivery leaves one finding
		require.Equal(t, domain.OutcomeDuplicate, rig.MustDecide(doubted).Answer.Outcome)
	}
	require.Equal(t, domain.StatusSuccess, rig.Conversion(live.ConversionID).Status)
	require.Equal(t, *live.ConversionID, activitytest.Value[uuid.UUID](rig, "SELECT conversion_id FROM verdict_findings WHERE postback_id = $1 AND said = 'rejected' AND NOT authenticated", doubted.ID))

	fresh := rig.Click(o)
	answer := rig.Post(fresh, "A", activitytest.Says("rejected"))
	require.Equal(t, []any{domain.OutcomeAccepted, domain.StatusPending}, []any{answer.Outcome, answer.Status})
	require.True(t, rig.Conversion(answer.ConversionID).NeedsReview)
	require.Nil(t, answer.ReleaseAt)

	rig.Set("UPDATE advertisers SET ip_allowlist = '{192.0.2.1}'") // rule 67: authenticated from now on
	require.Equal(t, domain.ReasonReversed, rig.Post(click, "A", activitytest.Says("rejected")).Reason)
	require.Equal(t, domain.ReasonAdvertiser, rig.Post(fresh, "A", activitytest.Says("rejected")).Reason)
	require.Equal(t, domain.ReasonIPNotAllowed, rig.Post(click, "A", activitytest.Says("approved"), func(p *domain.Postback) { p.SourceIP = "192.0.2.2" }).Reason)
	require.Equal(t, domain.StatusRejected, rig.Conversion(live.ConversionID).Status)
}

// Nothing is revived beside another that is live: it stays Rejected, and the postback has its answer.
func TestRule77NothingIsRevivedBesideALiveOne(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")}, activitytest.Trusted)
	one := "one member"
	clicks := rig.Clicks(o, 2, func(_ int, c *domain.Click) { c.PubMemberID = &one })
	declined := rig.Post(clicks[0], "A", activitytest.Says("rejected"))
	require.Equal(t, domain.StatusSuccess, rig.Post(clicks[1], "A").Status)
	rig.Post(clicks[0], "A", activitytest.Says("approved"))
	require.Equal(t, domain.StatusRejected, rig.Conversion(declined.ConversionID).Status)
	require.Equal(t, int64(100_000_000), rig.Points(one))
	repeating := rig.Edit(o, func(o *domain.Offer) { o.Events[0].AllowRepetitions = true })
	answer := rig.Post(clicks[0], "A", activitytest.Says("approved"))
	require.Equal(t, domain.OutcomeRejected, answer.Outcome, "also where repeats are on by now: the row is of a time when they were not (version %d)", repeating.Version)
	require.Equal(t, int64(100_000_000), rig.Points(one))
}

// Verdicts at once make one move.
func TestRule77VerdictsAtOnce(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 16)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")}, activitytest.Trusted)
	click := rig.Click(o)
	id := rig.Post(click, "A").ConversionID
	activitytest.AtOnce(t, 40, func(int) error {
		_, err := rig.Decide(t.Context(), rig.TenantID, rig.Postback(click, "A", activitytest.Says("rejected")))
		return err
	})
	require.EqualValues(t, 2, rig.Conversion(id).Sequence)
	require.EqualValues(t, 1, activitytest.Value[int64](rig, "SELECT count(*) FROM conversions"))
}

func TestRule77TheOtherBookFollows(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	o, partnership := rig.SharedOffer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("B")}, activitytest.Trusted)
	click := rig.Click(o)
	id := rig.Post(click, "A").ConversionID
	declined := rig.Post(click, "B", activitytest.Says("rejected")).ConversionID
	rig.Post(click, "A", activitytest.Says("rejected"))
	for _, one := range []*uuid.UUID{id, declined} {
		rig.Sync(partnership, one)
	}
	require.Equal(t, []any{domain.StatusRejected, domain.ReasonReversed}, []any{rig.Publisher.Conversion(id).Status, rig.Publisher.Conversion(id).RejectionReason})
	require.Equal(t, domain.ReasonAdvertiser, rig.Publisher.Conversion(declined).RejectionReason)
	require.Zero(t, rig.Publisher.Points(*click.PubMemberID))
	rig.Post(click, "A", activitytest.Says("approved"))
	rig.Sync(partnership, id)
	require.Equal(t, domain.StatusSuccess, rig.Publisher.Conversion(id).Status)
	rig.RequireEqual(t, o)
	require.Zero(t, activitytest.Value[int64](rig.Rig, "SELECT count(*) FROM outbox WHERE subject = $1 AND (payload->>'endsWait')::boolean", stream.SubjectConversion))
}
