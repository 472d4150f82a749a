package attribution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// Exchange keeps the publisher's book of a shared offer equal to the advertiser's (rule 58). What
// serialises it is the lock on the publisher's row of the click, as in Decisions; what makes it
// idempotent are the keys of transitions and of the ledger.
type Exchange struct{ Decisions *Decisions }

// Synced is how far the publisher's book has come with a conversion.
type Synced struct {
	// Sequence is of the newest transition that both books have.
	Sequence int64
	// Copied is how many transitions were lacking.
	Copied int
	// Mended says that the publisher's row or ledger disagreed with the history.
	Mended bool `json:",omitempty"`
}

var syncLag = promauto.NewHistogram(prometheus.HistogramOpts{
	Name:    "offerflow_exchange_sync_seconds",
	Help:    "From a transition in the advertiser's book to its commit in the publisher's, in seconds.",
	Buckets: []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600},
})

// errAdvertiserMoved says that the publisher's book holds a transition newer than what was read of the
// advertiser's: another sync was quicker.
var errAdvertiserMoved = errors.New("the advertiser's book was read too early")

// errNoEntry says that the publisher has no entry for the advertiser that the click names.
var errNoEntry = errors.New("the publisher has no entry for the advertiser")

// SyncConversion copies every transition of a conversion that the publisher's book lacks, in order of
// sequence and in one transaction of the publisher: the row, the transitions, the balanced ledger of
// each, the events that callbacks follow. All in one, because only the state after the last is sure to
// go by the unique indexes: between two transitions of one conversion another of the same event may
// have been live. Where one still is in the publisher's book, its rejection is on its way: the error is
// retried.
func (x *Exchange) SyncConversion(ctx context.Context, partnership domain.Partnership, conversionID uuid.UUID) (Synced, error) {
	synced, err := x.sync(ctx, partnership, conversionID, false)
	if activities.Permanent(err) {
		event := stream.ExchangeEvent{ID: conversionID, Partnership: partnership, ConversionID: &conversionID}
		err = errors.Join(err, (&stream.Failures{Store: x.Decisions.Store}).KeepExchange(ctx, stream.SourceExchange, &event, err))
	}
	return synced, err
}

// Replay is SyncConversion for reconciliation (rule 61): it besides mends a row and a ledger that
// disagree with the transitions, which are the truth. History that contradicts the advertiser's is an
// error: nothing here rewrites it.
func (x *Exchange) Replay(ctx context.Context, partnership domain.Partnership, conversionID uuid.UUID) (Synced, error) {
	return x.sync(ctx, partnership, conversionID, true)
}

func (x *Exchange) sync(ctx context.Context, partnership domain.Partnership, conversionID uuid.UUID, mend bool) (synced Synced, err error) {
	err = db.Retry(mayRetrySync, func() error {
		from, err := x.readAdvertiserRecord(ctx, partnership, conversionID)
		if err != nil {
			return err
		}
		synced, err = x.syncOnce(ctx, partnership, from, mend)
		return err
	})
	if err != nil {
		return Synced{}, fmt.Errorf("sync conversion %s: %w", conversionID, err)
	}
	if synced.Copied > 0 {
		x.Decisions.Nudge()
	}
	return synced, nil
}

// mayRetrySync says whether another try may succeed at once.
func mayRetrySync(err error) bool {
	return errors.Is(err, errAdvertiserMoved) || errors.Is(err, errNoEntry) || db.Retryable(err)
}

// advertiserRecord is a conversion in the advertiser's book.
type advertiserRecord struct {
	row     dbgen.Conversion
	history []dbgen.Transition
	params  map[string]string
}

// readAdvertiserRecord reads the advertiser's book, as the advertiser. The row comes first: its figures count only
// where the history that is read after it has no adjustment.
func (x *Exchange) readAdvertiserRecord(ctx context.Context, partnership domain.Partnership, conversionID uuid.UUID) (*advertiserRecord, error) {
	tenantID, batch := partnership.AdvertiserTenantID, &db.Batch{}
	row := db.QueueRead(batch, func(q db.Querier) (dbgen.Conversion, error) {
		return queries.GetConversion(ctx, q, tenantID, conversionID)
	})
	history := db.QueueRead(batch, func(q db.Querier) ([]dbgen.Transition, error) {
		return queries.TransitionsOfConversion(ctx, q, tenantID, conversionID)
	})
	params := db.QueueRead(batch, func(q db.Querier) (json.RawMessage, error) {
		return queries.ParamsOfConversion(ctx, q, tenantID, conversionID)
	})
	if err := x.Decisions.Store.TenantAfter(ctx, tenantID, batch, func(context.Context, pgx.Tx) error { return nil }); err != nil {
		return nil, err
	}
	if !row.Found || row.Value.Side != domain.SideAdvertiser || row.Value.OfferID != partnership.OfferID {
		return nil, ErrNoConversion
	}
	if len(history.Value) == 0 {
		return nil, errors.New("the advertiser's conversion has no history")
	}
	from := &advertiserRecord{row: row.Value, history: history.Value}
	if params.Found { // what is old may have been dropped
		if err := json.Unmarshal(params.Value, &from.params); err != nil {
			return nil, fmt.Errorf("parameters of the postback: %w", err)
		}
	}
	return from, nil
}

