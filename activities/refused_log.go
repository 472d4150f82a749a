package activities

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

// RefusedLog bounds the log of refused postbacks, which strangers write: those that nothing tells whose
// they are (the operator's log) by age and number, those of a tenant by number.
type RefusedLog struct {
	Store *db.Store
	// After is the age at which rows of the operator's log go; 0 keeps them.
	After time.Duration
	// Rows are how many the operator's log keeps, and each tenant's of refused ones; 0 keeps all.
	Rows int32
	Now  func() time.Time
}

// LetGo deletes what is too old or too much, the oldest first, and says how many rows went. It may be
// cut short anywhere and run again.
func (l *RefusedLog) LetGo(ctx context.Context) (gone int64, err error) {
	gone, err = l.ofOperator(ctx)
	if l.Rows == 0 {
		return gone, err
	}
	beyond, failed := queries.SystemRefusedBeyond(ctx, l.Store.SystemPool(), l.Rows)
	errs := []error{err, failed}
	for _, row := range beyond {
		n, err := untilFew(func() (int64, error) {
			return queries.SystemForgetRefused(ctx, l.Store.SystemPool(), &row.TenantID, row.ID, forgetBatch)
		})
		gone += n
		if err != nil {
			errs = append(errs, fmt.Errorf("refused postbacks of tenant %s: %w", row.TenantID, err))
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
	return untilFew(func() (int64, error) {
		return queries.SystemForgetUnclaimed(ctx, l.Store.SystemPool(), upTo, forgetBatch)
	})
}

// untilFew repeats a deletion of up to forgetBatch rows until there is less to delete.
func untilFew(forget func() (int64, error)) (total int64, err error) {
	for {
		n, err := forget()
		total += n
		if err != nil || n < forgetBatch {
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
