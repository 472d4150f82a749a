package consumer

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/workflows"
)

func TestPostbacks(t *testing.T) {
	r := newRig(t)
	for _, one := range []struct {
		name string
		test func(*testing.T, *rig)
	}{
		{"one that comes again after a crash starts a Pending conversion's wait", pendingAfterACrash},
		{"one that comes again after a crash decides what is held", heldAfterACrash},
		{"one that comes again after its refusal stays refused", refusedStays},
		{"Rule 9: identical ones at the same instant make one conversion", identical},
		{"an error that passes is waited out", passingError},
		{"one click with many postbacks keeps no other waiting", busyClick},
		{"postbacks of one click are decided as they came", clickInOrder},
		{"what changes nothing needs no workflow", withoutWorkflow},
		{"a workflow that is over is not needed for a Pending conversion", closedRunPending},
		{"Rule 14: a workflow that is over is not needed for the end of a grace", closedRunHeld},
		{"Rule 1: a click on its way is waited for", clickOnItsWay},
		{"Rule 77: the advertiser's verdict ends the wait of what it settles", verdictEndsTheWait},
		{"starts that their stream refuses are owed and made up for", refusedStarts},
		{"Rule 1: without its click it is refused once the clicks have passed its time", noClick},
	} {
		if !t.Run(one.name, func(t *testing.T) { one.test(t, r) }) {
			break // the worker may be down
		}
	}
}

// crashed decides a postback as a worker does that is killed after the commit, and gives its message
// back to a new one.
func (r *rig) crashed(t *testing.T, p *domain.Postback, decide func()) <-chan domain.Answer {
	t.Helper()
	r.rest()
	answers := r.send(t, p)
	msg := r.taken(t, stream.Postbacks, "postbacks")
	decide()
	require.NoError(t, msg.Nak())
	r.work()
	return answers
}

// B6. Its release is a day away: nothing but the redelivery starts the wait now.
func pendingAfterACrash(t *testing.T, r *rig) {
	p := r.postback(r.click(t, r.ordered), "Third")
	var before domain.Answer
	answers := r.crashed(t, p, func() {
		decided, err := r.decisions.Decide(t.Context(), r.tenantID, *p)
		require.NoError(t, err)
		before = decided.Answer
	})
	require.Equal(t, domain.StatusPending, before.Status)
	require.Equal(t, before, answered(t, answers))
	r.until(t, "the wait of the Pending conversion", func() bool { return r.waits(t, workflows.ConversionWorkflowID(*before.ConversionID)) })
	r.until(t, "nothing owed", func() bool { return r.count(t, `SELECT count(*) FROM owed_waits`) == 0 })
}

// The crash comes between the decision and that of the event which was held behind it.
func heldAfterACrash(t *testing.T, r *rig) {
	click := r.click(t, r.ordered)
	early, first := r.postback(click, "Second"), r.postback(click, "First")
	decided, err := r.decisions.Decide(t.Context(), r.tenantID, *early)
	require.NoError(t, err)
	require.Equal(t, domain.OutcomeHeld, decided.Answer.Outcome)
	answers := r.crashed(t, first, func() {
		tx, err := r.owner.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
		_, err = tx.Exec(t.Context(), `SELECT 1 FROM held_postbacks WHERE postback_id = $1 FOR UPDATE`, early.ID)
		require.NoError(t, err)
		ctx, kill := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := r.decisions.Decide(ctx, r.tenantID, *first)
			ended <- err
		}()
		r.until(t, "the commit of the first event's decision", func() bool { return r.outcome(t, first.ID) != "" })
		kill()
		require.Error(t, <-ended)
	})
	require.Equal(t, domain.OutcomeAccepted, answered(t, answers).Outcome)
	r.until(t, "the decision of the held event", func() bool { return r.outcome(t, early.ID) == "accepted " })
}

// What was answered stands, although its click is there by now.
func refusedStays(t *testing.T, r *rig) {
	p := r.postback(r.click(t, r.ordered), "First")
	answers := r.crashed(t, p, func() {
		_, err := r.decisions.Refuse(t.Context(), *p, domain.ReasonUnknownClick)
		require.NoError(t, err)
	})
	answer := answered(t, answers)
	require.Equal(t, domain.OutcomeRefused, answer.Outcome)
	require.Equal(t, domain.ReasonUnknownClick, answer.Reason)
	require.Zero(t, r.count(t, `SELECT count(*) FROM conversions WHERE click_id = $1`, *p.ClickID))
}

