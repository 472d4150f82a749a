package replay

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/offerflow/offerflow/workflows"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

func reviewRun(jobID string) string { return workflows.ReviewWorkflowID(uuid.MustParse(jobID)) }

// job makes a job about one conversion.
func (s *stage) job(t *testing.T, action, conversionID string) (jobID string) {
	t.Helper()
	jobID, err := s.tenant.ReviewMany(t.Context(), action, map[string]any{"id": conversionID})
	if err != nil {
		t.Fatal(err)
	}
	return jobID
}

func (s *stage) jobDone(t *testing.T, jobID string) {
	t.Helper()
	done, err := s.tenant.JobDone(t.Context(), jobID)
	if err != nil || done.Changed != 1 || done.Failed != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
}

func (s *stage) turn(t *testing.T, jobID, turn string) {
	t.Helper()
	if _, err := s.tenant.TurnJob(t.Context(), jobID, turn); err != nil {
		t.Fatal(err)
	}
}

// A job settles what a workflow waits for, and ends that wait: the click's own run hears of it.
func reviewedByJob(t *testing.T, s *stage) {
	clickID := s.single(t, map[string]any{"rewardType": "Manual"})
	id := s.convert(t, clickID, "", "accepted").ConversionID
	jobID := s.job(t, "approve", id)
	s.jobDone(t, jobID)
	s.keep(t, "review_done", s.closed(t, reviewRun(jobID)))
	until(t, "the end of the conversion's wait", func() bool {
		return s.last(t, conversionRun(t, id)) == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
	})
	s.keep(t, "conversion_settled_by_job", s.history(t, conversionRun(t, id), ""))
	until(t, "the click's run to hear of it", func() bool {
		return count(s.history(t, clickRun(t, clickID), ""), enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED) == 1
	})
	s.keep(t, "attribution_settled_by_job", s.settled(t, clickRun(t, clickID)))
}

// paused makes a job that is paused before its only item: a conversion that young is not touched yet.
func (s *stage) paused(t *testing.T) (jobID string) {
	t.Helper()
	id := s.convert(t, s.single(t, map[string]any{"rewardType": "Manual"}), "", "accepted").ConversionID
	var err error
	jobID, err = s.tenant.ReviewMany(t.Context(), "approve", map[string]any{"id": []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	s.turn(t, jobID, "pause")
	until(t, "the job's run", func() bool {
		_, err := s.temporal.DescribeWorkflowExecution(t.Context(), reviewRun(jobID), "")
		return err == nil
	})
	until(t, "the job to be told that it is paused", func() bool {
		return count(s.history(t, reviewRun(jobID), ""), enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED) > 0
	})
	return jobID
}

func pausedAndResumed(t *testing.T, s *stage) {
	jobID := s.paused(t)
	s.turn(t, jobID, "resume")
	s.jobDone(t, jobID)
	s.keep(t, "review_paused", s.closed(t, reviewRun(jobID)))
}

// jobContinuedAsNew wakes a paused job more often than a run takes batches.
func jobContinuedAsNew(t *testing.T, s *stage) {
	jobID := s.paused(t)
	first, err := s.temporal.DescribeWorkflowExecution(t.Context(), reviewRun(jobID), "")
	if err != nil {
		t.Fatal(err)
	}
	runID := first.WorkflowExecutionInfo.Execution.RunId
	for continued := false; !continued; {
		batches := count(s.history(t, reviewRun(jobID), runID), enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
		if err := s.temporal.SignalWorkflow(t.Context(), reviewRun(jobID), runID, workflows.SignalGoOn, nil); err != nil {
			t.Fatal(err)
		}
		until(t, "the next batch", func() bool {
			history := s.history(t, reviewRun(jobID), runID)
			continued = count(history, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW) > 0
			return continued || count(history, enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED) > batches &&
				history.Events[len(history.Events)-1].EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
		})
	}
	s.turn(t, jobID, "resume")
	s.jobDone(t, jobID)
	s.keep(t, "review_continued", s.history(t, reviewRun(jobID), runID))
	s.keep(t, "review_continued_next", s.closed(t, reviewRun(jobID)))
}

// An early line of an upload is decided without the click's run, which then watches over its grace.
func uploadHeld(t *testing.T, s *stage) {
	clickID := s.multi(t, map[string]any{"outOfOrderGraceMinutes": as(time.Minute, 2*time.Second)},
		blackbox.Event("first", 1, nil), blackbox.Event("second", 2, nil))
	s.parked(t, clickID)
	jobID, err := s.tenant.Upload(t.Context(), strings.NewReader("ClickId,EventID\n"+clickID+",second\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.tenant.JobDone(t.Context(), jobID); err != nil {
		t.Fatal(err)
	}
	until(t, "the end of its grace", func() bool {
		var items blackbox.Page[struct{ Outcome, Reason string }]
		if err := s.tenant.Call(t.Context(), http.MethodGet, "/api/v1/jobs/"+jobID+"/items", nil, &items); err != nil {
			t.Fatal(err)
		}
		return len(items.Items) == 1 && items.Items[0].Outcome == "rejected" && items.Items[0].Reason == "out_of_sequence"
	})
	s.keep(t, "attribution_held_upload", s.settled(t, clickRun(t, clickID)))
}
