package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/workflows"
)

// waiting puts postbacks on the stream while no worker runs, in their order.
func (r *rig) waiting(t *testing.T, postbacks ...*domain.Postback) (answers []<-chan domain.Answer) {
	t.Helper()
	r.rest()
	for _, p := range postbacks {
		answers = append(answers, r.send(t, p))
	}
	r.work()
	return answers
}

// Early events go through their click's workflow, each for itself: 200 of them take seconds. A click holds half
// of these. The one postback behind them is of another click, and is decided while they wait.
func busyClick(t *testing.T, r *rig) {
	hot, other := r.click(t, r.ordered), r.click(t, r.ordered)
	var postbacks []*domain.Postback
	for range 200 {
		postbacks = append(postbacks, r.postback(hot, "Second"))
	}
	behind := r.postback(other, "First")
	answers := r.waiting(t, append(postbacks, behind)...)
	require.Equal(t, domain.OutcomeAccepted, answered(t, answers[200]).Outcome)
	decided := r.count(t, `SELECT count(*) FROM postbacks WHERE click_id = $1`, hot)
	require.Less(t, decided, 100, "postbacks of the busy click that were decided before the other one")
	for i, answer := range answers[:200] {
		want := domain.OutcomeHeld
		if i >= domain.MaxHeldPerClick {
			want = domain.OutcomeRejected
		}
		require.Equal(t, want, answered(t, answer).Outcome, i)
	}
	require.Equal(t, 200, r.count(t, `SELECT count(*) FROM postbacks WHERE click_id = $1`, hot), "each is decided")
}

// The first makes the conversion, and each one after it finds that.
func clickInOrder(t *testing.T, r *rig) {
	for round := range 3 {
		click := r.click(t, r.ordered)
		var postbacks []*domain.Postback
		for i := range 30 {
			p := r.postback(click, "First")
			p.ReceivedAt = p.ReceivedAt.Add(time.Duration(i) * time.Millisecond)
			p.ID = r.keys.NewID(keyring.KindPostback, p.ReceivedAt)
			p.ConversionID = fmt.Sprint(i)
			postbacks = append(postbacks, p)
		}
		answers := r.waiting(t, postbacks...)
		first := answered(t, answers[0])
		require.Equal(t, domain.OutcomeAccepted, first.Outcome, "round %d", round)
		for _, answer := range answers[1:] {
			one := answered(t, answer)
			require.Equal(t, []any{domain.OutcomeDuplicate, *first.ConversionID}, []any{one.Outcome, *one.ConversionID})
		}
		require.Zero(t, r.count(t, `SELECT count(*) FROM (SELECT decided_at < lag(decided_at) OVER (ORDER BY received_at) AS earlier
			FROM postbacks WHERE click_id = $1) t WHERE earlier`, click), "decided before one that came earlier")
	}
}

// Refusals and duplicates are decided without an Update: the workflow's history has none of them.
func withoutWorkflow(t *testing.T, r *rig) {
	click := r.click(t, r.ordered)
	require.Equal(t, domain.OutcomeAccepted, answered(t, r.send(t, r.postback(click, "First"))).Outcome)
	before := r.updates(t, click)
	require.Equal(t, 1, before, "what was accepted")
	require.Equal(t, domain.OutcomeDuplicate, answered(t, r.send(t, r.postback(click, "First"))).Outcome)
	for event, reason := range map[string]domain.Reason{"Nonsense": domain.ReasonUnknownEvent, "": domain.ReasonMissingEvent} {
		answer := answered(t, r.send(t, r.postback(click, event)))
		require.Equal(t, []any{domain.OutcomeRefused, reason}, []any{answer.Outcome, answer.Reason})
		require.Equal(t, "refused "+string(reason), r.outcome(t, answer.PostbackID))
	}
	require.Equal(t, before, r.updates(t, click))
	require.Equal(t, domain.OutcomeAccepted, answered(t, r.send(t, r.postback(click, "Second"))).Outcome)
	require.Equal(t, before+1, r.updates(t, click))
}

// updates is how many Updates a click's workflow has had.
func (r *rig) updates(t *testing.T, click uuid.UUID) (n int) {
	t.Helper()
	history := r.temporal.GetWorkflowHistory(t.Context(), workflows.ClickWorkflowID(click), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(t, err)
		if event.EventType == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED {
			n++
		}
	}
	return n
}
