package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// Replayed is what a replay did, and what it could not do.
type Replayed struct {
	Streams []stream.Replayed
	Lost    []Lost
}

// Lost is what a person did between the instant that the database was restored to and the restore: its
// news is there, and it is not in the database. People do it again, or not.
type Lost struct {
	At       time.Time
	TenantID uuid.UUID
	// What is one of transition, job, request and resend; ID is the conversion's, the job's, the
	// request's or the delivery's.
	What   string
	ID     uuid.UUID
	Detail string
}

// Replay has clicks and postbacks that came at an instant or later handled again, after the database
// was restored to an earlier one. No worker may run meanwhile: it would refuse postbacks for clicks
// that are not there again yet. Decisions are made without workflows, which may know of them already;
// what is to be waited for is written down, and the workers make up for it.
func (w *Worker) Replay(ctx context.Context, since time.Time) (done Replayed, err error) {
	w.setUpReplay()
	defer w.rows.Close()
	began := time.Now()
	news, err := w.Stream.Last(ctx, stream.Events)
	if err != nil {
		return done, err
	}
	// A postback's click came before it: so the clicks' end is looked up last.
	postbacks, err := w.Stream.Last(ctx, stream.Postbacks)
	if err != nil {
		return done, err
	}
	clicks, err := w.Stream.Last(ctx, stream.Clicks)
	if err != nil {
		return done, err
	}
	refused, err := w.Stream.Last(ctx, stream.Refused)
	if err != nil {
		return done, err
	}
	if err := w.replay(ctx, &done, consumerClicks, since, clicks); err != nil {
		return done, err
	}
	if err := w.replay(ctx, &done, consumerRefused, since, refused); err != nil {
		return done, err
	}
	if err := w.awaitNewNews(ctx, began); err != nil {
		return done, err
	}
	if err := w.replay(ctx, &done, consumerPostbacks, since, postbacks); err != nil {
		return done, err
	}
	done.Lost, err = w.lostSince(ctx, since, news)
	return done, err
}

// errNoWorkflow says that a postback must be decided without its workflow.
var errNoWorkflow = errors.New("a replay asks no workflow")

func (w *Worker) setUpReplay() {
	w.replays = true
	w.setUp()
	// All clicks are handled before the first postback is.
	w.postbacks.Passed = func(context.Context, time.Time) (bool, error) { return true, nil }
	// The workflow may remember a decision that the database has forgotten.
	w.postbacks.Update = func(context.Context, *dbgen.SystemClickByIDRow, *domain.Postback) (domain.Answer, error) {
		return domain.Answer{}, errNoWorkflow
	}
}

func (w *Worker) replay(ctx context.Context, done *Replayed, name string, since time.Time, last uint64) error {
	for _, consumer := range w.consumers() {
		if consumer.Durable == name {
			one, err := w.Stream.Replay(ctx, consumer, since, last)
			done.Streams = append(done.Streams, one)
			return err
		}
	}
	return fmt.Errorf("no consumer %s", name)
}

// awaitNewNews waits until the stream of news takes what it was told before: a replay tells it again,
// under the same ids.
func (w *Worker) awaitNewNews(ctx context.Context, began time.Time) error {
	window, err := w.Stream.DuplicatesWindow(ctx)
	if err != nil {
		return err
	}
	left := time.Until(began.Add(window))
	if left <= 0 {
		return nil
	}
	slog.Info("clicks are processed again; postbacks follow when events can be published again", "in", left.Round(time.Second))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(left):
		return nil
	}
}

// lostSince finds what people did: the news of it that the database does not know.
func (w *Worker) lostSince(ctx context.Context, since time.Time, last uint64) (lost []Lost, err error) {
	err = w.Stream.Each(ctx, stream.Events, since, last, func(subject string, data []byte) {
		one, ok, failed := w.lostOf(ctx, subject, data)
		if failed != nil {
			slog.Warn("event that cannot be compared with the database", "subject", subject, "error", failed)
		}
		if ok {
			lost = append(lost, one)
		}
	})
	return lost, err
}

func (w *Worker) lostOf(ctx context.Context, subject string, data []byte) (one Lost, lost bool, err error) {
	queries, pool := dbgen.New(), w.Store.SystemPool()
	switch subject {
	case stream.SubjectConversion:
		var event stream.ConversionEvent
		if err = json.Unmarshal(data, &event); err != nil || attribution.ByItself(event.Actor) {
			return one, false, err
		}
		by := cmp.Or(event.Actor, "unknown (event of an earlier release)")
		one = Lost{event.At, event.TenantID, "transition", event.ConversionID, fmt.Sprintf("%s to %s by %s", event.FromStatus, event.Status, by)}
		if event.FromStatus == event.Status {
			one.Detail = "adjusted by " + by
		}
		lost, err = queries.SystemLacksTransition(ctx, pool, dbgen.SystemLacksTransitionParams{
			TenantID: event.TenantID, ConversionID: event.ConversionID, Actor: event.Actor,
			Earliest: event.At.Add(-time.Millisecond), Latest: event.At.Add(time.Millisecond),
		})
	case stream.SubjectJob:
		var event stream.JobEvent
		if err = json.Unmarshal(data, &event); err == nil {
			one = Lost{TenantID: event.TenantID, What: "job", ID: event.JobID}
			lost, err = queries.SystemLacksJob(ctx, pool, event.TenantID, event.JobID)
		}
	case stream.SubjectDelivery:
		var event stream.DeliveryEvent
		if err = json.Unmarshal(data, &event); err == nil {
			one = Lost{TenantID: event.TenantID, What: "resend", ID: event.DeliveryID}
			lost, err = queries.SystemLacksDelivery(ctx, pool, event.TenantID, event.DeliveryID)
		}
	case stream.SubjectExchange:
		var event stream.ExchangeEvent
		if err = json.Unmarshal(data, &event); err == nil && event.RequestID != nil {
			one = Lost{event.At, event.PublisherTenantID, "request", *event.RequestID, ""}
			lost, err = queries.SystemLacksRequest(ctx, pool, *event.RequestID)
		}
	}
	return one, lost, err
}
