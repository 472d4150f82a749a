package api

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// WallStanding is where a member stands with an offer.
type WallStanding struct {
	WallProgress
	IsOfferAvailable bool       `json:"isOfferAvailable" doc:"Whether the wall now lists it for this member: it is active, below its caps, targets the member, and has an event left to complete."`
	SessionID        *uuid.UUID `json:"sessionId" doc:"The member's last click on the offer while it can still convert; otherwise null."`
}

// wallDetails is an offer as one member looks at it.
type wallDetails struct {
	WallOffer
	WallStanding
	Warnings []string   `json:"warnings,omitempty" doc:"Targeting fields that are missing in the request, so that the offer is not available."`
	ViewID   *uuid.UUID `json:"viewId" doc:"Id of this view, for offer-link and for the click; null for a readonly token, which records no view."`
}

type wallDetailsInput struct {
	WallMember
	OfferID     uuid.UUID `query:"offerId" required:"true" format:"uuid"`
	PlacementID uuid.UUID `query:"placementId" format:"uuid" doc:"The placement that shows the offer; the view's link then belongs to it."`
	Creative    string    `query:"creativeOrder" doc:"The order of the creative shown; default: the first."`
}

type wallDetailsOutput struct{ Body wallDetails }

// wallDetails shows an offer to a member and keeps that it did, as a view.
func (s *Server) wallDetails(ctx context.Context, in *wallDetailsInput) (*wallDetailsOutput, error) {
	to, err := s.onOwnWall(ctx, in.OfferID)
	if errors.Is(err, lookup.ErrNotFound) {
		return nil, problem.BadField("offerId", "this offer is not on the wall")
	}
	if err != nil {
		return nil, err
	}
	creative, err := seenCreative(&to.Offer.Offer, in.Creative, tracking.FirstCreative(&to.Offer.Offer))
	if err != nil {
		return nil, err
	}
	out := &wallDetailsOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		placementID, err := wallPlacement(ctx, tx, in.PlacementID)
		if err != nil {
			return err
		}
		view, err := s.lookAs(ctx, tx, &in.WallMember, placementID, &in.OfferID)
		if err != nil {
			return err
		}
		out.Body.WallOffer, out.Body.WallStanding = view.standing(to)
		if len(view.unplaced) > 0 {
			out.Body.Warnings = []string{"country unknown: the offer targets countries or states; send the member's country in pub_geo_country"}
		}
		if out.Body.SessionID, err = view.openSession(ctx, tx, in.OfferID); err != nil {
			return err
		}
		if principal(ctx).readsOnly {
			return nil
		}
		viewID := s.Keys.NewID(keyring.KindView, view.at)
		out.Body.ViewID = &viewID
		return dbgen.New().InsertOfferView(ctx, tx, dbgen.InsertOfferViewParams{
			TenantID: principal(ctx).TenantID, ID: viewID, OfferID: in.OfferID, PubMemberID: in.Member, PlacementID: placementID,
			Params: in.params.AudienceQuery(), CreatedAt: view.at, CreativeOrder: creative,
		})
	})
}

// onOwnWall finds an offer that the tenant's members are shown; a shared one is the publisher's alone.
func (s *Server) onOwnWall(ctx context.Context, offerID uuid.UUID) (offercache.Target, error) {
	if s.Tracking == nil {
		return offercache.Target{}, problem.Unavailable()
	}
	to, err := s.Tracking.Offers().ByOffer(ctx, lookup.Tenant(principal(ctx).TenantID), offerID)
	if err == nil && to.Link.TenantID != principal(ctx).TenantID {
		err = lookup.ErrNotFound
	}
	return to, err
}

// seenCreative is the creative that a request names by its order, or the usual one.
func seenCreative(offer *domain.Offer, text string, usual *int32) (*int32, error) {
	if text == "" {
		return usual, nil
	}
	order, ok := tracking.CreativeOf(offer, text)
	if !ok {
		return nil, problem.BadField("creativeOrder", "the offer has no creative with this order")
	}
	return order, nil
}

// wallPlacement is the placement that a request names, nil for none.
func wallPlacement(ctx context.Context, tx pgx.Tx, id uuid.UUID) (*uuid.UUID, error) {
	if id == uuid.Nil {
		return nil, nil
	}
	lookups := &offerLookups{ctx: ctx, tx: tx, tenantID: principal(ctx).TenantID}
	exists := lookups.exists(dbgen.New().OfferPlacementExists)(id)
	if lookups.err == nil && !exists {
		return nil, problem.BadField("placementId", "no placement has this id")
	}
	return &id, lookups.err
}

// lookAs is the wall as a member sees it at this instant, with what came of the member in one offer, or in all.
func (s *Server) lookAs(ctx context.Context, tx pgx.Tx, member *WallMember, placementID, offerID *uuid.UUID) (*wallView, error) {
	view := &wallView{member: member, at: s.now(), placements: []*uuid.UUID{placementID}}
	var err error
	if view.terms, err = s.loadWallTerms(ctx, tx); err != nil {
		return nil, err
	}
	conversions, err := dbgen.New().StandingOfMember(ctx, tx, principal(ctx).TenantID, member.Member, offerID)
	view.history = historyOf(conversions)
	return view, err
}

// standing shows an offer and how the member stands with it, but for the session.
func (v *wallView) standing(to offercache.Target) (WallOffer, WallStanding) {
	shown, progress := v.terms.offer(&to.Offer.Offer, &v.history)
	return shown, WallStanding{WallProgress: progress, IsOfferAvailable: v.candidate(to) != nil}
}

func (v *wallView) openSession(ctx context.Context, tx pgx.Tx, offerID uuid.UUID) (*uuid.UUID, error) {
	id, err := dbgen.New().OpenSessionOfMember(ctx, tx, dbgen.OpenSessionOfMemberParams{
		TenantID: principal(ctx).TenantID, PubMemberID: v.member.Member, OfferID: offerID, At: v.at,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &id, err
}
