package api

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// linkURL is the address that members click.
func (s *Server) linkURL(id uuid.UUID) string { return s.Config.PublicURL + "/c/" + id.String() }

type createLinkInput struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body struct {
		PartnerID     *uuid.UUID `json:"partnerId,omitempty" format:"uuid"`
		PlacementID   *uuid.UUID `json:"placementId,omitempty" format:"uuid"`
		CreativeOrder *int32     `json:"creativeOrder,omitempty" minimum:"0" doc:"The order of one of the offer's creatives."`
	} `required:"false"`
}

type linkDocument struct {
	ID  uuid.UUID `json:"id"`
	URL string    `json:"url"`
}

type linkOutput struct{ Body linkDocument }

// createLink makes a tracking link, usable at once. An equal request gets the same link; one that
// names nothing gets the offer's own.
func (s *Server) createLink(ctx context.Context, in *createLinkInput) (*linkOutput, error) {
	out := &linkOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		offer, err := currentOffer(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		if err := mayLink(ctx, tx, in.ID); err != nil {
			return err
		}
		if err := checkLink(ctx, tx, in, offer); err != nil {
			return err
		}
		id, err := s.ensureLink(ctx, tx, in)
		out.Body = linkDocument{ID: id, URL: s.linkURL(id)}
		return err
	})
}

// mayLink refuses the advertiser's side of a shared offer: who sends members has the links.
func mayLink(ctx context.Context, tx pgx.Tx, offerID uuid.UUID) error {
	side, err := dbgen.New().OfferSide(ctx, tx, principal(ctx).TenantID, offerID)
	if err == nil && side == domain.SideAdvertiser {
		err = problem.Forbidden("This is a shared offer: only the publisher creates its links, since the publisher's members click them. Use the source offer for links of this tenant.",
			domain.FieldError{Field: "id", Reason: "is a shared offer whose links belong to the publisher"})
	}
	return err
}

func checkLink(ctx context.Context, tx pgx.Tx, in *createLinkInput, offer *domain.Offer) error {
	lookups, bad := &offerLookups{ctx: ctx, tx: tx, tenantID: principal(ctx).TenantID}, checks{}
	if id := in.Body.PartnerID; id != nil && !lookups.exists(dbgen.New().OfferPartnerExists)(*id) {
		bad.add("partnerId", "no partner has this id")
	}
	if id := in.Body.PlacementID; id != nil && !lookups.exists(dbgen.New().OfferPlacementExists)(*id) {
		bad.add("placementId", "no placement has this id")
	}
	if order := in.Body.CreativeOrder; order != nil &&
		!slices.ContainsFunc(offer.Creatives, func(c domain.Creative) bool { return c.Order == int(*order) }) {
		bad.add("creativeOrder", "the offer has no creative with this order")
	}
	if lookups.err != nil {
		return lookups.err
	}
	return bad.err()
}

// ensureLink finds or makes the link. Its id carries our MAC, so that a redirect that has not heard
// of it yet may always look it up.
func (s *Server) ensureLink(ctx context.Context, tx pgx.Tx, in *createLinkInput) (uuid.UUID, error) {
	tenantID, queries, body := principal(ctx).TenantID, dbgen.New(), in.Body
	if body.PartnerID == nil && body.PlacementID == nil && body.CreativeOrder == nil {
		link, err := queries.DefaultLink(ctx, tx, tenantID, in.ID)
		return link.ID, err
	}
	at := s.now()
	id := s.Keys.NewID(keyring.KindLink, at)
	made, err := queries.InsertLinkOnce(ctx, tx, dbgen.InsertLinkOnceParams{
		TenantID: tenantID, ID: id, OfferID: in.ID, PartnerID: body.PartnerID, PlacementID: body.PlacementID,
		CreativeOrder: body.CreativeOrder, CreatedAt: at,
	})
	if err != nil {
		return id, err
	}
	if made == 0 {
		link, err := queries.SameLink(ctx, tx, dbgen.SameLinkParams{
			TenantID: tenantID, OfferID: in.ID, PartnerID: body.PartnerID, PlacementID: body.PlacementID, CreativeOrder: body.CreativeOrder,
		})
		return link.ID, err
	}
	return id, s.audit(ctx, tx, "create", "link", id.String(), nil, map[string]any{
		"id": id, "offerId": in.ID, "partnerId": body.PartnerID, "placementId": body.PlacementID, "creativeOrder": body.CreativeOrder,
	})
}

// LinkBasics is what is the partner's to know whose link it is.
type LinkBasics struct {
	ID            uuid.UUID `json:"id"`
	URL           string    `json:"url"`
	OfferID       uuid.UUID `json:"offerId"`
	CreativeOrder *int32    `json:"creativeOrder"`
	CreatedAt     time.Time `json:"createdAt"`
}

// linkView is a link as lists show it.
type linkView struct {
	LinkBasics
	PartnerID   *uuid.UUID `json:"partnerId"`
	PlacementID *uuid.UUID `json:"placementId"`
	IsDefault   bool       `json:"isDefault" doc:"The offer's own link, created with it."`
}

type listLinksInput struct {
	ByID
	ListInput
}

// linkListing shows the links of an offer, $1.
func (s *Server) linkListing() listing[linkView] {
	return listing[linkView]{
		from: "links", columns: "id, offer_id, partner_id, placement_id, creative_order, is_default, created_at",
		where: ownRows + " AND offer_id = $1",
		fields: map[string]listField{
			"id": {column: "id", kind: fieldUUID}, "partnerId": {column: "partner_id", kind: fieldUUID},
			"placementId": {column: "placement_id", kind: fieldUUID}, "creativeOrder": {column: "creative_order", kind: fieldInt},
			"isDefault": {column: "is_default", kind: fieldBool}, "createdAt": {column: "created_at", kind: fieldTime},
		},
		order: "id", id: "id",
		scan: func(row pgx.CollectableRow) (l linkView, err error) {
			err = row.Scan(&l.ID, &l.OfferID, &l.PartnerID, &l.PlacementID, &l.CreativeOrder, &l.IsDefault, &l.CreatedAt)
			l.URL = s.linkURL(l.ID)
			return l, err
		},
	}
}

func (s *Server) listLinks(ctx context.Context, in *listLinksInput) (*pageOutput[linkView], error) {
	out := &pageOutput[linkView]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := dbgen.New().GetOffer(ctx, tx, in.ID); err != nil {
			return orNotFound(err)
		}
		var err error
		out.Body, err = list(ctx, tx, s.now(), s.linkListing(), in.ListInput, in.ID)
		return err
	})
}

// listLinksForPartner shows the asking partner's own links; an offer without any is not there.
func (s *Server) listLinksForPartner(ctx context.Context, in *listLinksInput) (*pageOutput[LinkBasics], error) {
	l := s.linkListing()
	l.where += " AND partner_id = $2"
	l.fields = map[string]listField{"id": l.fields["id"], "creativeOrder": l.fields["creativeOrder"], "createdAt": l.fields["createdAt"]}
	found, err := listIn(ctx, s, l, in.ListInput, in.ID, *principal(ctx).PartnerID)
	if err != nil {
		return nil, err
	}
	if found.Body.TotalCount == 0 && len(in.filters) == 0 {
		return nil, problem.NotFound()
	}
	return &pageOutput[LinkBasics]{Body: reduced(found.Body, func(l *linkView) LinkBasics { return l.LinkBasics })}, nil
}
