package api

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/markup"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// parseOffer reads a document by the tenant's terms: its own advertisers, placements, ages and
// categories are looked up in the transaction that will write the offer.
func (s *Server) parseOffer(
	ctx context.Context, tx pgx.Tx, tenant dbgen.Tenant, document []byte, previous *domain.Offer,
) (domain.Offer, []string, error) {
	lookups := &offerLookups{ctx: ctx, tx: tx, tenantID: tenant.TenantID}
	offer, warnings, errs := domain.ParseOffer(document, s.placed(lookups.terms(tenant, previous)))
	return offer, filledWarnings(warnings), errors.Join(lookups.err, errs.Err())
}

// placed says what nothing tells of a visitor's place; a process that takes no clicks does not know.
func (s *Server) placed(terms domain.OfferTerms) domain.OfferTerms {
	if s.Tracking != nil {
		terms.NoCountries, terms.NoStates = s.Tracking.Places().Missing(), s.Tracking.Places().MissingStates()
	}
	return terms
}

// placeWarnings are those of an offer that is there already.
func (s *Server) placeWarnings(t *domain.Targeting) (warnings []string) {
	terms := s.placed(domain.OfferTerms{})
	for _, warning := range domain.PlaceWarnings(t, terms.NoCountries, terms.NoStates) {
		warnings = append(warnings, warning.Field+": "+warning.Reason)
	}
	return warnings
}

func filledWarnings(warnings []string) []string {
	if warnings == nil {
		return []string{}
	}
	return warnings
}

func (l *offerLookups) terms(tenant dbgen.Tenant, previous *domain.Offer) domain.OfferTerms {
	return domain.OfferTerms{
		RewardRatio: tenant.RewardRatioMicros, GoalsEnabled: tenant.GoalsEnabled, Previous: previous, NewID: newID,
		DestinationSchemes: tenant.DestinationSchemes,
		Sanitize:           markup.Clean, Age: l.age, CategoryKnown: l.categoryKnown,
		AdvertiserExists:      l.exists(dbgen.New().OfferAdvertiserExists),
		PlacementExists:       l.exists(dbgen.New().OfferPlacementExists),
		PayoutStructureExists: l.exists(dbgen.New().PayoutStructureExists),
		TierExists:            l.exists(dbgen.New().PartnerTierExists),
	}
}

// offerLookups answers questions while a document is read, and keeps the first error.
type offerLookups struct {
	ctx      context.Context
	tx       pgx.Tx
	tenantID uuid.UUID
	err      error
}

func (l *offerLookups) exists(ask func(context.Context, dbgen.DBTX, uuid.UUID, uuid.UUID) (bool, error)) func(uuid.UUID) bool {
	return func(id uuid.UUID) bool {
		if l.err != nil {
			return false
		}
		var known bool
		known, l.err = ask(l.ctx, l.tx, l.tenantID, id)
		return known
	}
}

func (l *offerLookups) age(id uuid.UUID) (domain.AgeRange, bool) {
	if ages, ok := domain.AgeRangeByID(id); ok {
		return ages, true
	}
	if l.err != nil {
		return domain.AgeRange{}, false
	}
	row, err := dbgen.New().OfferAgeRange(l.ctx, l.tx, l.tenantID, id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		l.err = err
	}
	return domain.AgeRange{Min: intOf(row.MinAge), Max: intOf(row.MaxAge)}, err == nil
}

func (l *offerLookups) categoryKnown(id uuid.UUID) bool {
	if _, ok := domain.CategoryByID(id); ok {
		return true
	}
	return l.exists(dbgen.New().OfferCategoryExists)(id)
}
