package api

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"
)

type scheduledChangeDocument struct {
	ID        uuid.UUID `json:"id"`
	OfferID   uuid.UUID `json:"offerId"`
	EventID   uuid.UUID `json:"eventId" doc:"The goal's id."`
	Field     string    `json:"field" enum:"revenue,reward"`
	Value     Decimal   `json:"value"`
	At        time.Time `json:"at"`
	State     string    `json:"state" enum:"pending,applied,failed,cancelled"`
	Error     string    `json:"error,omitempty" doc:"Why it failed."`
	CreatedAt time.Time `json:"createdAt"`
	CreatedBy string    `json:"createdBy"`
	// Side and By say whose it is, as both sides of a shared offer read it.
	Side       domain.Side `json:"side" enum:"owner,advertiser,publisher" doc:"Who scheduled it; owner if the offer is not shared."`
	By         string      `json:"by" doc:"The side and actor that scheduled it; the same as createdBy if the offer is not shared."`
	FinishedAt *time.Time  `json:"finishedAt"`
}

type scheduledChangeOutput struct{ Body scheduledChangeDocument }

type scheduleChangeInput struct {
	ByID
	Body struct {
		Field   string     `json:"field" enum:"revenue,reward"`
		EventID *uuid.UUID `json:"eventId,omitempty" format:"uuid" doc:"The goal's id; optional for a SingleEvent offer."`
		Value   Decimal    `json:"value" doc:"The new value; percent if the offer is RevShare."`
		At      time.Time  `json:"at" doc:"A full hour, at most a year ahead."`
	}
}

