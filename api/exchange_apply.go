package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// offerShares says that an offer is shared, and what of an edit can be applied to its shares.
type offerShares struct {
	Count  int64    `json:"count" doc:"Number of partnerships that have not ended."`
	Fields []string `json:"fields" doc:"The changed fields that can be applied to the shares: send them to POST /api/v1/exchange/offers/{id}/apply."`
}

// sharesOf offers to apply an edit of an offer to its shares; nil where it has none, or none of it applies.
func sharesOf(ctx context.Context, tx pgx.Tx, before, after *domain.Offer) (*offerShares, error) {
	count, err := dbgen.New().CountShares(ctx, tx, principal(ctx).TenantID, after.ID)
	if err != nil || count == 0 {
		return nil, err
	}
	changes, err := domain.DiffOffers(before, after)
	if err != nil {
		return nil, err
	}
	fields := domain.ApplicableFields(changes)
	if len(fields) == 0 {
		return nil, nil
	}
	return &offerShares{Count: count, Fields: fields}, nil
}

// appliedFields are read by domain.SharesPatch.
type appliedFields json.RawMessage

// UnmarshalJSON keeps what was sent.
func (f *appliedFields) UnmarshalJSON(data []byte) error {
	*f = append((*f)[:0], data...)
	return nil
}

// Schema satisfies huma.SchemaProvider.
func (appliedFields) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}},
		{Type: huma.TypeObject, AdditionalProperties: true},
	}}
}

type applyToSharesInput struct {
	ByID
	Body struct {
		Fields appliedFields `json:"fields" doc:"Names of fields, whose current values are taken from the offer; or an object of values like the PATCH of a shared offer, with events named by eventId."`
	}
}

type applyToSharesOutput struct {
	Body struct {
		JobID uuid.UUID `json:"jobId" doc:"GET /api/v1/jobs/{id} shows the progress."`
	}
}

// applyToShares makes a job that edits all shares of an offer of the tenant's own. Each is an edit like any
// other, logged and told to the other side; one that fails does not stop the rest.
func (s *Server) applyToShares(ctx context.Context, in *applyToSharesInput) (*applyToSharesOutput, error) {
	out := &applyToSharesOutput{}
	out.Body.JobID = effectID(ctx)
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		queries, tenantID := dbgen.New(), principal(ctx).TenantID
		source, err := currentOffer(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		side, err := queries.OfferSide(ctx, tx, tenantID, in.ID)
		if err != nil {
			return err
		}
		if side != domain.SideOwner {
			return problem.Conflict("This is a shared offer: edit it, or apply its source offer.")
		}
		patch, errs := domain.SharesPatch(source, json.RawMessage(in.Body.Fields))
		if len(errs) > 0 {
			return errs
		}
		made, err := queries.InsertJob(ctx, tx, dbgen.InsertJobParams{
			TenantID: tenantID, ID: out.Body.JobID, Action: string(attribution.JobApply), State: attribution.JobRunning,
			Actor: principal(ctx).Actor, Columns: []string{}, CreatedAt: s.now(), Fields: patch,
		})
		if err != nil || made == 0 { // the same request made it before
			return err
		}
		total, err := queries.InsertJobShares(ctx, tx, tenantID, out.Body.JobID, in.ID)
		if err != nil {
			return err
		}
		if total == 0 {
			return problem.Conflict("This offer has no shares to edit.")
		}
		if err := queries.SetJobTotal(ctx, tx, total, tenantID, out.Body.JobID); err != nil {
			return err
		}
		return s.announceMadeJob(ctx, tx, out.Body.JobID)
	})
	s.nudge()
	return out, err
}

// ApplyToShare edits one share for a job, as PATCH would by the person who asked for the job. refusal says
// why this one is not edited; err is what may work later.
func (s *Server) ApplyToShare(ctx context.Context, edit attribution.ShareEdit) (changed bool, refusal string, err error) {
	ctx = withPrincipal(ctx, Principal{TenantID: edit.TenantID, Scope: scopeManagement, Actor: edit.Actor + ", job " + edit.JobID.String()})
	err = s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		before, err := lockOffer(ctx, tx, edit.OfferID)
		if err != nil {
			return err
		}
		if missing := before.MissingEvents(edit.Patch); len(missing) > 0 {
			return problem.BadField("offerEvents", "this share has no event "+strings.Join(missing, ", "))
		}
		if _, err := s.patchShared(ctx, tx, before, edit.Patch); err != nil {
			return err
		}
		now, err := dbgen.New().GetOffer(ctx, tx, edit.OfferID)
		if err != nil {
			return err
		}
		if changed = now.Version != before.Version; !changed { // the edit may be there from before a crash
			changed, err = dbgen.New().OfferWasEditedBy(ctx, tx, edit.OfferID, principal(ctx).Actor)
		}
		return err
	})
	s.nudge()
	var problem *problem.Problem
	var fields domain.FieldErrors
	switch {
	case errors.As(err, &problem):
		fields = problem.Errors
		refusal = problem.Detail
	case errors.As(err, &fields):
		refusal = "The edit is not valid."
	default:
		return changed, "", err
	}
	if len(fields) > 0 {
		refusal += " " + fields.Error()
	}
	return false, refusal, nil
}
