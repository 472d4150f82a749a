package upkeep

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
)

// RefusedLog bounds what strangers write: refused postbacks that nothing tells whose they are (the
// operator's log) by age and number, those of a tenant by number, and refused clicks by age and number.
type RefusedLog struct {
	Store *db.Store
	// After is the age at which rows of the operator's log go; 0 keeps them.
	After time.Duration
	// Clicks is the age at which refused clicks go; 0 keeps them.
	Clicks time.Duration
	// Rows are how many the operator's log keeps, and of each tenant's refused postbacks and refused clicks;
	// 0 keeps all.
	Rows int32
	Now  func() time.Time
}

// Trim deletes what is too old or too much, the oldest first, and says how many rows went. It may be
// cut short anywhere and run again.
func (l *RefusedLog) Trim(ctx context.Context) (gone int64, err error) {
	ofOperator, err := l.ofOperator(ctx)
	ofTenants, failed := l.ofTenants(ctx)
	clicks, clicksFailed := l.clicks(ctx)
	return ofOperator + ofTenants + clicks, errors.Join(err, failed, clicksFailed)
}

func (l *RefusedLog) ofTenants(ctx context.Context) (gone int64, err error) {
	if l.Rows == 0 {
		return 0, nil
	}
	beyond, err := queries.SystemRefusedBeyond(ctx, l.Store.SystemPool(), l.Rows)
	errs := []error{err}
	for _, row := range beyond {
		n, err := deleteInBatches(func() (int64, error) {
			return queries.SystemForgetRefused(ctx, l.Store.SystemPool(), &row.TenantID, row.ID, deleteBatch)
		})
		gone += n
		if err != nil {
			errs = append(errs, fmt.Errorf("refused postbacks of tenant %s: %w", row.TenantID, err))
		}
	}
	return gone, errors.Join(errs...)
}

// reportsDone is how old a refused click is before its number may cost it its row: reports sum it up within
// minutes, and people look for it.
const reportsDone = time.Hour

// clicks deletes refused clicks. What reports count of them stays in their sums, but for those by sub ids,
// which reports read from the rows.
func (l *RefusedLog) clicks(ctx context.Context) (gone int64, err error) {
	var errs []error
	forget := func(tenantID, upTo uuid.UUID) {
		n, err := deleteInBatches(func() (int64, error) {
			return queries.SystemForgetRefusedClicks(ctx, l.Store.SystemPool(), tenantID, upTo, deleteBatch)
		})
		gone += n
		if err != nil {
			errs = append(errs, fmt.Errorf("refused clicks of tenant %s: %w", tenantID, err))
		}
	}
	if l.Clicks > 0 {
		upTo := earliestID(l.Now().Add(-l.Clicks))
		tenants, err := queries.SystemRefusedClicksBefore(ctx, l.Store.SystemPool(), upTo)
		errs = append(errs, err)
		for _, tenantID := range tenants {
			forget(tenantID, upTo)
		}
	}
	if l.Rows > 0 {
		beyond, err := queries.SystemRefusedClicksBeyond(ctx, l.Store.SystemPool(), l.Rows)
		errs = append(errs, err)
		done := earliestID(l.Now().Add(-reportsDone))
		for _, row := range beyond {
			if bytes.Compare(row.ID[:], done[:]) > 0 {
				row.ID = done
			}
			forget(row.TenantID, row.ID)
		}
	}
	return gone, errors.Join(errs...)
}

func (l *RefusedLog) ofOperator(ctx context.Context) (int64, error) {
	upTo := uuid.Nil
	if l.After > 0 {
		upTo = earliestID(l.Now().Add(-l.After))
	}
	if l.Rows > 0 {
		beyond, err := queries.SystemUnclaimedBeyond(ctx, l.Store.SystemPool(), l.Rows)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return 0, fmt.Errorf("operator's log: %w", err)
		}
		if bytes.Compare(beyond[:], upTo[:]) > 0 {
			upTo = beyond
		}
	}
	if upTo == uuid.Nil {
		return 0, nil
	}
	return deleteInBatches(func() (int64, error) {
		return queries.SystemForgetUnclaimed(ctx, l.Store.SystemPool(), upTo, deleteBatch)
	})
}

// deleteInBatches repeats a deletion of up to forgetBatch rows until there is less to delete.
func deleteInBatches(forget func() (int64, error)) (total int64, err error) {
	for {
		n, err := forget()
		total += n
		if err != nil || n < deleteBatch {
			return total, err
		}
	}
}

// earliestID is the smallest UUIDv7 of an instant.
func earliestID(at time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixMilli())<<16)
	id[6], id[8] = 0x70, 0x80
	return id
}