// scheduleChange writes down a change of revenue or reward and starts the workflow that makes it.
// The row is what counts: a change whose workflow could not be started is found by the sweep.
func (s *Server) scheduleChange(ctx context.Context, in *scheduleChangeInput) (*scheduledChangeOutput, error) {
	var row dbgen.ScheduledChange
	out := &scheduledChangeOutput{}
	id := effectID(ctx)
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if row, err = s.planChange(ctx, tx, id, in); err != nil {
			return err
		}
		out.Body, err = viewScheduledChange(ctx, tx, in.ID, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	start := workflows.ScheduledChangeInput{TenantID: row.TenantID, ChangeID: row.ID}
	summary := "offer " + row.OfferID.String() + ": " + row.Field + " becomes " + domain.Micros(row.ValueMicros).String()
	if s.Temporal != nil {
		options := workflows.ScheduledChangeOptions(start, row.OfferID, row.At, s.now(), summary)
		if _, err := s.Temporal.ExecuteWorkflow(ctx, options, workflows.ScheduledChangeName, start); err != nil {
			slog.WarnContext(ctx, "a scheduled change is left to the sweep", "change", row.ID, "error", err)
		}
	}
	return out, nil
}

// planChange checks a change against the offer as it is now, and keeps it. The offer is locked, so
// that the number of those that wait is exact.
func (s *Server) planChange(ctx context.Context, tx pgx.Tx, id uuid.UUID, in *scheduleChangeInput) (dbgen.ScheduledChange, error) {
	queries, tenantID := dbgen.New(), principal(ctx).TenantID
	offer, err := lockOffer(ctx, tx, in.ID)
	if err != nil {
		return dbgen.ScheduledChange{}, err
	}
	tenant, err := queries.GetTenant(ctx, tx, tenantID)
	if err != nil {
		return dbgen.ScheduledChange{}, err
	}
	if known, err := queries.GetScheduledChange(ctx, tx, tenantID, id); err == nil {
		return known, nil // the request came again
	}
	ratio, err := s.figureTerms(ctx, tx, &tenant, offer.ID, domain.ScheduledField(in.Body.Field))
	if err != nil {
		return dbgen.ScheduledChange{}, err
	}
	if reason := domain.CheckScheduled(in.Body.At, s.now()); reason != "" {
		return dbgen.ScheduledChange{}, problem.BadField("at", reason)
	}
	var eventID uuid.UUID
	switch {
	case in.Body.EventID != nil:
		eventID = *in.Body.EventID
	case offer.OfferType == domain.OfferTypeSingleEvent:
		eventID = offer.Events[0].ID
	default:
		return dbgen.ScheduledChange{}, problem.BadField("eventId", "is required for a MultiEvent offer")
	}
	if _, err := offer.WithFigure(eventID, domain.ScheduledField(in.Body.Field), domain.Micros(in.Body.Value), ratio); err != nil {
		return dbgen.ScheduledChange{}, err
	}
	waiting, err := queries.CountPendingChanges(ctx, tx, dbgen.CountPendingChangesParams{
		TenantID: tenantID, OfferID: offer.ID, EventID: eventID, Field: in.Body.Field,
	})
	if err != nil {
		return dbgen.ScheduledChange{}, err
	}
	if waiting >= domain.MaxScheduled {
		return dbgen.ScheduledChange{}, problem.BadField("field", "already has the maximum of 5 pending changes")
	}
	by, err := actorInWords(ctx, tx) // of a shared offer the other side reads it
	if err != nil {
		return dbgen.ScheduledChange{}, err
	}
	_, err = queries.InsertScheduledChange(ctx, tx, dbgen.InsertScheduledChangeParams{
		TenantID: tenantID, ID: id, OfferID: offer.ID, EventID: eventID, Field: in.Body.Field,
		ValueMicros: int64(in.Body.Value), At: in.Body.At.UTC(), CreatedAt: s.now(), CreatedBy: by,
	})
	if err != nil {
		return dbgen.ScheduledChange{}, err
	}
	row, err := queries.GetScheduledChange(ctx, tx, tenantID, id)
	if err != nil {
		return row, err
	}
	shown, err := viewScheduledChange(ctx, tx, offer.ID, id)
	if err != nil {
		return row, err
	}
	return row, s.audit(ctx, tx, "create", "scheduled_change", id.String(), nil, shown)
}

// figureTerms refuses a figure of a shared offer that is the other side's to change (rule 57), and is the
// reward ratio that holds for the offer.
func (s *Server) figureTerms(
	ctx context.Context, tx pgx.Tx, tenant *dbgen.Tenant, offerID uuid.UUID, field domain.ScheduledField,
) (*domain.Micros, error) {
	share, err := activities.ShareOf(ctx, tx, tenant.TenantID, offerID)
	if err != nil || share == nil {
		return tenant.RewardRatioMicros, err
	}
	switch err := share.CheckFigure(field); {
	case errors.Is(err, activities.ErrPartnershipEnded), errors.Is(err, activities.ErrNotAccepted):
		return nil, editRefusal(err)
	case err != nil:
		return nil, otherSides(domain.FieldErrors{{Field: "field", Reason: err.Error()}})
	}
	return share.RewardRatio(ctx, s.Store.SystemPool(), tenant.RewardRatioMicros)
}

type scheduledChangeByID struct {
	ID       uuid.UUID `path:"id" format:"uuid"`
	ChangeID uuid.UUID `path:"changeId" format:"uuid"`
}

// cancelChange keeps a change that waits from being made. One that is done cannot be cancelled, nor can
// one that the other side of a shared offer scheduled.
func (s *Server) cancelChange(ctx context.Context, in *scheduledChangeByID) (*struct{}, error) {
	return nil, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		queries, tenantID := dbgen.New(), principal(ctx).TenantID
		row, err := queries.LockScheduledChange(ctx, tx, tenantID, in.ChangeID)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && row.OfferID != in.ID {
			if _, err := viewScheduledChange(ctx, tx, in.ID, in.ChangeID); err != nil {
				return err
			}
			return problem.Forbidden("The other side scheduled this change: only it can cancel it.", domain.FieldError{Field: "changeId", Reason: "belongs to the other side"})
		}
		if err != nil {
			return err
		}
		switch row.State {
		case "cancelled":
			return nil
		case "pending":
		default:
			return problem.Conflict("The change is " + row.State + " already.")
		}
		before, err := viewScheduledChange(ctx, tx, in.ID, row.ID)
		if err != nil {
			return err
		}
		err = queries.FinishScheduledChange(ctx, tx, dbgen.FinishScheduledChangeParams{
			TenantID: tenantID, ID: row.ID, State: "cancelled", FinishedAt: s.now(),
		})
		if err != nil {
			return err
		}
		return s.audit(ctx, tx, "cancel", "scheduled_change", row.ID.String(), before, nil)
	})
}

