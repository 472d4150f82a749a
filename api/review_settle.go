package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/sync/errgroup"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"
)

const (
	// reviewsAtOnce of one request.
	reviewsAtOnce = 10
	// reviewTimeout is how long a request waits for all of its conversions.
	reviewTimeout = 30 * time.Second
	// settleTries bounds how often one conversion is tried whose workflow was just closing.
	settleTries = 5
	settlePause = 50 * time.Millisecond
)

// settledOne is the outcome of one conversion of a review.
type settledOne struct {
	settled attribution.TransitionResult
	err     error
}

// perform makes the transitions. It goes on when the
// client has gone: what was begun is finished.
func (s *Server) perform(ctx context.Context, request *reviewRequest, rows map[uuid.UUID]*dbgen.Conversion) ([]reviewResult, error) {
	ctx = context.WithoutCancel(ctx)
	outcomes := s.settleAll(ctx, request, rows)
	moves, err := s.movesOfReview(ctx, request)
	if err != nil {
		return nil, err
	}
	results := make([]reviewResult, len(request.ids))
	unreached := 0
	for i, id := range request.ids {
		if rows[id] == nil {
			results[i] = reviewResult{ID: id, Error: errorNoConversion}
			continue
		}
		move, moved := moves[id]
		switch one := outcomes[i]; {
		case rows[id].Side == domain.SidePublisher:
			results[i] = standing(id, rows[id].Status, rows[id].RejectionReason)
			results[i].Error = domain.ErrDecidedByAdvertiser.Error()
		case one.err == nil:
			results[i] = standing(id, one.settled.Status, one.settled.Reason)
			results[i].Error, results[i].Changed = one.settled.Error, moved
		case moved: // done, although its answer was lost
			results[i] = standing(id, domain.Status(move.ToStatus), domain.Reason(move.Reason))
			results[i].Changed = true
		default:
			results[i] = standing(id, rows[id].Status, rows[id].RejectionReason)
			results[i].Error = reviewError(ctx, id, one.err)
			unreached++
		}
	}
	if unreached > 0 && unreached == len(rows) {
		return nil, problem.Unavailable()
	}
	if unreached > 0 {
		notFinal(ctx)
	}
	return results, nil
}

// settleAll settles the conversions that exist, some at a time. A publisher's copy is never asked
// about: the workflow of its id is the advertiser's (rule 58).
func (s *Server) settleAll(ctx context.Context, request *reviewRequest, rows map[uuid.UUID]*dbgen.Conversion) []settledOne {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	outcomes := make([]settledOne, len(request.ids))
	var group errgroup.Group // without its context: one failure ends no other
	group.SetLimit(reviewsAtOnce)
	for i, id := range request.ids {
		if rows[id] == nil || rows[id].Side == domain.SidePublisher {
			continue
		}
		group.Go(func() error {
			outcomes[i].settled, outcomes[i].err = s.settle(ctx, attribution.TransitionRequest{
				TenantID: principal(ctx).TenantID, ConversionID: id, Action: request.action, RequestID: request.requestID,
				Actor: principal(ctx).Actor, Note: request.note, OverrideCaps: request.overrideCaps,
			})
			return nil // each outcome holds its own
		})
	}
	_ = group.Wait() // nil
	return outcomes
}

// settle asks the conversion's workflow for one transition, and starts it where none runs. Asked
// again with the same RequestID it answers the same, so that it may be tried as often as needed.
func (s *Server) settle(ctx context.Context, request attribution.TransitionRequest) (settled attribution.TransitionResult, err error) {
	if s.Temporal == nil {
		return settled, serviceerror.NewUnavailable("no workflow engine")
	}
	if request, err = attribution.SealReview(s.Keys, request); err != nil {
		return settled, err
	}
	for try := range settleTries {
		// A run that closed with the Update unanswered goes on failing it under that id.
		updateID := request.RequestID
		if try > 0 {
			updateID = fmt.Sprintf("%s/%d", request.RequestID, try)
		}
		if settled, err = s.settleOnce(ctx, updateID, request); !isClosing(err) {
			return settled, err
		}
		select {
		case <-ctx.Done():
			return settled, err
		case <-time.After(settlePause << try):
		}
	}
	return settled, err
}

func (s *Server) settleOnce(ctx context.Context, updateID string, request attribution.TransitionRequest) (settled attribution.TransitionResult, err error) {
	in := workflows.ConversionInput{TenantID: request.TenantID, ConversionID: request.ConversionID, ReviewOnly: true}
	start := s.Temporal.NewWithStartWorkflowOperation(
		workflows.ConversionOptions(request.TenantID, request.ConversionID), workflows.ConversionName, in)
	handle, err := s.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{
			WorkflowID: workflows.ConversionWorkflowID(request.ConversionID), UpdateID: updateID,
			UpdateName: workflows.UpdateReview, Args: []any{request}, WaitForStage: client.WorkflowUpdateStageCompleted,
		},
	})
	if err != nil {
		return settled, err
	}
	return settled, handle.Get(ctx, &settled)
}

// isClosing says whether the workflow that was found ended before it took the Update: the next try
// starts another.
func isClosing(err error) bool {
	var aborted *serviceerror.Aborted
	var notFound *serviceerror.NotFound
	var application *temporal.ApplicationError
	return errors.As(err, &aborted) || errors.As(err, &notFound) ||
		errors.As(err, &application) && application.Type() == "AcceptedUpdateCompletedWorkflow"
}

// reviewError is what a person reads about a conversion that the engine did not answer for.
func reviewError(ctx context.Context, id uuid.UUID, err error) string {
	var application *temporal.ApplicationError
	if errors.As(err, &application) && application.Type() == "NoConversion" {
		return errorNoConversion
	}
	slog.WarnContext(ctx, "review failed temporarily", "conversion", id, "request_id", problem.RequestID(ctx), "error", err)
	return "outcome unknown; retry the request"
}

// movesOfReview finds what a review's request changed: Settle wrote it, with its audit entry, in
// the transaction that made the change.
func (s *Server) movesOfReview(ctx context.Context, request *reviewRequest) (map[uuid.UUID]*dbgen.Transition, error) {
	moves := map[uuid.UUID]*dbgen.Transition{}
	return moves, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := dbgen.New().MovesOfReview(ctx, tx, principal(ctx).TenantID, request.ids, request.requestID)
		for i := range rows {
			moves[rows[i].ConversionID] = &rows[i]
		}
		return err
	})
}
