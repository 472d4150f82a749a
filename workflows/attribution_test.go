package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"
)

// What a real engine does not let happen at will is tested here in the SDK's environment; all else
// by the recorded histories.
func newEnvironment(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterWorkflow(workflows.Conversion)
	var decisions *attribution.Decisions
	for name, function := range map[string]any{"Decide": decisions.Decide, "DecideHeld": decisions.DecideHeld, "Settle": decisions.ApplyTransition} {
		env.RegisterActivityWithOptions(function, activity.RegisterOptions{Name: name})
	}
	return env
}

// completes is an Update that must be done.
func completes(t *testing.T) *testsuite.TestUpdateCallback {
	t.Helper()
	return &testsuite.TestUpdateCallback{
		OnAccept: func() {}, OnReject: func(err error) { t.Error("rejected:", err) },
		OnComplete: func(_ any, err error) {
			if err != nil {
				t.Error(err)
			}
		},
	}
}

func ends(t *testing.T, env *testsuite.TestWorkflowEnvironment) {
	t.Helper()
	if !env.IsWorkflowCompleted() || env.GetWorkflowError() != nil {
		t.Errorf("completed %v: %v", env.IsWorkflowCompleted(), env.GetWorkflowError())
	}
}

// A conversion whose wait runs already, started by a quicker review or by the same decision made
// again, is as good as started.
func TestAConversionThatRunsAlready(t *testing.T) {
	env := newEnvironment(t)
	begin := env.Now()
	released := begin.Add(48 * time.Hour)
	waiting := []attribution.ConversionStart{{TenantID: uuid.New(), ConversionID: uuid.New(), ReleaseAt: &released}}
	env.OnActivity("Decide", mock.Anything, mock.Anything, mock.Anything).Return(attribution.DecisionResult{Waiting: waiting}, nil)
	env.OnActivity("Settle", mock.Anything, mock.Anything).Return(attribution.TransitionResult{Status: domain.StatusSuccess}, nil)
	for i, id := range []string{"first", "second"} {
		env.RegisterDelayedCallback(func() {
			env.UpdateWorkflow(workflows.UpdatePostback, id, completes(t), domain.Postback{ID: uuid.New()})
		}, time.Duration(i)*time.Hour)
	}
	env.ExecuteWorkflow(workflows.Attribution, workflows.AttributionInput{TenantID: uuid.New(), ClickID: uuid.New(), SessionEndsAt: begin.Add(24 * time.Hour)})
	ends(t, env)
}

// A decision that is not due yet by its worker's clock is tried again at a pace, not in a loop.
func TestAWorkerWhoseClockIsBehind(t *testing.T) {
	env := newEnvironment(t)
	begin := env.Now()
	graceEnds, behind := begin.Add(time.Minute), 5*time.Second
	env.OnActivity("Decide", mock.Anything, mock.Anything, mock.Anything).Return(attribution.DecisionResult{HeldUntil: &graceEnds}, nil)
	tries := 0
	env.OnActivity("DecideHeld", mock.Anything, mock.Anything, mock.Anything).Return(func(context.Context, uuid.UUID, uuid.UUID) (attribution.DecisionResult, error) {
		tries++
		if env.Now().Before(graceEnds.Add(behind)) {
			return attribution.DecisionResult{HeldUntil: &graceEnds}, nil
		}
		return attribution.DecisionResult{}, nil
	})
	env.RegisterDelayedCallback(func() {
		env.UpdateWorkflow(workflows.UpdatePostback, "early", completes(t), domain.Postback{ID: uuid.New()})
	}, 0)
	env.ExecuteWorkflow(workflows.Attribution, workflows.AttributionInput{TenantID: uuid.New(), ClickID: uuid.New(), SessionEndsAt: begin.Add(time.Hour)})
	if ends(t, env); tries < 2 || tries > 10 {
		t.Errorf("tried %d times within %v", tries, behind)
	}
}

// A run that a review started, and whose review never came, does not stay for ever.
func TestAReviewThatNeverComes(t *testing.T) {
	env := newEnvironment(t)
	env.ExecuteWorkflow(workflows.Conversion, workflows.ConversionInput{TenantID: uuid.New(), ConversionID: uuid.New(), ReviewOnly: true})
	ends(t, env)
}

// A review that fails for good is answered so, and does not keep the run.
func TestAReviewOfNoConversion(t *testing.T) {
	env := newEnvironment(t)
	env.OnActivity("Settle", mock.Anything, mock.Anything).Return(attribution.TransitionResult{}, attribution.ErrNoConversion)
	var answer error
	env.RegisterDelayedCallback(func() {
		env.UpdateWorkflow(workflows.UpdateReview, "review", &testsuite.TestUpdateCallback{
			OnAccept: func() {}, OnReject: func(err error) { t.Error("rejected:", err) }, OnComplete: func(_ any, err error) { answer = err },
		}, attribution.TransitionRequest{Action: domain.ActionApprove})
	}, 0)
	env.ExecuteWorkflow(workflows.Conversion, workflows.ConversionInput{TenantID: uuid.New(), ConversionID: uuid.New(), ReviewOnly: true})
	if ends(t, env); answer == nil || errors.Is(answer, context.Canceled) {
		t.Errorf("answered %v", answer)
	}
}

// A job that settled a conversion ends its wait: the run completes, long before the release is due, and
// settles nothing itself. A review that came before is still answered.
func TestAJobEndsTheWait(t *testing.T) {
	for name, isReviewed := range map[string]bool{"alone": false, "beside a review": true} {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			released := env.Now().Add(48 * time.Hour)
			reviews := 0
			env.OnActivity("Settle", mock.Anything, mock.Anything).Return(func(_ context.Context, request attribution.TransitionRequest) (attribution.TransitionResult, error) {
				if request.Action != domain.ActionApprove {
					t.Errorf("it did %s", request.Action)
				}
				reviews++
				return attribution.TransitionResult{Status: domain.StatusSuccess}, nil
			})
			env.RegisterDelayedCallback(func() {
				if isReviewed {
					env.UpdateWorkflow(workflows.UpdateReview, "", completes(t), attribution.TransitionRequest{Action: domain.ActionApprove})
				}
				env.SignalWorkflow(workflows.SignalSettled, "settled by job 1")
			}, time.Minute)
			began := env.Now()
			env.ExecuteWorkflow(workflows.Conversion, workflows.ConversionInput{TenantID: uuid.New(), ConversionID: uuid.New(), ReleaseAt: &released})
			ends(t, env)
			if waited := env.Now().Sub(began); waited > time.Hour {
				t.Errorf("it waited for %v", waited)
			}
			if (reviews == 1) != isReviewed {
				t.Errorf("%d reviews", reviews)
			}
		})
	}
}
