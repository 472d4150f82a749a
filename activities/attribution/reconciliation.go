package attribution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/temporal"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// Reconciliations compares both books of partnerships, and has the sync replayed where they differ
// (rule 61).
type Reconciliations struct {
	Store *db.Store
	// Replay copies what the advertiser's book says of a conversion into the publisher's, whatever stands
	// there. Done again it changes nothing.
	Replay func(ctx context.Context, of domain.Partnership, conversionID uuid.UUID) (Synced, error)
	// Now is the clock; time.Now outside of tests.
	Now func() time.Time
}

const (
	// comparedDays are summed up and looked through, today included. What is older is looked at when it
	// was decided since the last time, and wherever its two rows differ.
	comparedDays = 35
	// comparedReach bounds how old a conversion may be to be looked at, and how long books are compared
	// after their partnership ended: longer than any window and review takes.
	comparedReach = 400 * 24 * time.Hour
	// comparedSettled is how long a conversion that moved may be behind in the publisher's book: its sync
	// is on its way.
	comparedSettled = time.Minute
	// comparedOverlap is how far back before the last comparison "since then" goes, so that what was left
	// alone at that time is looked at now.
	comparedOverlap = time.Hour
	// differencesAtMost are named in one row, and replayed in one go: what bounds memory and histories.
	differencesAtMost = 500
	// partnershipsPage are walked in one run of the schedule's workflow.
	partnershipsPage = 25
)

// BooksOf names a partnership whose books are to be compared.
type BooksOf struct {
	PartnershipID      uuid.UUID
	OfferID            uuid.UUID
	AdvertiserTenantID uuid.UUID
}

// PartnershipsPage is some partnerships in order of their ids.
type PartnershipsPage struct {
	Books []BooksOf
	// IsLast says that there are none behind.
	IsLast bool
}

// PartnershipsAfter is the next page of partnerships whose books may still move.
func (r *Reconciliations) PartnershipsAfter(ctx context.Context, after uuid.UUID) (PartnershipsPage, error) {
	rows, err := queries.SystemPartnershipsToReconcile(ctx, r.Store.SystemPool(), after, r.Now().Add(-comparedReach), partnershipsPage)
	if err != nil {
		return PartnershipsPage{}, fmt.Errorf("partnerships behind %s: %w", after, err)
	}
	page := PartnershipsPage{IsLast: len(rows) < partnershipsPage}
	for _, row := range rows {
		page.Books = append(page.Books, BooksOf{PartnershipID: row.ID, OfferID: row.OfferID, AdvertiserTenantID: row.AdvertiserTenantID})
	}
	return page, nil
}

// Comparison is what a look into both books found. It is kept in the workflow's history before
// anything is repaired, so that a crash in between forgets nothing of it.
type Comparison struct {
	Partnership domain.Partnership
	// ID is the reconciliation's.
	ID uuid.UUID
	At time.Time
	// From and To are days in the advertiser's calendar, inclusive; Timezone is that calendar's.
	From, To time.Time
	Timezone string
	// DecidedSince is since when older conversions that were decided are looked at.
	DecidedSince time.Time
	Days         []domain.BookDay
	// Differences are the first behind where it began; IsFull says that there may be more behind the last.
	Differences []domain.BookDifference
	IsFull      bool
	// Moving are conversions that were left out because their sync is on its way.
	Moving int64
}

// ErrNoPartnership is returned for an id that there is none of. No retry finds it.
var ErrNoPartnership = temporal.NewNonRetryableApplicationError("no such partnership", "NoPartnership", nil)

// CompareBooks compares the books of a partnership. It names conversions behind an id. decidedSince is
// that of the comparison before in the same run, or zero for the first.
func (r *Reconciliations) CompareBooks(ctx context.Context, partnershipID, after uuid.UUID, at, decidedSince time.Time) (Comparison, error) {
	defer activities.Heartbeat(ctx)()
	books, err := queries.SystemBooks(ctx, r.Store.SystemPool(), partnershipID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Comparison{}, ErrNoPartnership
	}
	if err != nil {
		return Comparison{}, fmt.Errorf("partnership %s: %w", partnershipID, err)
	}
	zone, err := zoneOf(books.Timezone, books.NextTimezone, books.NextTimezoneAt)
	if err != nil {
		return Comparison{}, err
	}
	now := r.Now().UTC().Truncate(time.Microsecond)
	location := zone.At(now)
	to := domain.PeriodsAt(now, location).Day
	c := Comparison{
		Partnership: domain.Partnership{
			ID: books.ID, OfferID: books.OfferID, AdvertiserTenantID: books.AdvertiserTenantID, PublisherTenantID: books.PublisherTenantID,
		},
		At: at, From: to.AddDate(0, 0, 1-comparedDays), To: to, Timezone: location.String(), DecidedSince: decidedSince,
	}
	if at.IsZero() {
		c.At, c.DecidedSince = now, books.LastAt.Add(-comparedOverlap)
	}
	if c.ID, err = uuid.NewV7(); err != nil {
		return c, err
	}
	err = r.compare(ctx, &c, after, []uuid.UUID{})
	c.IsFull = len(c.Differences) == differencesAtMost
	return c, err
}

