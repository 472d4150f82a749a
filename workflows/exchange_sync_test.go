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
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"
)

func newExchangeEnvironment(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	env := newEnvironment(t)
	var exchange *attribution.Exchange
	env.RegisterActivityWithOptions(exchange.SyncConversion, activity.RegisterOptions{Name: "SyncConversion"})
	return env
}

// syncs mocks the sync: call n, from 1, is answered by answer.
func syncs(env *testsuite.TestWorkflowEnvironment, answer func(n int) (attribution.Synced, error)) *int {
	calls := 0
	env.OnActivity("SyncConversion", mock.Anything, mock.Anything, mock.Anything).Return(
		func(context.Context, domain.Partnership, uuid.UUID) (attribution.Synced, error) {
			calls++
			return answer(calls)
		})
	return &calls
}

var syncInput = workflows.ExchangeSyncInput{ConversionID: uuid.New()}

// News that the sync has seen already costs no other one; later news does.
func TestExchangeSyncGoesOnWhileThereIsNews(t *testing.T) {
	for name, c := range map[string]struct {
		news  []int64
		calls int
	}{
		"known": {[]int64{1, 2, 1}, 1}, "later": {[]int64{1, 3}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			env := newExchangeEnvironment(t)
			calls := syncs(env, func(n int) (attribution.Synced, error) {
				if n == 1 { // while it runs
					for _, sequence := range c.news {
						env.SignalWorkflow(workflows.SignalNews, sequence)
					}
				}
				return attribution.Synced{Sequence: int64(n) + 1}, nil
			})
			env.ExecuteWorkflow(workflows.ExchangeSync, syncInput)
			ends(t, env)
			if *calls != c.calls {
				t.Errorf("synced %d times, want %d", *calls, c.calls)
			}
		})
	}
}

// What a few quick tries do not bring is retried by the engine until it holds.
func TestExchangeSyncIsRetriedUntilItHolds(t *testing.T) {
	env := newExchangeEnvironment(t)
	began := env.Now()
	const failures = 12 // more than a local activity takes, and as many as the environment plays
	calls := syncs(env, func(n int) (attribution.Synced, error) {
		if n <= failures {
			return attribution.Synced{}, errors.New("the database is away")
		}
		return attribution.Synced{Sequence: 1}, nil
	})
	env.ExecuteWorkflow(workflows.ExchangeSync, syncInput)
	ends(t, env)
	took := env.Now().Sub(began)
	if *calls != failures+1 || took < 10*time.Second || took > failures*30*time.Second {
		t.Errorf("%d calls in %v", *calls, took)
	}
}

// A run whose history has grown long hands over to the next, which syncs before anything else: no news
// is lost in between.
func TestExchangeSyncContinuesAsNew(t *testing.T) {
	env := newExchangeEnvironment(t)
	env.SetContinueAsNewSuggested(true)
	syncs(env, func(n int) (attribution.Synced, error) {
		env.SignalWorkflow(workflows.SignalNews, int64(n)+1)
		return attribution.Synced{Sequence: int64(n)}, nil
	})
	env.ExecuteWorkflow(workflows.ExchangeSync, syncInput)
	var next *workflow.ContinueAsNewError
	if err := env.GetWorkflowError(); !errors.As(err, &next) {
		t.Errorf("ended with %v", err)
	}
}