// scheduledChangeListing shows an offer's changes to whoever has the offer: of a shared one to both sides
// all of them (rule 57), each with whose it is.
var scheduledChangeListing = listing[scheduledChangeDocument]{
	from: `scheduled_changes c JOIN offer_access x ON x.tenant_id = current_tenant() AND x.offer_id = c.offer_id
		LEFT JOIN partnerships p ON p.offer_id = c.offer_id AND current_tenant() IN (p.advertiser_tenant_id, p.publisher_tenant_id)`,
	columns: "c.id, c.offer_id, c.event_id, c.field, c.value_micros, c.at, c.state, c.error, c.created_at, c.created_by, c.finished_at, " + scheduledSide + ", " + scheduledBy,
	where:   "c.offer_id = $1",
	fields: map[string]listField{
		"id": {column: "c.id", kind: fieldUUID}, "eventId": {column: "c.event_id", kind: fieldUUID}, "field": {column: "c.field"},
		"state": {column: "c.state"}, "at": {column: "c.at", kind: fieldTime}, "createdAt": {column: "c.created_at", kind: fieldTime},
		"side": {column: scheduledSide},
	},
	order: "at", id: "c.id",
	scan: func(row pgx.CollectableRow) (d scheduledChangeDocument, err error) {
		return d, row.Scan(&d.ID, &d.OfferID, &d.EventID, &d.Field, (*int64)(&d.Value), &d.At, &d.State, &d.Error, &d.CreatedAt, &d.CreatedBy,
			&d.FinishedAt, &d.Side, &d.By)
	},
}

const (
	scheduledSide = "CASE WHEN p.id IS NULL THEN 'owner' WHEN c.tenant_id = p.advertiser_tenant_id THEN 'advertiser' ELSE 'publisher' END"
	scheduledBy   = `CASE WHEN p.id IS NULL THEN c.created_by
		ELSE CASE WHEN c.tenant_id = p.advertiser_tenant_id THEN p.advertiser_name ELSE p.publisher_name END || ' (' || c.created_by || ')' END`
)

// viewScheduledChange reads one as the list shows it; what is not of the offer is 404.
func viewScheduledChange(ctx context.Context, tx pgx.Tx, offerID, id uuid.UUID) (scheduledChangeDocument, error) {
	l := scheduledChangeListing
	rows, err := tx.Query(ctx, "SELECT "+l.columns+" FROM "+l.from+" WHERE "+l.where+" AND c.id = $2", offerID, id)
	if err != nil {
		return scheduledChangeDocument{}, err
	}
	change, err := pgx.CollectExactlyOneRow(rows, l.scan)
	return change, orNotFound(err)
}

type listScheduledChangesInput struct {
	ByID
	ListInput
}

func (s *Server) listScheduledChanges(ctx context.Context, in *listScheduledChangesInput) (*pageOutput[scheduledChangeDocument], error) {
	out := &pageOutput[scheduledChangeDocument]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := currentOffer(ctx, tx, in.ID); err != nil {
			return err
		}
		var err error
		out.Body, err = list(ctx, tx, s.now(), scheduledChangeListing, in.ListInput, in.ID)
		return err
	})
}
