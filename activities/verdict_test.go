package activities

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

func TestRule77ASuccessIsTakenBackAndGivenAgain(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A", capped(1))}, trusted)
	click := rig.click(o)
	first := rig.post(click, "A")
	require.Equal(t, domain.StatusSuccess, first.Status)
	require.Equal(t, domain.ReasonCapTotal, rig.post(rig.click(o), "A").Reason)

	rejection := rig.postback(click, "A", says("Rejected"))
	answer := rig.decide(rejection).Answer
	require.Equal(t, []any{domain.OutcomeRejected, domain.ReasonReversed, domain.StatusRejected, *first.ConversionID},
		[]any{answer.Outcome, answer.Reason, answer.Status, *answer.ConversionID})
	require.Zero(t, rig.points(*click.PubMemberID))
	require.Zero(t, rig.revenueBooked())
	require.Equal(t, answer, rig.decide(rejection).Answer, "the same postback again: the same answer, and nothing moves")
	history := rig.transitions(first.ConversionID)
	require.Len(t, history, 2)
	require.Equal(t, []any{"advertiser", "status=Rejected", "reversed", rejection.ID.String()},
		[]any{history[1].Actor, history[1].Note, history[1].Reason, history[1].RequestID})
	require.Zero(t, value[int64](rig, "SELECT count(*) FROM audit_log"), "nobody of the tenant did it")

	require.Equal(t, domain.OutcomeRejected, rig.post(click, "A").Outcome, "any other postback answers the Rejected row")
	other := rig.post(rig.click(o), "A")
	require.Equal(t, domain.StatusSuccess, other.Status, "the cap has its slot again")
	answer = rig.post(click, "A", says("approved"))
	require.Equal(t, []any{domain.OutcomeRejected, domain.ReasonCapTotal, domain.StatusRejected}, []any{answer.Outcome, answer.Reason, answer.Status},
		"rule 25: no override")
	rig.review(other.ConversionID, domain.ActionReverse)
	answer = rig.post(click, "A", says("approved"))
	require.Equal(t, []any{domain.OutcomeAccepted, domain.StatusSuccess, *first.ConversionID}, []any{answer.Outcome, answer.Status, *answer.ConversionID},
		"the same row")
	require.Equal(t, int64(100_000_000), rig.points(*click.PubMemberID))
	news := rig.newsOf(first.ConversionID)
	require.Equal(t, []any{"Success", "Rejected", "Success"}, []any{news[0]["status"], news[1]["status"], news[2]["status"]})
	require.EqualValues(t, 1, value[int64](rig, `SELECT count(*) FROM outbox WHERE (payload->>'rewardWasSent')::boolean AND payload->>'conversionId' = $1`,
		first.ConversionID.String()), "rule 50: the reversal of what was sent is always sent")
}

func TestRule77PendingUntilTheVerdict(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A", numbered(1)), goal("B", numbered(2), pendingFor("1"))}, trusted)
	click := rig.click(o)
	waiting := rig.decide(rig.postback(click, "A", says("pending")))
	require.Equal(t, []any{domain.OutcomeAccepted, domain.StatusPending}, []any{waiting.Answer.Outcome, waiting.Answer.Status})
	require.Len(t, waiting.Waiting, 1, "somebody waits for it")
	id := waiting.Answer.ConversionID
	require.True(t, rig.conversion(id).NeedsReview)
	rig.wait(time.Minute)
	approved := rig.decide(rig.postback(click, "A", says("APPROVED")))
	require.Equal(t, []any{domain.OutcomeAccepted, domain.StatusSuccess, *id}, []any{approved.Answer.Outcome, approved.Answer.Status, *approved.Answer.ConversionID})
	require.False(t, rig.conversion(id).NeedsReview)
	require.EqualValues(t, 1, value[int64](rig, "SELECT count(*) FROM outbox WHERE (payload->>'endsWait')::boolean"), "the run that waits for it ends")

	second := rig.post(click, "B")
	require.Equal(t, domain.StatusPending, second.Status)
	rejected := rig.post(click, "B", says("cancelled"))
	require.Equal(t, []any{domain.OutcomeRejected, domain.ReasonAdvertiser, *second.ConversionID},
		[]any{rejected.Outcome, rejected.Reason, *rejected.ConversionID})
	rig.wait(25 * time.Hour)
	require.Equal(t, domain.StatusRejected, rig.review(second.ConversionID, domain.ActionRelease, byTimer).Status, "its release comes to nothing")
}

func TestRule77AHeldOneIsRejectedWithIt(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A", numbered(1)), goal("B", numbered(2))}, trusted)
	click := rig.click(o)
	early := rig.postback(click, "B")
	require.Equal(t, domain.OutcomeHeld, rig.decide(early).Answer.Outcome)
	rig.wait(time.Minute)
	rejection := rig.post(click, "B", says("rejected"))
	require.Equal(t, domain.ReasonAdvertiser, rejection.Reason)
	require.Zero(t, value[int64](rig, "SELECT count(*) FROM held_postbacks"), "it is decided at once, and waits for nothing")
	answer := rig.decide(early).Answer
	require.Equal(t, []any{domain.OutcomeRejected, domain.ReasonAdvertiser, *rejection.ConversionID}, []any{answer.Outcome, answer.Reason, *answer.ConversionID})
	rig.post(click, "A")
	revived := rig.post(click, "B", says("approved"))
	require.Equal(t, []any{domain.StatusSuccess, *rejection.ConversionID}, []any{revived.Status, *revived.ConversionID})
}