func identical(t *testing.T, r *rig) {
	click := r.click(t, r.ordered)
	outcomes := map[domain.Outcome]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 12 {
		answers := r.send(t, r.postback(click, "First"))
		all.Go(func() {
			answer := answered(t, answers)
			mu.Lock()
			defer mu.Unlock()
			outcomes[answer.Outcome]++
		})
	}
	all.Wait()
	require.Equal(t, map[domain.Outcome]int{domain.OutcomeAccepted: 1, domain.OutcomeDuplicate: 11}, outcomes)
	require.Equal(t, 1, r.count(t, `SELECT count(*) FROM conversions WHERE click_id = $1`, click))
}

// The database refuses for a while: nothing is answered, nothing is lost, and it is decided once.
func passingError(t *testing.T, r *rig) {
	click := r.click(t, r.ordered)
	_, err := r.owner.Exec(t.Context(), `REVOKE INSERT ON conversions FROM offerflow_app`)
	require.NoError(t, err)
	p := r.postback(click, "First")
	answers := r.send(t, p)
	r.until(t, "another try of the message", func() bool { return r.deliveredAgain(t) })
	require.Empty(t, r.outcome(t, p.ID))
	_, err = r.owner.Exec(t.Context(), `GRANT INSERT ON conversions TO offerflow_app`)
	require.NoError(t, err)
	require.Equal(t, domain.OutcomeAccepted, answered(t, answers).Outcome)
	require.Equal(t, 1, r.count(t, `SELECT count(*) FROM conversions WHERE click_id = $1`, click))
}

func (r *rig) deliveredAgain(t *testing.T) bool {
	t.Helper()
	consumer, err := r.js.Consumer(t.Context(), stream.Postbacks, "postbacks")
	require.NoError(t, err)
	return consumer.CachedInfo().NumRedelivered > 0
}

// over ends a click's workflow.
func (r *rig) over(t *testing.T, click uuid.UUID) {
	t.Helper()
	id := workflows.ClickWorkflowID(click)
	r.until(t, "the click's workflow", func() bool { return r.waits(t, id) })
	require.NoError(t, r.temporal.TerminateWorkflow(t.Context(), id, "", "the test ends it"))
}

func closedRunPending(t *testing.T, r *rig) {
	click := r.click(t, r.ordered)
	r.over(t, click)
	answer := answered(t, r.send(t, r.postback(click, "Third")))
	require.Equal(t, domain.StatusPending, answer.Status)
	r.until(t, "the wait of the Pending conversion", func() bool { return r.waits(t, workflows.ConversionWorkflowID(*answer.ConversionID)) })
}

// The sweep would come two minutes after the grace.
func closedRunHeld(t *testing.T, r *rig) {
	click := r.click(t, r.hasty)
	r.over(t, click)
	p := r.postback(click, "Second")
	require.Equal(t, domain.OutcomeHeld, answered(t, r.send(t, p)).Outcome)
	r.until(t, "the end of the grace", func() bool { return r.outcome(t, p.ID) == "rejected out_of_sequence" })
	r.until(t, "nothing owed", func() bool { return r.count(t, `SELECT count(*) FROM owed_waits`) == 0 })
}

// The click's message is in another worker's hands when its postback comes.
func clickOnItsWay(t *testing.T, r *rig) {
	r.rest()
	click := r.clickOnly(t, r.ordered)
	inHand := r.taken(t, stream.Clicks, "clicks")
	p := r.postback(click, "First")
	answers := r.send(t, p)
	r.work()
	r.until(t, "another try of the message", func() bool { return r.deliveredAgain(t) })
	require.Empty(t, r.outcome(t, p.ID), "decided before its click came")
	require.NoError(t, inHand.Nak())
	require.Equal(t, domain.OutcomeAccepted, answered(t, answers).Outcome)
}

func noClick(t *testing.T, r *rig) {
	p := r.postback(r.keys.NewID(keyring.KindClick, time.Now()), "First")
	answer := answered(t, r.send(t, p))
	require.Equal(t, domain.OutcomeRefused, answer.Outcome)
	require.Equal(t, domain.ReasonUnknownClick, answer.Reason)
	require.Equal(t, "refused unknown_click", r.outcome(t, p.ID))
}
