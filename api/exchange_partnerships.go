package api

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// partnershipDocument is one shared offer (rule 60) as one of its sides sees it.
type partnershipDocument struct {
	ID              uuid.UUID    `json:"id"`
	OfferID         uuid.UUID    `json:"offerId" doc:"The shared offer, the same for both sides."`
	SourceOfferID   *uuid.UUID   `json:"sourceOfferId,omitempty" doc:"The source offer; only for the advertiser's side."`
	OfferName       string       `json:"offerName"`
	Side            domain.Side  `json:"side" enum:"advertiser,publisher" doc:"This tenant's side."`
	OtherTenantID   uuid.UUID    `json:"otherTenantId"`
	OtherTenantName string       `json:"otherTenantName"`
	State           string       `json:"state" enum:"requested,active,ended"`
	Status          string       `json:"status" enum:"requested,active,ended" doc:"The same as state, under the name used in a share's answer."`
	CreatedAt       time.Time    `json:"createdAt"`
	EndedAt         *time.Time   `json:"endedAt"`
	EndedSide       *domain.Side `json:"endedSide" enum:"advertiser,publisher"`
	EndReason       string       `json:"endReason"`
}

type partnershipOutput struct{ Body partnershipDocument }

// partnershipOf is a partnership as one of its two tenants sees it.
func partnershipOf(p *dbgen.Partnership, offerName string, isRequested bool, tenantID uuid.UUID) partnershipDocument {
	d := partnershipDocument{
		ID: p.ID, OfferID: p.OfferID, OfferName: offerName, Side: domain.SidePublisher, OtherTenantID: p.AdvertiserTenantID,
		OtherTenantName: p.AdvertiserName, State: stream.PartnershipActive, CreatedAt: p.CreatedAt, EndedAt: p.EndedAt, EndReason: p.EndReason,
	}
	if tenantID == p.AdvertiserTenantID {
		d.Side, d.OtherTenantID, d.OtherTenantName = domain.SideAdvertiser, p.PublisherTenantID, p.PublisherName
		d.SourceOfferID = &p.SourceOfferID
	}
	if isRequested {
		d.State = stream.PartnershipRequested
	}
	if p.EndedAt != nil {
		side := domain.Side(p.EndedSide)
		d.State, d.EndedSide = stream.PartnershipEnded, &side
	}
	d.Status = d.State
	return d
}

const (
	isAdvertiser     = "p.advertiser_tenant_id = current_tenant()"
	partnershipState = "CASE WHEN p.ended_at IS NOT NULL THEN '" + stream.PartnershipEnded + "' WHEN o.is_requested THEN '" +
		stream.PartnershipRequested + "' ELSE '" + stream.PartnershipActive + "' END"
)

func partnershipListing(tenantID uuid.UUID) listing[partnershipDocument] {
	return listing[partnershipDocument]{
		// Each side has an index of its own; both are read in their order and merged.
		from: `((SELECT * FROM partnerships WHERE advertiser_tenant_id = $1 ORDER BY id DESC)
			UNION ALL (SELECT * FROM partnerships WHERE publisher_tenant_id = $1 ORDER BY id DESC)) p JOIN offers o ON o.id = p.offer_id`,
		columns: `p.id, p.offer_id, p.source_offer_id, p.advertiser_tenant_id, p.advertiser_name, p.publisher_tenant_id, p.publisher_name,
			p.created_at, p.ended_at, p.ended_side, p.end_reason, o.name, o.is_requested`,
		fields: map[string]listField{
			"id": {column: "p.id", kind: fieldUUID}, "offerId": {column: "p.offer_id", kind: fieldUUID},
			"sourceOfferId":   {column: "CASE WHEN " + isAdvertiser + " THEN p.source_offer_id END", kind: fieldUUID},
			"offerName":       {column: "o.name", kind: fieldSearch},
			"side":            {column: "CASE WHEN " + isAdvertiser + " THEN 'advertiser' ELSE 'publisher' END"},
			"otherTenantId":   {column: "CASE WHEN " + isAdvertiser + " THEN p.publisher_tenant_id ELSE p.advertiser_tenant_id END", kind: fieldUUID},
			"otherTenantName": {column: "CASE WHEN " + isAdvertiser + " THEN p.publisher_name ELSE p.advertiser_name END", kind: fieldSearch},
			"state":           {column: partnershipState}, "status": {column: partnershipState}, "createdAt": {column: "p.created_at", kind: fieldTime},
			"endedAt": {column: "p.ended_at", kind: fieldTime}, "endedSide": {column: "p.ended_side"},
		},
		order: "id", id: "p.id",
		scan: func(row pgx.CollectableRow) (partnershipDocument, error) {
			var p dbgen.Partnership
			var offerName string
			var isRequested bool
			err := row.Scan(&p.ID, &p.OfferID, &p.SourceOfferID, &p.AdvertiserTenantID, &p.AdvertiserName, &p.PublisherTenantID, &p.PublisherName,
				&p.CreatedAt, &p.EndedAt, &p.EndedSide, &p.EndReason, &offerName, &isRequested)
			return partnershipOf(&p, offerName, isRequested, tenantID), err
		},
	}
}

