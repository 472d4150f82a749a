package activities

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.temporal.io/sdk/activity"

	"github.com/offerflow/offerflow/db"
)

var itemErrors = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "offerflow_item_errors_total", Help: "Items of scheduled work that failed while the others continued, by kind.",
}, []string{"kind"})

// CountFailure counts and logs one item that failed while the others went on.
func CountFailure(kind string, err error) {
	itemErrors.WithLabelValues(kind).Inc()
	slog.Error("an item failed; the others continue", "kind", kind, "error", err)
}

const (
	// itemsPage items are looked up at a time.
	itemsPage = 500
	// maxAway is how many items in a row may find the database away before the rest is left for the next
	// run: one item's statement may be what breaks its connection.
	maxAway = 3
	// maxItemErrors bounds the errors that are kept of one kind; all of them are counted and logged.
	maxItemErrors = 10
)

// Items works on one kind of items, each alone: one that fails is logged and counted, and keeps no
// other.
type Items struct {
	kind string
	// Found items were worked on, Failed are those among them that failed.
	Found, Failed int
	errs          []error
	away          int
}

// add notes how an item ended. It returns an error where the rest is not worth trying now: time is up,
// or the database is away.
func (i *Items) add(ctx context.Context, err error) error {
	i.Found++
	if err == nil {
		i.away = 0
		return nil
	}
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), err)
	}
	i.Failed++
	CountFailure(i.kind, err)
	if len(i.errs) < maxItemErrors {
		i.errs = append(i.errs, err)
	}
	if !db.Unavailable(err) {
		i.away = 0
	} else if i.away++; i.away == maxAway {
		return err
	}
	return nil
}

// failures are the errors of single items, joined.
func (i *Items) failures() error { return errors.Join(i.errs...) }

// inPages works on all items that a listing finds, page after page, until there are none. next lists
// what stands behind an item, or the first ones for nil: an item that failed is not met again.
func inPages[T any](ctx context.Context, kind string, next func(after *T) ([]T, error), work func(item *T) error) (done Items, err error) {
	done.kind = kind
	var after *T
	for {
		page, err := next(after)
		if err != nil {
			return done, err
		}
		for n := range page {
			if err := done.add(ctx, work(&page[n])); err != nil {
				return done, err
			}
		}
		if activity.IsActivity(ctx) {
			activity.RecordHeartbeat(ctx, done.Found)
		}
		if len(page) < itemsPage {
			return done, nil
		}
		after = &page[len(page)-1]
	}
}
