package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/sony/gobreaker/v2"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

const (
	// answerWithin is how long a postback's decision is left to the workflow engine. A sender waits 3 s
	// for its answer, and the decision without the engine must fit into what is left.
	answerWithin = 1500 * time.Millisecond
	// startWithin bounds the start of a workflow, for which nobody waits.
	startWithin = 5 * time.Second
	// breakerTripsAfter so many calls in a row without an answer, the engine is left alone for gateRest; then
	// one call tries whether it answers again.
	breakerTripsAfter = 5
	breakerRest       = time.Second
	// silentFor is how long a workflow is left alone that did not answer, mostSilent how many are remembered.
	silentFor  = 10 * time.Second
	mostSilent = 4096
)

// errEngineAway is returned for a call that was not made, or got no answer.
var errEngineAway = errors.New("the workflow engine does not answer")

// engineBreaker stands before the workflow engine. Each call has a bounded time; while none is answered, calls
// fail at once, so that nothing waits for an engine that is slow or away.
type engineBreaker struct {
	breaker *gobreaker.CircuitBreaker[struct{}]
	// silent are workflows that did not answer of late. They are not asked for a while, so that one of
	// them does not make the engine look away.
	silent *expirable.LRU[string, struct{}]
}

func newEngineBreaker() *engineBreaker {
	silent := expirable.NewLRU[string, struct{}](mostSilent, nil, silentFor)
	breaker := gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name: "workflow engine", MaxRequests: 1, Timeout: breakerRest,
		ReadyToTrip:  func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= breakerTripsAfter },
		IsSuccessful: func(err error) bool { return err == nil || !isPassing(err) || isItsOwnLimit(err) },
		OnStateChange: func(name string, from, to gobreaker.State) {
			silent.Purge() // it is the engine that does not answer
			observeBreaker(name, from, to)
		},
	})
	return &engineBreaker{breaker, silent}
}

func observeBreaker(_ string, from, to gobreaker.State) {
	switch {
	case to == gobreaker.StateClosed:
		engineAway.Set(0)
		slog.Info("Temporal answers again")
	case from == gobreaker.StateClosed:
		engineAway.Set(1)
		slog.Warn("Temporal does not answer: postbacks are decided without it, and missed work is stored for later")
	}
}

// ask makes one call.
func (g *engineBreaker) ask(ctx context.Context, within time.Duration, call func(ctx context.Context) error) error {
	_, err := g.breaker.Execute(func() (struct{}, error) {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		return struct{}{}, call(ctx)
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return errEngineAway
	}
	return err
}

// errSilent is returned for a call to a workflow that did not answer of late.
var errSilent = fmt.Errorf("%w: this workflow did not answer a moment ago", errEngineAway)

// askOf makes one call to one workflow, unless that did not answer of late.
func (g *engineBreaker) askOf(ctx context.Context, workflowID string, within time.Duration, call func(ctx context.Context) error) error {
	if g.isEngineUp() && g.silent.Contains(workflowID) {
		return errSilent
	}
	err := g.ask(ctx, within, call)
	if isTimeout(err) {
		g.silent.Add(workflowID, struct{}{})
	}
	return err
}

// isEngineUp says that the engine answers, as far as is known.
func (g *engineBreaker) isEngineUp() bool { return g.breaker.State() == gobreaker.StateClosed }

// rejectsAll says that no call would be made now.
func (g *engineBreaker) rejectsAll() bool { return g.breaker.State() == gobreaker.StateOpen }

// probe asks whether the engine answers again, for a time in which nothing else asks it anything.
func (w *Worker) probe(ctx context.Context) {
	_ = w.engineBreaker.ask(ctx, answerWithin, func(ctx context.Context) error { // the breaker goes by it
		if _, err := w.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
			return fmt.Errorf("%w: %w", errEngineAway, err)
		}
		return nil
	})
}

func isNotFound(err error) bool {
	var notFound *serviceerror.NotFound
	return errors.As(err, &notFound)
}

// isPassing says whether the engine may take the same call later: overloaded, unreachable, slow.
func isPassing(err error) bool {
	var exhausted *serviceerror.ResourceExhausted
	var unavailable *serviceerror.Unavailable
	return errors.Is(err, errEngineAway) || errors.As(err, &exhausted) || errors.As(err, &unavailable) || isTimeout(err)
}

func isTimeout(err error) bool {
	var deadline *serviceerror.DeadlineExceeded
	var timeout *client.WorkflowUpdateServiceTimeoutOrCanceledError
	return errors.As(err, &deadline) || errors.As(err, &timeout) || errors.Is(err, context.DeadlineExceeded)
}

// isItsOwnLimit says that one workflow takes no more at the moment. The engine answers, and takes what is for
// others.
func isItsOwnLimit(err error) bool {
	var exhausted *serviceerror.ResourceExhausted
	return errors.As(err, &exhausted) && (exhausted.Cause == enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW ||
		exhausted.Cause == enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT)
}
