package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

type shareOfferInput struct {
	Body struct {
		OfferID           uuid.UUID `json:"offerId" doc:"One of this tenant's own offers."`
		PublisherTenantID uuid.UUID `json:"publisherTenantId" doc:"A tenant listed in the directory."`
	}
}

type shareOfferOutput struct {
	Body struct {
		SharedOfferID uuid.UUID `json:"sharedOfferId" doc:"The shared offer of both sides."`
		PartnershipID uuid.UUID `json:"partnershipId"`
		Status        string    `json:"status" enum:"active,requested" doc:"requested: the publisher must accept it first, because its profile requires that or because an earlier share of the same offer has ended."`
	}
}

// shareOffer makes one live offer of two tenants from an offer of one (rules 55 and 60). What may be
// shared is looked up as the tenant; the share itself crosses tenants, in one transaction of the
// system role under the partnership's id, by which a repeated request finds it.
func (s *Server) shareOffer(ctx context.Context, in *shareOfferInput) (*shareOfferOutput, error) {
	id := effectID(ctx)
	made, err := s.shareMade(ctx, id)
	if err != nil {
		return nil, err
	}
	if made == nil {
		if made, err = s.share(ctx, id, in.Body.OfferID, in.Body.PublisherTenantID); err != nil {
			return nil, err
		}
	}
	out := &shareOfferOutput{}
	out.Body.SharedOfferID, out.Body.PartnershipID, out.Body.Status = made.OfferID, made.ID, stream.PartnershipActive
	if made.isRequested {
		out.Body.Status = stream.PartnershipRequested
	}
	return out, nil
}

// madeShare is a partnership as it was made.
type madeShare struct {
	dbgen.Partnership
	isRequested bool
}

// shareMade finds the partnership that a request made before, nil where there is none. It is answered as
// it was made: what became of it since does not change the answer.
func (s *Server) shareMade(ctx context.Context, id uuid.UUID) (made *madeShare, err error) {
	return made, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetPartnership(ctx, tx, id, principal(ctx).TenantID)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		first, err := dbgen.New().GetOfferVersion(ctx, tx, row.OfferID, 1)
		if err != nil {
			return err
		}
		var offer domain.Offer
		if err := json.Unmarshal(first.Document, &offer); err != nil {
			return err
		}
		made = &madeShare{row, offer.IsRequested}
		return nil
	})
}

// errShared rolls back a share that is there already.
var errShared = errors.New("shared already")

func (s *Server) share(ctx context.Context, id, offerID, publisherID uuid.UUID) (*madeShare, error) {
	source, err := s.shareSource(ctx, offerID)
	if err != nil {
		return nil, err
	}
	var made madeShare
	err = s.system(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		made, err = s.insertShare(ctx, tx, id, source, publisherID)
		return err
	})
	s.nudge()
	if !errors.Is(err, errShared) {
		return &made, err
	}
	if before, err := s.shareMade(ctx, id); err != nil || before != nil {
		return before, err // the same request, which ran at the same time
	}
	p := problem.Conflict("The offer is already shared with this publisher. End that partnership first, or edit the shared offer.")
	p.Errors = []domain.FieldError{{Field: "publisherTenantId", Reason: "has this offer already"}}
	return nil, p
}

// shareSource is what there is to share: an offer of the tenant's, and who shares it.
type shareSource struct {
	tenant dbgen.Tenant
	side   domain.Side
	offer  *domain.Offer
}

func (s *Server) shareSource(ctx context.Context, offerID uuid.UUID) (source shareSource, err error) {
	tenantID := principal(ctx).TenantID
	return source, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if source.tenant, err = dbgen.New().GetTenant(ctx, tx, tenantID); err != nil {
			return err
		}
		if source.tenant.Product == domain.ProductPublisher {
			return problem.Forbidden("A tenant whose product is publisher cannot share offers; it can only receive them.",
				domain.FieldError{Field: "offerId", Reason: "is a publisher's"})
		}
		source.side, err = dbgen.New().OfferSide(ctx, tx, tenantID, offerID)
		if errors.Is(err, pgx.ErrNoRows) {
			return problem.BadField("offerId", "no offer has this id")
		}
		if err == nil {
			source.offer, err = currentOffer(ctx, tx, offerID)
		}
		return err
	})
}