// listPartnerships shows those of either side, the ended ones too.
func (s *Server) listPartnerships(ctx context.Context, in *ListInput) (*pageOutput[partnershipDocument], error) {
	tenantID := principal(ctx).TenantID
	return listIn(ctx, s, partnershipListing(tenantID), *in, tenantID)
}

func (s *Server) getPartnership(ctx context.Context, in *ByID) (*partnershipOutput, error) {
	out := &partnershipOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tenantID := principal(ctx).TenantID
		row, err := dbgen.New().GetPartnership(ctx, tx, in.ID, tenantID)
		if err != nil {
			return orNotFound(err)
		}
		offer, err := dbgen.New().GetOffer(ctx, tx, row.OfferID)
		out.Body = partnershipOf(&row, offer.Name, offer.IsRequested, tenantID)
		return err
	})
}

type endPartnershipInput struct {
	ByID
	Body struct {
		Reason string `json:"reason" doc:"Both sides can read it."`
	}
}

const maxEndReason = 1000

// endPartnership stops new clicks on a shared offer by a version that expires now; earlier clicks
// still convert, for both (rules 20 and 60). Either side may end it, once: the first end stands.
func (s *Server) endPartnership(ctx context.Context, in *endPartnershipInput) (*partnershipOutput, error) {
	var c checks
	reason := strings.TrimSpace(in.Body.Reason)
	switch {
	case reason == "":
		c.add("reason", "is required")
	case utf8.RuneCountInString(reason) > maxEndReason:
		c.add("reason", "must have at most %d characters", maxEndReason)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	out := &partnershipOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, offer, err := lockPartnership(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		if row.EndedAt == nil {
			err = s.end(ctx, tx, row, offer, reason)
		}
		out.Body = partnershipOf(row, offer.Name, offer.IsRequested, principal(ctx).TenantID)
		return err
	})
	s.nudge()
	return out, err
}

// lockPartnership is a partnership under the lock on its offer's row, where whoever accepts or ends it waits
// for whoever does at the same time.
func lockPartnership(ctx context.Context, tx pgx.Tx, id uuid.UUID) (*dbgen.Partnership, *domain.Offer, error) {
	tenantID := principal(ctx).TenantID
	row, err := dbgen.New().GetPartnership(ctx, tx, id, tenantID)
	if err != nil {
		return nil, nil, orNotFound(err)
	}
	offer, err := lockOffer(ctx, tx, row.OfferID)
	if err != nil {
		return nil, nil, err
	}
	row, err = dbgen.New().GetPartnership(ctx, tx, id, tenantID)
	return &row, offer, err
}

// end saves the offer's last version, then closes the partnership to edits. One that was never accepted is
// ended so too: declined by the publisher, or taken back by the advertiser.
func (s *Server) end(ctx context.Context, tx pgx.Tx, p *dbgen.Partnership, offer *domain.Offer, reason string) error {
	at, before := s.now(), partnershipOf(p, offer.Name, offer.IsRequested, principal(ctx).TenantID)
	last := *offer
	last.ExpiresAt = &at // also where it had expired: the end is an edit, of which the other side is told
	share, err := activities.ShareOf(ctx, tx, principal(ctx).TenantID, offer.ID)
	if err != nil {
		return err
	}
	share.IsRequested = false // which keeps other edits away, not the end
	changes, err := share.Check(offer, &last)
	if err != nil {
		return err
	}
	if err := s.saveEdit(ctx, tx, "end", offer, &last, offerEdit{share: share, changes: changes}); err != nil {
		return err
	}
	p.EndedAt, p.EndedBy, p.EndedSide, p.EndReason = &at, principal(ctx).Actor, string(before.Side), reason
	ended, err := dbgen.New().EndPartnership(ctx, tx, dbgen.EndPartnershipParams{
		EndedAt: at, EndedBy: p.EndedBy, EndedSide: p.EndedSide, EndReason: reason, ID: p.ID, TenantID: principal(ctx).TenantID,
	})
	if err != nil || ended == 0 {
		return err
	}
	after := partnershipOf(p, offer.Name, offer.IsRequested, principal(ctx).TenantID)
	if err := s.audit(ctx, tx, "end", "partnership", p.ID.String(), before, after); err != nil {
		return err
	}
	return s.announceLive(ctx, tx, stream.LiveStatus, stream.LivePartnershipData{
		PartnershipID: p.ID, OfferID: p.OfferID, State: stream.PartnershipEnded, Side: before.Side, Reason: reason,
	}, p.AdvertiserTenantID, p.PublisherTenantID)
}
