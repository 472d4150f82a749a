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

// ItemErrors counts items of scheduled work that failed while the others went on, by kind.
var ItemErrors = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "offerflow_item_errors_total", Help: "Items of scheduled work that failed while the others continued, by kind.",
}, []string{"kind"})

// CountFailure counts and logs one item that failed while the others went on.
func CountFailure(kind string, err error) {
	ItemErrors.WithLabelValues(kind).Inc()
	slog.Error("an item failed; the others continue", "kind", kind, "error", err)
}

var overdueItems = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "offerflow_swept_total", Help: "Overdue items that the sweep found, by kind. Zero in a healthy system.",
}, []string{"kind"})

// CountOverdue counts overdue items that nobody was at.
func CountOverdue(kind string, n int) { overdueItems.WithLabelValues(kind).Add(float64(n)) }

// InternalErrorText is what a person reads of an item or a delivery that ended by an error that is no
// decision.
const InternalErrorText = "not decided because of an internal error: see the log"

const (
	// ItemsPage items are looked up at a time.
	ItemsPage = 500
	// maxAway is how many items in a row may find the database away before the rest is left for the next
	// run: one item's statement may be what breaks its connection.
	maxAway = 3
	// maxItemErrors bounds the errors that are kept of one kind; all of them are counted and logged.
	maxItemErrors = 10
)

// Items works on one kind of items, each alone: one that fails is logged and counted, and keeps no
// other.
type Items struct {
	Kind string
	// Found items were worked on, Failed are those among them that failed.
	Found, Failed int
	errs          []error
	away          int
}

// Add notes how an item ended. It returns an error where the rest is not worth trying now: time is up,
// or the database is away.
func (i *Items) Add(ctx context.Context, err error) error {
	i.Found++
	if err == nil {
		i.away = 0
		return nil
	}
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), err)
	}
	i.Failed++
	CountFailure(i.Kind, err)
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

// Errors are those of single items, joined.
func (i *Items) Errors() error { return errors.Join(i.errs...) }

// InPages works on all items that a listing finds, page after page, until there are none. next lists
// what stands behind an item, or the first ones for nil: an item that failed is not met again.
func InPages[T any](ctx context.Context, kind string, next func(after *T) ([]T, error), work func(item *T) error) (done Items, err error) {
	done.Kind = kind
	var after *T
	for {
		page, err := next(after)
		if err != nil {
			return done, err
		}
		for n := range page {
			if err := done.Add(ctx, work(&page[n])); err != nil {
				return done, err
			}
		}
		if activity.IsActivity(ctx) {
			activity.RecordHeartbeat(ctx, done.Found)
		}
		if len(page) < ItemsPage {
			return done, nil
		}
		after = &page[len(page)-1]
	}
}