// steps are the history as the rules read it.
func (d *advertiserRecord) steps() ([]domain.Step, error) {
	steps := make([]domain.Step, len(d.history))
	for i, t := range d.history {
		steps[i] = domain.Step{
			Sequence: t.Sequence, From: domain.Status(t.FromStatus), To: domain.Status(t.ToStatus), Reason: domain.Reason(t.Reason), At: t.At,
		}
		var err error
		if steps[i].Before, err = readFigures(t.FiguresBefore); err != nil {
			return nil, err
		}
		if steps[i].After, err = readFigures(t.FiguresAfter); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// readFigures reads what shown wrote; nil is none.
func readFigures(text json.RawMessage) (*domain.Figures, error) {
	if text == nil {
		return nil, nil //nolint:nilnil // no adjustment
	}
	var texts figures
	if err := json.Unmarshal(text, &texts); err != nil {
		return nil, fmt.Errorf("figures of an adjustment: %w", err)
	}
	read, failed := domain.Figures{}, error(nil)
	parse := func(text string) domain.Micros {
		micros, err := domain.ParseMicros(text)
		failed = errors.Join(failed, err)
		return micros
	}
	if texts.Amount != nil {
		amount := parse(*texts.Amount)
		read.Amount = &amount
	}
	read.Revenue, read.Payout, read.Reward = parse(texts.Revenue), parse(texts.Payout), parse(texts.Reward)
	return &read, failed
}

// syncOnce is the publisher's transaction, whose reads are one round trip and whose writes another.
func (x *Exchange) syncOnce(ctx context.Context, partnership domain.Partnership, from *advertiserRecord, mend bool) (synced Synced, err error) {
	tenantID, batch := partnership.PublisherTenantID, &db.Batch{}
	reads := queueClickState(ctx, batch, tenantID, from.row.ClickID)
	row := db.QueueRead(batch, func(q db.Querier) (dbgen.Conversion, error) {
		return queries.GetConversion(ctx, q, tenantID, from.row.ID)
	})
	history := db.QueueRead(batch, func(q db.Querier) ([]dbgen.Transition, error) {
		return queries.TransitionsOfConversion(ctx, q, tenantID, from.row.ID)
	})
	var copied []dbgen.Transition
	err = x.Decisions.Store.TenantAfter(ctx, tenantID, batch, func(ctx context.Context, tx pgx.Tx) error {
		if !reads.click.Found || reads.click.Value.Click.Side != domain.SidePublisher {
			return fmt.Errorf("the publisher has no click %s", from.row.ClickID)
		}
		if !reads.context.Found {
			return errNoEntry
		}
		state, err := x.Decisions.clickState(ctx, tx, reads)
		if err != nil {
			return err
		}
		f := &bookSync{
			decisions: x.Decisions, tx: tx, partnership: partnership, from: from, state: state,
			found: row.Found, was: row.Value, has: history.Value, mends: mend,
		}
		if err := f.run(ctx); err != nil {
			return err
		}
		copied = f.copied
		synced = Synced{Sequence: int64(len(from.history)), Copied: len(f.copied), Mended: f.mended}
		return nil
	})
	if errors.Is(err, errNoEntry) {
		err = errors.Join(err, x.enterAdvertiser(ctx, partnership, from.row.AdvertiserID))
	}
	if err != nil {
		return Synced{}, err
	}
	if synced.Mended {
		slog.WarnContext(ctx, "a publisher's book was repaired", "partnership", partnership.ID, "conversion", from.row.ID)
	}
	if !mend {
		observeSync(copied, x.Decisions.Now())
	}
	return synced, nil
}

func observeSync(copied []dbgen.Transition, now time.Time) {
	for _, t := range copied {
		syncLag.Observe(now.Sub(t.At).Seconds())
	}
}

// enterAdvertiser makes the publisher's entry for an advertiser that the shared offer was moved to after
// it was shared: the same id, and an address that nothing answers to.
func (x *Exchange) enterAdvertiser(ctx context.Context, partnership domain.Partnership, advertiserID uuid.UUID) error {
	return queries.ShareAdvertiser(ctx, x.Decisions.Store.SystemPool(), dbgen.ShareAdvertiserParams{
		PublisherTenantID: partnership.PublisherTenantID, Key: "exchange-" + uuid.NewString(), CreatedAt: x.Decisions.Now().UTC(),
		AdvertiserTenantID: partnership.AdvertiserTenantID, ID: advertiserID,
	})
}

// actorAdvertiser is how the publisher sees the advertiser's people.
const actorAdvertiser = "advertiser"

// actorFor is who moved a conversion, as the publisher sees it.
func actorFor(actor string) string {
	if actor == actorPostback || actor == actorTimer {
		return actor
	}
	return actorAdvertiser
}
