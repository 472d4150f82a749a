package upkeep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream/outbox"
)

// ScheduledChanges makes changes of offers that waited for their time.
type ScheduledChanges struct {
	Store *db.Store
	// Nudge tells the relay that events were committed.
	Nudge func()
	// Now is the clock; time.Now outside of tests.
	Now func() time.Time
}

// The states in which a scheduled change ends.
const (
	changeApplied = "applied"
	changeFailed  = "failed"
)

// actorSchedule is who makes a scheduled change, in the audit log and in the offer's versions.
const actorSchedule = "schedule"

// ApplyScheduledChange makes the change if it is due and pending still, and returns the state that
// it is in. A change that the offer does not take any more fails, with the reason in its row.
func (s *ScheduledChanges) ApplyScheduledChange(ctx context.Context, tenantID, id uuid.UUID) (state string, err error) {
	err = s.Store.Tenant(ctx, tenantID, func(ctx context.Context, tx pgx.Tx) error {
		change, err := queries.LockScheduledChange(ctx, tx, tenantID, id)
		if errors.Is(err, pgx.ErrNoRows) {
			state = "unknown" // its request was rolled back
			return nil
		}
		if err != nil {
			return err
		}
		if state = change.State; state != "pending" {
			return nil
		}
		if s.Now().Before(change.At) {
			return fmt.Errorf("scheduled change %s is due at %s", id, change.At)
		}
		state, err = s.apply(ctx, tx, &change)
		return err
	})
	if activities.Permanent(err) {
		state, err = changeFailed, s.fail(ctx, tenantID, id, err)
	}
	if err == nil {
		s.Nudge()
	}
	return state, err
}

// fail ends a change that no retry makes.
func (s *ScheduledChanges) fail(ctx context.Context, tenantID, id uuid.UUID, cause error) error {
	slog.ErrorContext(ctx, "a scheduled change failed for good", "tenant", tenantID, "change", id, "error", cause)
	activities.ItemErrors.WithLabelValues("scheduled_change").Inc()
	return s.Store.Tenant(ctx, tenantID, func(ctx context.Context, tx pgx.Tx) error {
		return queries.FinishScheduledChange(ctx, tx, dbgen.FinishScheduledChangeParams{
			TenantID: tenantID, ID: id, State: changeFailed, FinishedAt: s.Now(), Error: errorOfChange,
		})
	})
}

// errorOfChange is what people read where a change met an error that is no refusal.
const errorOfChange = "could not be applied: the offer cannot be read or stored; see the log"

func (s *ScheduledChanges) apply(ctx context.Context, tx pgx.Tx, change *dbgen.ScheduledChange) (state string, err error) {
	row, err := queries.LockOffer(ctx, tx, change.OfferID)
	if err != nil {
		return "", err
	}
	version, err := queries.GetOfferVersion(ctx, tx, change.OfferID, row.Version)
	if err != nil {
		return "", err
	}
	var before domain.Offer
	if err := json.Unmarshal(version.Document, &before); err != nil {
		return "", activities.Undecodable(err)
	}
	before.Version = row.Version
	tenant, err := queries.GetTenant(ctx, tx, change.TenantID)
	if err != nil {
		return "", err
	}
	share, err := activities.ShareOf(ctx, tx, change.TenantID, change.OfferID)
	if err != nil {
		return "", err
	}
	after, changes, refusal, err := s.figure(ctx, share, &before, change, tenant.RewardRatioMicros)
	if err != nil {
		return "", err
	}
	finish := dbgen.FinishScheduledChangeParams{TenantID: change.TenantID, ID: change.ID, State: changeApplied, FinishedAt: s.Now()}
	switch {
	case refusal != nil:
		finish.State, finish.Error = changeFailed, refusal.Error()
	case share == nil:
		err = s.save(ctx, tx, change.TenantID, &before, &after, &row)
	case len(changes) > 0: // the other side hears of what is another figure than before
		if err = s.save(ctx, tx, change.TenantID, &before, &after, &row); err == nil {
			err = share.Record(ctx, tx, actorSchedule, after.Version, changes, s.at())
		}
	}
	if err != nil {
		return "", err
	}
	return finish.State, queries.FinishScheduledChange(ctx, tx, finish)
}