// insertShare writes the shared offer with its first version, a key to it for each side, the
// publisher's entry for the advertiser and its own link, the partnership, and the news.
func (s *Server) insertShare(ctx context.Context, tx pgx.Tx, id uuid.UUID, source shareSource, publisherID uuid.UUID) (made madeShare, err error) {
	queries, tenant := dbgen.New(), source.tenant
	publisher, err := queries.SystemShareTarget(ctx, tx, tenant.TenantID, publisherID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return made, err
	}
	by := domain.ExchangeTenant{ID: tenant.TenantID, Product: tenant.Product, Currency: tenant.Currency}
	with := domain.ExchangeTenant{ID: publisherID, Product: publisher.Product, Currency: publisher.Currency, RewardRatio: publisher.RewardRatioMicros}
	at := s.now()
	if err := domain.CheckShare(by, with, source.side, publisher.Listed, source.offer, at).Err(); err != nil {
		return made, err
	}
	ended, err := queries.SystemShareEnded(ctx, tx, publisherID, source.offer.ID)
	if err != nil {
		return made, err
	}
	offer := domain.SharedCopy(source.offer, newID(), with, newID)
	offer.IsRequested = publisher.AcceptSharesFirst || ended // what was ended does not begin again unasked
	linkID := s.Keys.NewID(keyring.KindLink, at)
	if err := s.insertSharedOffer(ctx, tx, &offer, publisherID, linkID, at); err != nil {
		return made, err
	}
	made.isRequested, made.Partnership = offer.IsRequested, dbgen.Partnership{
		ID: id, OfferID: offer.ID, SourceOfferID: source.offer.ID, LinkID: &linkID, AdvertiserTenantID: tenant.TenantID, AdvertiserName: tenant.Name,
		PublisherTenantID: publisherID, PublisherName: publisher.Name, CreatedAt: at, CreatedBy: principal(ctx).Actor,
	}
	inserted, err := queries.InsertPartnership(ctx, tx, dbgen.InsertPartnershipParams{
		ID: made.ID, OfferID: made.OfferID, SourceOfferID: made.SourceOfferID, LinkID: linkID, AdvertiserTenantID: made.AdvertiserTenantID,
		PublisherTenantID: made.PublisherTenantID, CreatedAt: at, CreatedBy: made.CreatedBy,
	})
	if err == nil && inserted == 0 {
		err = errShared
	}
	if err != nil {
		return made, err
	}
	return made, s.partnershipBegan(ctx, tx, &made.Partnership, &offer)
}

func (s *Server) insertSharedOffer(ctx context.Context, tx pgx.Tx, offer *domain.Offer, publisherID, linkID uuid.UUID, at time.Time) error {
	queries := dbgen.New()
	err := queries.InsertOffer(ctx, tx, dbgen.InsertOfferParams{
		TenantID: offer.TenantID, ID: offer.ID, AdvertiserID: offer.AdvertiserID, Version: offer.Version, Name: offer.Name,
		OfferType: string(offer.OfferType), IsPaused: offer.IsPaused, LaunchAt: offer.LaunchAt, ExpiresAt: offer.ExpiresAt,
		CreatedAt: at, UpdatedAt: at, IsRequested: offer.IsRequested,
	})
	sides := map[domain.Side]uuid.UUID{domain.SideAdvertiser: offer.TenantID, domain.SidePublisher: publisherID}
	for side, tenantID := range sides {
		if err == nil {
			err = queries.InsertOfferAccess(ctx, tx, dbgen.InsertOfferAccessParams{TenantID: tenantID, OfferID: offer.ID, Side: side, CreatedAt: at})
		}
	}
	if err == nil {
		err = s.insertOfferVersion(ctx, tx, offer)
	}
	if err == nil {
		err = queries.ShareAdvertiser(ctx, tx, dbgen.ShareAdvertiserParams{
			PublisherTenantID: publisherID, Key: newAdvertiserKey(), CreatedAt: at, AdvertiserTenantID: offer.TenantID, ID: offer.AdvertiserID,
		})
	}
	if err == nil {
		err = queries.InsertLink(ctx, tx, dbgen.InsertLinkParams{TenantID: publisherID, ID: linkID, OfferID: offer.ID, IsDefault: true, CreatedAt: at})
	}
	return err
}

// partnershipBegan writes the audit entry of each side, and the news for redirects and live streams.
func (s *Server) partnershipBegan(ctx context.Context, tx pgx.Tx, p *dbgen.Partnership, offer *domain.Offer) error {
	for _, tenantID := range []uuid.UUID{p.AdvertiserTenantID, p.PublisherTenantID} {
		err := s.auditIn(ctx, tx, tenantID, "share", "offer", offer.ID.String(), nil, partnershipOf(p, offer.Name, offer.IsRequested, tenantID))
		if err != nil {
			return err
		}
	}
	if err := announceOffers(ctx, tx, &offer.ID); err != nil {
		return err
	}
	state := stream.PartnershipActive
	if offer.IsRequested {
		state = stream.PartnershipRequested
		if err := recordRequest(ctx, tx, p, offer); err != nil {
			return err
		}
	}
	return s.announceLive(ctx, tx, stream.LiveStatus, stream.LivePartnershipData{
		PartnershipID: p.ID, OfferID: p.OfferID, State: state, Side: domain.SideAdvertiser,
	}, p.AdvertiserTenantID, p.PublisherTenantID)
}
