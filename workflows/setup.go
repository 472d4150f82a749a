package workflows

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// EnsureSearchAttributes registers missing search attributes. If that is not permitted, as in Temporal
// Cloud, it logs which ones a person must register. Postbacks are decided meanwhile, and missed work is
// done later.
func EnsureSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	known, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if isNotPermitted(err) {
		slog.Warn("search attributes cannot be registered from here: see to it that the namespace has these, all of type Keyword",
			"namespace", namespace, "attributes", namesOf(searchAttributes), "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("temporal search attributes: %w", err)
	}
	missing := map[string]enumspb.IndexedValueType{}
	for _, key := range searchAttributes {
		if _, ok := known.CustomAttributes[key.GetName()]; !ok {
			missing[key.GetName()] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	var exists *serviceerror.AlreadyExists
	switch {
	case err == nil, errors.As(err, &exists), strings.Contains(err.Error(), "already"):
		return nil
	case isNotPermitted(err):
		slog.Warn("search attributes are missing and cannot be registered from here: register them, all of type Keyword",
			"namespace", namespace, "attributes", slices.Sorted(maps.Keys(missing)), "error", err)
		return nil
	default:
		return fmt.Errorf("temporal search attributes (register %v in namespace %s): %w", missing, namespace, err)
	}
}

var searchAttributes = []temporal.SearchAttributeKeyKeyword{SearchTenant, SearchOffer, SearchLink, SearchMember}

func namesOf(attributes []temporal.SearchAttributeKeyKeyword) (names []string) {
	for _, key := range attributes {
		names = append(names, key.GetName())
	}
	return names
}

// isNotPermitted says that the operator service is closed to us, or is not there.
func isNotPermitted(err error) bool {
	var denied *serviceerror.PermissionDenied
	var unimplemented *serviceerror.Unimplemented
	return errors.As(err, &denied) || errors.As(err, &unimplemented)
}

// sweepEvery is how often the sweep looks for what is overdue.
const sweepEvery = time.Minute

// rollupEvery is how often reports' buckets are recomputed. A bucket is when it is over, and when what
// is in it changed later: reports read the raw rows until then.
const rollupEvery = 5 * time.Minute

// earningsEvery is how often EPCs take in what came since: the wall's order may lag by as much.
const earningsEvery = 10 * time.Minute

// retentionAt is the time of day, in UTC, at which old rows are deleted.
const retentionAt = 3*time.Hour + 30*time.Minute

// reconciliationsAt is the time of day, in UTC, at which the walk over all partnerships begins.
const reconciliationsAt = 4*time.Hour + 30*time.Minute

// EnsureSchedules makes the schedules; one that is there already stays as it is.
func EnsureSchedules(ctx context.Context, c client.Client) error {
	for _, schedule := range []struct {
		name     string
		workflow string
		spec     client.ScheduleIntervalSpec
		timeout  time.Duration
	}{
		{"sweep", SweepName, client.ScheduleIntervalSpec{Every: sweepEvery}, 10 * time.Minute},
		{"rollup", RollupName, client.ScheduleIntervalSpec{Every: rollupEvery}, 15 * time.Minute},
		{"earnings", EarningsName, client.ScheduleIntervalSpec{Every: earningsEvery}, 2 * time.Hour},
		{"retention", RetentionName, client.ScheduleIntervalSpec{Every: 24 * time.Hour, Offset: retentionAt}, 20 * time.Hour},
		{"reconciliations", ReconciliationsName, client.ScheduleIntervalSpec{Every: 24 * time.Hour, Offset: reconciliationsAt}, 20 * time.Hour},
	} {
		_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
			ID:      "offerflow-" + schedule.name,
			Spec:    client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{schedule.spec}},
			Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
			Action: &client.ScheduleWorkflowAction{
				ID: schedule.name, Workflow: schedule.workflow, TaskQueue: TaskQueue, WorkflowRunTimeout: schedule.timeout,
			},
		})
		if err != nil && !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
			return fmt.Errorf("schedule of the %s: %w", schedule.name, err)
		}
	}
	return nil
}