// compare looks into both books, of one snapshot: at all conversions, or at those named.
func (r *Reconciliations) compare(ctx context.Context, c *Comparison, after uuid.UUID, named []uuid.UUID) error {
	location, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return err
	}
	params := dbgen.SystemCompareBooksParams{
		OfferID: c.Partnership.OfferID, AdvertiserTenantID: c.Partnership.AdvertiserTenantID, PublisherTenantID: c.Partnership.PublisherTenantID,
		Timezone: c.Timezone, ReceivedSince: domain.DayStart(c.From, location),
		DecidedSince: c.DecidedSince, MadeSince: c.At.Add(-comparedReach), SettledBefore: r.Now().Add(-comparedSettled),
		After: after, Named: named, AtMost: differencesAtMost,
	}
	// Transitions and ledger are looked up for each conversion: never by reading whole tables, however
	// small they were when the database last counted them.
	batch := &db.Batch{}
	row := db.QueueRead(batch, func(q db.Querier) (dbgen.SystemCompareBooksRow, error) {
		return queries.SystemCompareBooks(ctx, q, params)
	})
	if err := r.Store.SystemLookup(ctx, batch); err != nil {
		return fmt.Errorf("compare the books of partnership %s: %w", c.Partnership.ID, err)
	}
	c.Moving = row.Value.Moving
	return errors.Join(json.Unmarshal(row.Value.Days, &c.Days), json.Unmarshal(row.Value.Differences, &c.Differences))
}

// Reconciled is how a reconciliation ended.
type Reconciled struct {
	Found, Repaired int
}

// Reconcile replays the sync of what a comparison found, looks at it once more, and writes both down.
// Done again, it replays again and writes once.
func (r *Reconciliations) Reconcile(ctx context.Context, c Comparison) (Reconciled, error) {
	defer activities.Heartbeat(ctx)()
	done := Reconciled{Found: len(c.Differences)}
	if err := r.replay(ctx, &c); err != nil {
		return done, err
	}
	for _, difference := range c.Differences {
		if difference.Repaired {
			done.Repaired++
		}
	}
	days, err := json.Marshal(c.Days)
	if err != nil {
		return done, err
	}
	differences, err := json.Marshal(c.Differences)
	if err != nil {
		return done, err
	}
	written, err := queries.SystemInsertReconciliation(ctx, r.Store.SystemPool(), dbgen.SystemInsertReconciliationParams{
		PartnershipID: c.Partnership.ID, ID: c.ID, At: c.At, FromDay: c.From, ToDay: c.To, Days: days, Differences: differences,
		Found: int32(max(0, min(done.Found, math.MaxInt32))), Repaired: int32(max(0, min(done.Repaired, math.MaxInt32))),
	})
	if err != nil {
		return done, fmt.Errorf("reconciliation of partnership %s: %w", c.Partnership.ID, err)
	}
	if written == 1 {
		observeReconciliation(&c)
	}
	return done, nil
}

// replay replays the sync of each conversion that it can mend, and says of each whether the books agree
// about it now. What fails is tried once more behind the others: one that stands in the way of another
// may have been among them.
func (r *Reconciliations) replay(ctx context.Context, c *Comparison) error {
	var ids []uuid.UUID
	for _, difference := range c.Differences {
		if difference.IsReplayable() {
			ids = append(ids, difference.ConversionID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	failed, err := r.replayEach(ctx, c, ids)
	if err == nil {
		_, err = r.replayEach(ctx, c, failed)
	}
	if err != nil {
		return err
	}
	now := *c
	now.Days, now.Differences = nil, nil
	if err := r.compare(ctx, &now, uuid.Nil, ids); err != nil {
		return err
	}
	for i := range c.Differences {
		id := c.Differences[i].ConversionID
		differs := func(d domain.BookDifference) bool { return d.ConversionID == id }
		c.Differences[i].Repaired = slices.Contains(ids, id) && !slices.ContainsFunc(now.Differences, differs)
	}
	return nil
}

// replayEach replays the sync of each. One that fails does not keep the others; a database that is away does.
func (r *Reconciliations) replayEach(ctx context.Context, c *Comparison, ids []uuid.UUID) (failed []uuid.UUID, err error) {
	for _, id := range ids {
		_, err := r.Replay(ctx, c.Partnership, id)
		if ctx.Err() != nil || db.Unavailable(err) {
			return nil, errors.Join(ctx.Err(), err)
		}
		if err != nil {
			slog.ErrorContext(ctx, "the sync cannot be replayed", "partnership", c.Partnership.ID, "conversion", id, "error", err)
			failed = append(failed, id)
		}
	}
	return failed, nil
}