func TestRule77WhoIsBelieved(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A")})
	click := rig.click(o)
	live := rig.post(click, "A")
	doubted := rig.postback(click, "A", says("rejected"))
	for range 2 { // a redelivery leaves one finding
		require.Equal(t, domain.OutcomeDuplicate, rig.decide(doubted).Answer.Outcome)
	}
	require.Equal(t, domain.StatusSuccess, rig.conversion(live.ConversionID).Status)
	require.Equal(t, *live.ConversionID, value[uuid.UUID](rig, "SELECT conversion_id FROM verdict_findings WHERE postback_id = $1 AND said = 'rejected' AND NOT authenticated", doubted.ID))

	fresh := rig.click(o)
	answer := rig.post(fresh, "A", says("rejected"))
	require.Equal(t, []any{domain.OutcomeAccepted, domain.StatusPending}, []any{answer.Outcome, answer.Status})
	require.True(t, rig.conversion(answer.ConversionID).NeedsReview)
	require.Nil(t, answer.ReleaseAt)

	rig.set("UPDATE advertisers SET ip_allowlist = '{192.0.2.1}'") // rule 67: authenticated from now on
	require.Equal(t, domain.ReasonReversed, rig.post(click, "A", says("rejected")).Reason)
	require.Equal(t, domain.ReasonAdvertiser, rig.post(fresh, "A", says("rejected")).Reason)
	require.Equal(t, domain.ReasonIPNotAllowed, rig.post(click, "A", says("approved"), func(p *domain.Postback) { p.SourceIP = "192.0.2.2" }).Reason)
	require.Equal(t, domain.StatusRejected, rig.conversion(live.ConversionID).Status)
}

// Nothing is revived beside another that is live: it stays Rejected, and the postback has its answer.
func TestRule77NothingIsRevivedBesideALiveOne(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A")}, trusted)
	one := "one member"
	clicks := rig.clicks(o, 2, func(_ int, c *domain.Click) { c.PubMemberID = &one })
	declined := rig.post(clicks[0], "A", says("rejected"))
	require.Equal(t, domain.StatusSuccess, rig.post(clicks[1], "A").Status)
	rig.post(clicks[0], "A", says("approved"))
	require.Equal(t, domain.StatusRejected, rig.conversion(declined.ConversionID).Status)
	require.Equal(t, int64(100_000_000), rig.points(one))
	repeating := rig.edit(o, func(o *domain.Offer) { o.Events[0].AllowRepetitions = true })
	answer := rig.post(clicks[0], "A", says("approved"))
	require.Equal(t, domain.OutcomeRejected, answer.Outcome, "also where repeats are on by now: the row is of a time when they were not (version %d)", repeating.Version)
	require.Equal(t, int64(100_000_000), rig.points(one))
}

// Verdicts at once make one move.
func TestRule77VerdictsAtOnce(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 16)
	o := rig.offer([]domain.Event{goal("A")}, trusted)
	click := rig.click(o)
	id := rig.post(click, "A").ConversionID
	atOnce(t, 40, func(int) error {
		_, err := rig.Decide(t.Context(), rig.tenantID, rig.postback(click, "A", says("rejected")))
		return err
	})
	require.EqualValues(t, 2, rig.conversion(id).Sequence)
	require.EqualValues(t, 1, value[int64](rig, "SELECT count(*) FROM conversions"))
}

func TestRule77TheOtherBookFollows(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	o, partnership := rig.sharedOffer([]domain.Event{goal("A"), goal("B")}, trusted)
	click := rig.click(o)
	id := rig.post(click, "A").ConversionID
	declined := rig.post(click, "B", says("rejected")).ConversionID
	rig.post(click, "A", says("rejected"))
	for _, one := range []*uuid.UUID{id, declined} {
		rig.sync(partnership, one)
	}
	require.Equal(t, []any{domain.StatusRejected, domain.ReasonReversed}, []any{rig.publisher.conversion(id).Status, rig.publisher.conversion(id).RejectionReason})
	require.Equal(t, domain.ReasonAdvertiser, rig.publisher.conversion(declined).RejectionReason)
	require.Zero(t, rig.publisher.points(*click.PubMemberID))
	rig.post(click, "A", says("approved"))
	rig.sync(partnership, id)
	require.Equal(t, domain.StatusSuccess, rig.publisher.conversion(id).Status)
	rig.requireEqual(t, o)
	require.Zero(t, value[int64](rig.decisionRig, "SELECT count(*) FROM outbox WHERE subject = $1 AND (payload->>'endsWait')::boolean", stream.SubjectConversion))
}