// figure is the offer as the change makes it. A shared offer takes from each side what is its own, as
// it stands when the change is made: refusal says why it does not.
func (s *ScheduledChanges) figure(
	ctx context.Context, share *activities.Share, before *domain.Offer, change *dbgen.ScheduledChange, ratio *domain.Micros,
) (after domain.Offer, changes []domain.OfferChange, refusal, err error) {
	if share != nil {
		if ratio, err = share.RewardRatio(ctx, s.Store.SystemPool(), ratio); err != nil {
			return after, nil, nil, err
		}
	}
	after, refusal = before.WithFigure(change.EventID, domain.ScheduledField(change.Field), domain.Micros(change.ValueMicros), ratio)
	if share == nil || refusal != nil {
		return after, nil, refusal, nil
	}
	changes, err = share.Check(before, &after)
	var foreign *activities.ForeignFields
	if errors.Is(err, activities.ErrPartnershipEnded) || errors.Is(err, activities.ErrNotAccepted) || errors.As(err, &foreign) {
		return after, nil, err, nil
	}
	return after, changes, nil, err
}

// at is the instant in the database's precision.
func (s *ScheduledChanges) at() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

// save writes the offer's next version with its audit entry and its event, as the tenant that planned it.
func (s *ScheduledChanges) save(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, before, after *domain.Offer, row *dbgen.Offer) error {
	at := s.at()
	after.Version++
	document, err := json.Marshal(after)
	if err != nil {
		return err
	}
	err = queries.InsertOfferVersion(ctx, tx, dbgen.InsertOfferVersionParams{
		TenantID: before.TenantID, OfferID: before.ID, Version: after.Version, Document: document, CreatedAt: at, CreatedBy: actorSchedule,
	})
	if err != nil {
		return err
	}
	_, err = queries.UpdateOffer(ctx, tx, dbgen.UpdateOfferParams{
		AdvertiserID: row.AdvertiserID, Version: after.Version, Name: row.Name, OfferType: row.OfferType, IsPaused: row.IsPaused,
		LaunchAt: row.LaunchAt, ExpiresAt: row.ExpiresAt, IsRequested: row.IsRequested, UpdatedAt: at, ID: row.ID, WasVersion: before.Version,
	})
	if err != nil {
		return err
	}
	if err := s.audit(ctx, tx, tenantID, before, after, at); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	return outbox.AddOffer(ctx, tx, tenantID, before.ID, id)
}

func (s *ScheduledChanges) audit(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, before, after *domain.Offer, at time.Time) error {
	was, err := json.Marshal(before.Document())
	if err != nil {
		return err
	}
	is, err := json.Marshal(after.Document())
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	return queries.InsertAudit(ctx, tx, dbgen.InsertAuditParams{
		TenantID: tenantID, ID: id, At: at, Actor: actorSchedule, Action: "update", Noun: "offer", NounID: before.ID.String(),
		Before: was, After: is,
	})
}

// SweepScheduledChanges makes the changes whose workflow never came, and says how many there were.
func (s *ScheduledChanges) SweepScheduledChanges(ctx context.Context, before time.Time) (activities.Items, error) {
	next := func(after *dbgen.SystemOverdueChangesRow) ([]dbgen.SystemOverdueChangesRow, error) {
		page := dbgen.SystemOverdueChangesParams{Before: before, AtMost: activities.ItemsPage}
		if after != nil {
			page.AfterAt, page.AfterID = after.At, after.ID
		}
		return queries.SystemOverdueChanges(ctx, s.Store.SystemPool(), page)
	}
	return activities.InPages(ctx, "scheduled_change", next, func(row *dbgen.SystemOverdueChangesRow) error {
		_, err := s.ApplyScheduledChange(ctx, row.TenantID, row.ID)
		return err
	})
}
