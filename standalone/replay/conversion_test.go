package replay

import (
	"testing"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/workflows"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

func conversionRun(t *testing.T, conversionID string) string {
	t.Helper()
	return workflows.ConversionWorkflowID(uuid.MustParse(conversionID))
}

func eventTime(events []*historypb.HistoryEvent, kind enumspb.EventType) time.Time {
	for _, event := range events {
		if event.EventType == kind {
			return event.EventTime.AsTime()
		}
	}
	return time.Time{}
}

// waiting makes a Pending conversion and waits for its run's first task.
func (s *stage) waiting(t *testing.T, fields map[string]any) (conversionID string) {
	t.Helper()
	conversionID = s.convert(t, s.single(t, fields), "", "accepted").ConversionID
	until(t, "the conversion's run", func() bool {
		_, err := s.temporal.DescribeWorkflowExecution(t.Context(), conversionRun(t, conversionID), "")
		return err == nil
	})
	s.settled(t, conversionRun(t, conversionID))
	return conversionID
}

func (s *stage) keepConversion(t *testing.T, name, conversionID string) {
	t.Helper()
	s.keep(t, name, s.closed(t, conversionRun(t, conversionID)))
}

func released(t *testing.T, s *stage) {
	id := s.convert(t, s.single(t, map[string]any{"pendingTime": as(day, 3*time.Second)}), "", "accepted").ConversionID
	until(t, "the release", func() bool {
		conversion, err := s.tenant.Conversion(t.Context(), id)
		return err == nil && conversion.Status == "Success"
	})
	s.keepConversion(t, "conversion_released", id)
}

func approved(t *testing.T, s *stage) {
	id := s.waiting(t, map[string]any{"pendingTime": 7})
	s.review(t, "approve", id, "Success")
	s.keepConversion(t, "conversion_approved", id)
}

func rejectedByPerson(t *testing.T, s *stage) {
	id := s.waiting(t, map[string]any{"pendingTime": 7})
	s.review(t, "reject", id, "Rejected")
	s.keepConversion(t, "conversion_rejected", id)
}

func manual(t *testing.T, s *stage) {
	id := s.waiting(t, map[string]any{"rewardType": "Manual"})
	s.review(t, "approve", id, "Success")
	s.keepConversion(t, "conversion_manual", id)
}

// A Pending conversion cannot be reversed: the run goes on waiting.
func refusedThenApproved(t *testing.T, s *stage) {
	id := s.waiting(t, map[string]any{"pendingTime": 7})
	s.review(t, "reverse", id, "Pending")
	s.review(t, "approve", id, "Success")
	s.keepConversion(t, "conversion_refused", id)
}

func reversedAndRevived(t *testing.T, s *stage) {
	id := s.convert(t, s.single(t, nil), "", "accepted").ConversionID
	s.review(t, "reverse", id, "Rejected")
	s.keepConversion(t, "conversion_reversed", id)
	s.review(t, "approve", id, "Success")
	s.keepConversion(t, "conversion_revived", id)
}

// reviewedWithoutRun loses a Pending conversion's run, as an engine restored from a backup does.
func reviewedWithoutRun(t *testing.T, s *stage) {
	id := s.waiting(t, map[string]any{"pendingTime": 7})
	if err := s.temporal.TerminateWorkflow(t.Context(), conversionRun(t, id), "", "lost"); err != nil {
		t.Fatal(err)
	}
	s.review(t, "reverse", id, "Pending") // refused, and the new run waits for the release again
	history := s.settled(t, conversionRun(t, id))
	if n := count(history, enumspb.EVENT_TYPE_TIMER_STARTED); n != 2 {
		t.Errorf("%d timers: the lost run's wait was not taken up", n)
	}
	s.review(t, "approve", id, "Success")
	s.keepConversion(t, "conversion_without_run", id)
}

// follower approves what was too soon: the event that was held behind it becomes Pending.
func follower(t *testing.T, s *stage) {
	clickID := s.multi(t, nil, blackbox.Event("first", 1, map[string]any{"minTimeFromPreviousEvent": 1}),
		blackbox.Event("second", 2, map[string]any{"pendingTime": 7}))
	early := s.convert(t, clickID, "second", "held")
	id := s.convert(t, clickID, "first", "rejected too_soon").ConversionID
	s.review(t, "approve", id, "Success")
	s.decided(t, early, "accepted")
	history := s.closed(t, conversionRun(t, id))
	if count(history, enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED) != 1 {
		t.Errorf("the follower's run was not started: %v", kindsOf(history))
	}
	s.keep(t, "conversion_follower", history)
}

// scheduledChange wakes at its time; what it was to change was cancelled with its request.
func scheduledChange(t *testing.T, s *stage) {
	in := workflows.ScheduledChangeInput{TenantID: uuid.New(), ChangeID: uuid.New()}
	now := time.Now()
	options := workflows.ScheduledChangeOptions(in, uuid.New(), now.Add(2*time.Second), now, "offer: revenue becomes 2.50")
	run, err := s.temporal.ExecuteWorkflow(t.Context(), options, workflows.ScheduledChangeName, in)
	if err != nil {
		t.Fatal(err)
	}
	var state string
	if err := run.Get(t.Context(), &state); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(now); state != "unknown" || took < 2*time.Second {
		t.Errorf("%q after %v", state, took)
	}
	s.keep(t, "scheduled_change_cancelled", s.history(t, options.ID, ""))
}

// rollup, earnings and retention are what the schedules start, besides the sweep.
func rollup(t *testing.T, s *stage) { s.scheduled(t, workflows.RollupName, "rollup_done") }

func earnings(t *testing.T, s *stage) { s.scheduled(t, workflows.EarningsName, "earnings_done") }

func retention(t *testing.T, s *stage) { s.scheduled(t, workflows.RetentionName, "retention_off") }

func (s *stage) scheduled(t *testing.T, workflow, path string) {
	t.Helper()
	options := client.StartWorkflowOptions{ID: path, TaskQueue: workflows.TaskQueue}
	run, err := s.temporal.ExecuteWorkflow(t.Context(), options, workflow)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Get(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	s.keep(t, path, s.history(t, options.ID, ""))
}

func sweep(t *testing.T, s *stage) {
	run, err := s.temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "sweep/replay", TaskQueue: workflows.TaskQueue}, workflows.SweepName)
	if err != nil {
		t.Fatal(err)
	}
	var swept struct{ Held, Pending, Deliveries, Outbox int }
	if err := run.Get(t.Context(), &swept); err != nil {
		t.Fatal(err)
	}
	if swept.Held+swept.Pending+swept.Deliveries+swept.Outbox != 0 {
		t.Errorf("a healthy system has overdue items: %+v", swept)
	}
	s.keep(t, "sweep_nothing", s.history(t, "sweep/replay", ""))
}
