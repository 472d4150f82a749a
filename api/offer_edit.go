package api

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// offerEdit is a change of a shared offer while it is saved; the zero value is that of any other offer.
type offerEdit struct {
	share   *activities.Share
	changes []domain.OfferChange
}

// beginEdit refuses what the principal may not change of a shared offer.
func beginEdit(ctx context.Context, tx pgx.Tx, before, after *domain.Offer) (edit offerEdit, err error) {
	edit.share, err = activities.ShareOf(ctx, tx, principal(ctx).TenantID, before.ID)
	if err != nil || edit.share == nil {
		return edit, err
	}
	edit.changes, err = edit.share.Check(before, after)
	return edit, editRefusal(err)
}

// editRefusal is the problem that an edit's refusal becomes.
func editRefusal(err error) error {
	var foreign *activities.ForeignFields
	switch {
	case errors.Is(err, activities.ErrPartnershipEnded):
		return problem.Conflict("The partnership has ended: its offer can no longer be edited.")
	case errors.Is(err, activities.ErrNotAccepted):
		return problem.Conflict("The publisher has not accepted this share yet: its offer can be edited after that.")
	case errors.As(err, &foreign):
		return otherSides(foreign.Fields)
	}
	return err
}

func otherSides(fields domain.FieldErrors) *problem.Problem {
	return problem.Forbidden("Only the other side may edit these fields.", fields...)
}

// finish writes down what the edit changed, for both sides, once the version is written.
func (e offerEdit) finish(ctx context.Context, tx pgx.Tx, before, after *domain.Offer, at time.Time) error {
	if e.share == nil {
		return nil
	}
	if after.AdvertiserID != before.AdvertiserID {
		err := asOwner(ctx, tx, after, func() error {
			return dbgen.New().ShareAdvertiser(ctx, tx, dbgen.ShareAdvertiserParams{
				PublisherTenantID: e.share.PublisherTenantID, Key: newAdvertiserKey(), CreatedAt: at,
				AdvertiserTenantID: e.share.AdvertiserTenantID, ID: after.AdvertiserID,
			})
		})
		if err != nil {
			return err
		}
	}
	by, err := actorInWords(ctx, tx)
	if err != nil {
		return err
	}
	return e.share.Record(ctx, tx, by, after.Version, e.changes, at)
}

// asOwner runs fn as the tenant whose the offer is: the publisher does too what is the advertiser's, when it
// accepts a proposal.
func asOwner(ctx context.Context, tx pgx.Tx, offer *domain.Offer, fn func() error) error {
	if offer.TenantID == principal(ctx).TenantID {
		return fn()
	}
	return db.As(ctx, tx, offer.TenantID, fn)
}

// offerReader reads the document of an edit: domain.ParseOffer a whole one, domain.PatchOffer some fields.
type offerReader func([]byte, domain.OfferTerms) (domain.Offer, []string, domain.FieldErrors)

// offerReading is how a change of a locked offer is read, by a tenant's terms.
type offerReading struct {
	terms   domain.OfferTerms
	lookups *offerLookups
	share   *activities.Share
}

// editTerms are a tenant's terms for a change of a locked offer. Of a shared one, what stands there already
// is known on both sides, and points are the publisher's.
func (s *Server) editTerms(ctx context.Context, tx pgx.Tx, tenant dbgen.Tenant, before *domain.Offer) (*offerReading, error) {
	share, err := activities.ShareOf(ctx, tx, tenant.TenantID, before.ID)
	if err != nil {
		return nil, err
	}
	lookups := &offerLookups{ctx: ctx, tx: tx, tenantID: tenant.TenantID}
	r := &offerReading{terms: s.placed(lookups.terms(tenant, before)), lookups: lookups, share: share}
	r.terms.At = s.now()
	if share == nil {
		return r, nil
	}
	if err := share.Closed(); err != nil {
		return nil, editRefusal(err)
	}
	r.terms.Shared = true
	r.terms.RewardRatio, err = share.RewardRatio(ctx, s.Store.SystemPool(), tenant.RewardRatioMicros)
	return r, err
}

// read reads a document: errs are refusals of it, err is a look-up that failed.
func (r *offerReading) read(document []byte, read offerReader) (after domain.Offer, warnings []string, errs domain.FieldErrors, err error) {
	after, warnings, errs = read(document, r.terms)
	return after, filledWarnings(warnings), errs, r.lookups.err
}

// parseEdit reads a change of a locked offer. A refusal of what is the other side's anyway says so.
func (s *Server) parseEdit(
	ctx context.Context, tx pgx.Tx, tenant dbgen.Tenant, before *domain.Offer, document []byte, read offerReader,
) (after domain.Offer, warnings []string, err error) {
	reading, err := s.editTerms(ctx, tx, tenant, before)
	if err != nil {
		return after, nil, err
	}
	after, warnings, errs, err := reading.read(document, read)
	if err != nil {
		return after, nil, err
	}
	if reading.share != nil {
		if foreign := domain.ForeignErrors(reading.share.Side, errs); len(foreign) > 0 {
			return after, nil, otherSides(foreign)
		}
	}
	return after, warnings, errs.Err()
}

// asGiven names the fields of new events in a refusal as the request's document has them.
func asGiven(err error, document []byte, before, after *domain.Offer) error {
	var problem *problem.Problem
	if errors.As(err, &problem) {
		problem.Errors = domain.NamedAsGiven(problem.Errors, document, before, after)
	}
	return err
}
