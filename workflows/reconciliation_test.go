package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"
)

func newReconciliationEnvironment(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterWorkflow(workflows.Reconciliation)
	var r *attribution.Reconciliations
	for name, function := range map[string]any{"PartnershipsAfter": r.PartnershipsAfter, "CompareBooks": r.CompareBooks, "Reconcile": r.Reconcile} {
		env.RegisterActivityWithOptions(function, activity.RegisterOptions{Name: name})
	}
	return env
}

// continued is the input of the next run.
func continued[T any](t *testing.T, env *testsuite.TestWorkflowEnvironment) (in T) {
	t.Helper()
	var next *workflow.ContinueAsNewError
	if !errors.As(env.GetWorkflowError(), &next) {
		t.Fatalf("not continued as new: %v", env.GetWorkflowError())
	}
	if err := converter.GetDefaultDataConverter().FromPayloads(next.Input, &in); err != nil {
		t.Fatal(err)
	}
	return in
}

// Rule 61: each partnership of the walk is reconciled once, four at a time; one that fails keeps none
// of the others.
func TestRule61TheWalkGoesOnBehindAFailure(t *testing.T) {
	env := newReconciliationEnvironment(t)
	page := attribution.PartnershipsPage{}
	for range 25 {
		page.Books = append(page.Books, attribution.BooksOf{PartnershipID: uuid.New(), OfferID: uuid.New(), AdvertiserTenantID: uuid.New()})
	}
	bad := page.Books[1].PartnershipID
	env.OnActivity("PartnershipsAfter", mock.Anything, mock.Anything).Return(page, nil)
	running, most, seen := 0, 0, map[uuid.UUID]int{}
	env.OnWorkflow(workflows.Reconciliation, mock.Anything, mock.Anything).Return(
		func(ctx workflow.Context, in workflows.ReconciliationInput) (attribution.Reconciled, error) {
			seen[in.PartnershipID]++
			running++
			most = max(most, running)
			err := workflow.Sleep(ctx, time.Minute)
			running--
			if in.PartnershipID == bad {
				err = errors.New("no")
			}
			return attribution.Reconciled{}, err
		})
	env.ExecuteWorkflow(workflows.Reconciliations, workflows.ReconciliationsInput{Reconciled: 50})
	next := continued[workflows.ReconciliationsInput](t, env)
	if want := (workflows.ReconciliationsInput{After: page.Books[24].PartnershipID, Reconciled: 74, Failed: 1}); next != want {
		t.Errorf("%+v, want %+v", next, want)
	}
	if len(seen) != 25 || most != 4 {
		t.Errorf("%d partnerships, %d at the same time", len(seen), most)
	}
}

// What is on its way is waited for twice, and no longer: where conversions never cease to come, some
// always are.
func TestRule61WaitsForWhatIsOnItsWay(t *testing.T) {
	env := newReconciliationEnvironment(t)
	looks := 0
	env.OnActivity("CompareBooks", mock.Anything, mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(
		func(context.Context, uuid.UUID, uuid.UUID, time.Time, time.Time) (attribution.Comparison, error) {
			looks++
			return attribution.Comparison{Moving: 1}, nil
		})
	env.OnActivity("Reconcile", mock.Anything, mock.Anything).Return(attribution.Reconciled{}, nil)
	begun := env.Now()
	env.ExecuteWorkflow(workflows.Reconciliation, workflows.ReconciliationInput{PartnershipID: uuid.New()})
	ends(t, env)
	if took := env.Now().Sub(begun); looks != 3 || took < time.Minute || took > 2*time.Minute {
		t.Errorf("looked %d times in %v", looks, took)
	}
}

// A run that names as many as an entry takes goes on behind the last, under the same instant.
func TestRule61GoesOnBehindAFullEntry(t *testing.T) {
	env := newReconciliationEnvironment(t)
	last, at, partnership := uuid.New(), time.Date(2026, 3, 4, 4, 30, 0, 0, time.UTC), uuid.New()
	full := attribution.Comparison{At: at, DecidedSince: at.Add(-time.Hour), IsFull: true, Differences: []domain.BookDifference{{ConversionID: uuid.New()}, {ConversionID: last}}}
	env.OnActivity("CompareBooks", mock.Anything, partnership, uuid.Nil, time.Time{}, time.Time{}).Return(full, nil)
	env.OnActivity("Reconcile", mock.Anything, mock.Anything).Return(attribution.Reconciled{}, nil)
	env.ExecuteWorkflow(workflows.Reconciliation, workflows.ReconciliationInput{PartnershipID: partnership})
	next := continued[workflows.ReconciliationInput](t, env)
	if next.After != last || !next.At.Equal(at) || !next.DecidedSince.Equal(full.DecidedSince) || next.PartnershipID != partnership {
		t.Errorf("%+v", next)
	}
}
