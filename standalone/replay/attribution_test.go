package replay

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

func clickRun(t *testing.T, clickID string) string {
	t.Helper()
	return workflows.ClickWorkflowID(uuid.MustParse(clickID))
}

func converted(t *testing.T, s *stage) {
	clickID := s.single(t, nil)
	s.parked(t, clickID)
	sent := time.Now()
	s.convert(t, clickID, "", "accepted", "cnv_amount", "2.50")
	took := time.Since(sent)
	history := s.settled(t, clickRun(t, clickID))
	woken := count(history, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
	if woken == 0 || took > patience { // without it the run sleeps until the session ends
		t.Errorf("the update did not wake the parked run: %v", took)
	}
	accepted := eventTime(history.Events, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
	scheduled := eventTime(history.Events, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
	t.Logf("postback answered after %d ms; %d ms from it to the first workflow task, decided and written %d ms after that",
		took.Milliseconds(), scheduled.Sub(sent).Milliseconds(), accepted.Sub(scheduled).Milliseconds())
	s.keep(t, "attribution_converted", history)
}

// parked waits until a click's run is there, and sees that it costs one event and no task.
func (s *stage) parked(t *testing.T, clickID string) {
	t.Helper()
	until(t, "the parked run", func() bool {
		_, err := s.temporal.DescribeWorkflowExecution(t.Context(), clickRun(t, clickID), "")
		return err == nil
	})
	if n := len(s.history(t, clickRun(t, clickID), "").Events); n != 1 {
		t.Errorf("a parked run has %d events", n)
	}
}

func heldDecided(t *testing.T, s *stage) {
	clickID := s.multi(t, nil, blackbox.Event("first", 1, nil), blackbox.Event("second", 2, nil))
	early := s.convert(t, clickID, "second", "held")
	s.convert(t, clickID, "first", "accepted")
	s.decided(t, early, "accepted")
	s.keep(t, "attribution_held_decided", s.settled(t, clickRun(t, clickID)))
}

// decided waits for the end state of a held postback.
func (s *stage) decided(t *testing.T, held blackbox.Answer, want string) {
	t.Helper()
	var answer blackbox.Answer
	until(t, "the held postback's decision", func() bool {
		var err error
		answer, err = s.tenant.Postback(t.Context(), "/track/"+held.PostbackID, nil)
		return err == nil && answer.Outcome != "held"
	})
	wanted(t, answer, want)
}

func heldOutOfSequence(t *testing.T, s *stage) {
	clickID := s.multi(t, map[string]any{"outOfOrderGraceMinutes": as(time.Minute, 2*time.Second)},
		blackbox.Event("first", 1, nil), blackbox.Event("second", 2, nil))
	early := s.convert(t, clickID, "second", "held")
	s.decided(t, early, "rejected out_of_sequence")
	s.keep(t, "attribution_held_out_of_sequence", s.settled(t, clickRun(t, clickID)))
}

func rejected(t *testing.T, s *stage) {
	clickID := s.single(t, map[string]any{"conversionType": "RevShare", "revenue": 20, "reward": 10})
	s.convert(t, clickID, "", "rejected missing_amount")
	s.keep(t, "attribution_rejected", s.settled(t, clickRun(t, clickID)))
}

func pending(t *testing.T, s *stage) {
	clickID := s.single(t, map[string]any{"pendingTime": 30})
	s.convert(t, clickID, "", "accepted")
	until(t, "the conversion's own run", func() bool {
		return count(s.history(t, clickRun(t, clickID), ""), enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED) == 1
	})
	history := s.settled(t, clickRun(t, clickID))
	for _, event := range history.Events {
		child := event.GetStartChildWorkflowExecutionInitiatedEventAttributes()
		if child != nil && child.WorkflowExecutionTimeout.AsDuration()+child.WorkflowRunTimeout.AsDuration() != 0 {
			t.Errorf("the conversion's run has the click's timeout: %v", child)
		}
	}
	s.keep(t, "attribution_pending", history)
}

// authenticated sends everything that is secret or personal: keep looks for it in the history.
func authenticated(t *testing.T, s *stage) {
	advertiser := s.newAdvertiser(t, map[string]any{"securityToken": securityToken, "signingSecret": signingSecret})
	clickID := s.click(t, s.newOffer(t, blackbox.SingleEvent(advertiser, s.age, nil)))
	params := url.Values{
		"gk_click_id": {clickID}, "security_token": {securityToken}, "cnv_email": {email},
		"of_timestamp": {strconv.FormatInt(time.Now().Unix(), 10)}, "of_nonce": {uuid.NewString()},
	}
	text := domain.CanonicalPostback(http.MethodGet, "/track", params.Encode(), nil, params.Get("of_timestamp"), params.Get("of_nonce"))
	params.Set("of_signature", domain.SignPostback([]byte(signingSecret), text))
	answer, err := s.tenant.Postback(t.Context(), "/track", params)
	if err != nil {
		t.Fatal(err)
	}
	wanted(t, answer, "accepted")
	s.keep(t, "attribution_authenticated", s.settled(t, clickRun(t, clickID)))
}

func closedByEndPoint(t *testing.T, s *stage) {
	clickID := s.multi(t, nil, blackbox.Event("first", 1, nil),
		blackbox.Event("last", 2, map[string]any{"isEndPoint": true}), blackbox.Event("later", nil, nil))
	s.convert(t, clickID, "first", "accepted")
	s.convert(t, clickID, "last", "accepted")
	history := s.closed(t, clickRun(t, clickID))
	s.keep(t, "attribution_closed", history)
	s.convert(t, clickID, "later", "rejected session_closed")
	s.convert(t, clickID, "first", "duplicate duplicate")
	if after := s.history(t, clickRun(t, clickID), ""); len(after.Events) != len(history.Events) {
		t.Errorf("decided directly, the closed run grew from %d to %d events", len(history.Events), len(after.Events))
	}
}

// continuedAsNew sends more postbacks at once than a run takes, while an early event is held.
func continuedAsNew(t *testing.T, s *stage) {
	clickID := s.multi(t, nil, blackbox.Event("repeat", nil, map[string]any{"allowRepetitions": true}),
		blackbox.Event("first", 1, nil), blackbox.Event("second", 2, nil))
	s.parked(t, clickID)
	early := s.convert(t, clickID, "second", "held")
	first, err := s.temporal.DescribeWorkflowExecution(t.Context(), clickRun(t, clickID), "")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 3 * updatesPerRun / 2 {
		all.Go(func() { s.convert(t, clickID, "repeat", "accepted", "cnv_conversion_id", fmt.Sprint("order-", i)) })
	}
	all.Wait()
	s.convert(t, clickID, "first", "accepted")
	s.decided(t, early, "accepted")
	history := s.history(t, clickRun(t, clickID), first.WorkflowExecutionInfo.Execution.RunId)
	if history.Events[len(history.Events)-1].EventType != enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW {
		t.Fatalf("not continued as new: %v", kindsOf(history))
	}
	s.keep(t, "attribution_continued", history)
	s.keep(t, "attribution_continued_next", s.settled(t, clickRun(t, clickID)))
}

func firstPostback(t *testing.T, s *stage) {
	clickID := s.multi(t, nil, blackbox.Event("first", 1, nil), blackbox.Event("second", 2, nil))
	s.convert(t, clickID, "first", "accepted")
	s.convert(t, clickID, "second", "accepted")
	s.keep(t, "attribution_first_postback", s.settled(t, clickRun(t, clickID)))
}

// park parks a run for a real click by hand: with a session of our own, or to time out at once.
func (s *stage) park(t *testing.T, clickID string, sessionEndsAt time.Time, change func(*client.StartWorkflowOptions)) {
	t.Helper()
	click := domain.Click{ID: uuid.MustParse(clickID), TenantID: uuid.MustParse(s.tenant.TenantID), SessionEndsAt: sessionEndsAt}
	options := workflows.ParkedOptions(&click, time.Now())
	change(&options)
	in := workflows.AttributionInput{TenantID: click.TenantID, ClickID: click.ID, SessionEndsAt: sessionEndsAt}
	if _, err := s.temporal.ExecuteWorkflow(t.Context(), options, workflows.AttributionName, in); err != nil {
		t.Fatal(err)
	}
}

func expired(t *testing.T, s *stage) {
	clickID := s.single(t, nil)
	s.park(t, clickID, time.Now().Add(4*time.Second), func(*client.StartWorkflowOptions) {})
	s.convert(t, clickID, "", "accepted")
	s.keep(t, "attribution_expired", s.closed(t, clickRun(t, clickID)))
}

// A click that never converts costs two events, no task and no worker; there is nothing to replay.
func parkedAndTimedOut(t *testing.T, s *stage) {
	clickID := s.single(t, nil)
	s.park(t, clickID, time.Now(), func(options *client.StartWorkflowOptions) {
		options.WorkflowExecutionTimeout, options.StartDelay = time.Second, time.Minute
	})
	until(t, "the time-out", func() bool {
		return s.last(t, clickRun(t, clickID)) == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT
	})
	if history := s.history(t, clickRun(t, clickID), ""); len(history.Events) != 2 {
		t.Errorf("%d events: %v", len(history.Events), kindsOf(history))
	}
}
