package api

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// recordRequest tells the publisher by mail, and both sides in the change log, that a share waits to be
// accepted (rule 55).
func recordRequest(ctx context.Context, tx pgx.Tx, p *dbgen.Partnership, offer *domain.Offer) error {
	share := activities.Share{Partnership: partnershipIDs(p), Side: domain.SideAdvertiser, Name: p.AdvertiserName}
	by, err := actorInWords(ctx, tx)
	if err != nil {
		return err
	}
	return share.Record(ctx, tx, by, offer.Version, stateChange("", stream.PartnershipRequested), p.CreatedAt)
}

func partnershipIDs(p *dbgen.Partnership) domain.Partnership {
	return domain.Partnership{ID: p.ID, OfferID: p.OfferID, AdvertiserTenantID: p.AdvertiserTenantID, PublisherTenantID: p.PublisherTenantID}
}

// stateChange is the change log's entry of a partnership's state.
func stateChange(old, state string) []domain.OfferChange {
	change := domain.OfferChange{Field: domain.FieldState, New: json.RawMessage(`"` + state + `"`)}
	if old != "" {
		change.Old = json.RawMessage(`"` + old + `"`)
	}
	return []domain.OfferChange{change}
}

// acceptShare makes a requested share live, by a version that both sides edit from then on (rule 55).
// Accepting what is live already changes nothing.
func (s *Server) acceptShare(ctx context.Context, in *ByID) (*partnershipOutput, error) {
	return s.decideShare(ctx, in, func(tx pgx.Tx, p *dbgen.Partnership, offer *domain.Offer) error {
		switch {
		case p.EndedAt != nil:
			return problem.Conflict("The partnership has ended. Share the offer again.")
		case !offer.IsRequested:
			return nil
		}
		return s.accept(ctx, tx, p, offer)
	})
}

func (s *Server) accept(ctx context.Context, tx pgx.Tx, p *dbgen.Partnership, offer *domain.Offer) error {
	tenantID, after := principal(ctx).TenantID, *offer
	after.IsRequested = false
	share := &activities.Share{Partnership: partnershipIDs(p), Side: domain.SidePublisher, Name: p.PublisherName}
	edit := offerEdit{share: share, changes: stateChange(stream.PartnershipRequested, stream.PartnershipActive)}
	if err := s.saveEdit(ctx, tx, "accept", offer, &after, edit); err != nil {
		return err
	}
	before := partnershipOf(p, offer.Name, true, tenantID)
	*offer = after
	if err := s.audit(ctx, tx, "accept", "partnership", p.ID.String(), before, partnershipOf(p, offer.Name, false, tenantID)); err != nil {
		return err
	}
	return s.announceLive(ctx, tx, stream.LiveStatus, stream.LivePartnershipData{
		PartnershipID: p.ID, OfferID: p.OfferID, State: stream.PartnershipActive, Side: domain.SidePublisher,
	}, p.AdvertiserTenantID, p.PublisherTenantID)
}

type declineShareInput struct {
	ByID
	Body *struct {
		Reason string `json:"reason,omitempty" doc:"Both sides can read it."`
	}
}

// declineShare ends a share that was not accepted. Declining it again, or after the advertiser took it back,
// changes nothing.
func (s *Server) declineShare(ctx context.Context, in *declineShareInput) (*partnershipOutput, error) {
	var reason string
	if in.Body != nil {
		reason = strings.TrimSpace(in.Body.Reason)
	}
	var c checks
	switch {
	case utf8.RuneCountInString(reason) > maxEndReason:
		c.add("reason", "must have at most %d characters", maxEndReason)
	case strings.ContainsRune(reason, 0):
		c.add("reason", "contains a character that cannot be stored")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return s.decideShare(ctx, &in.ByID, func(tx pgx.Tx, p *dbgen.Partnership, offer *domain.Offer) error {
		switch {
		case !offer.IsRequested:
			return problem.Conflict("This share is not waiting to be accepted: end the partnership instead.")
		case p.EndedAt != nil:
			return nil
		}
		return s.end(ctx, tx, p, offer, reason)
	})
}

// decideShare runs the publisher's decision about a share, under the lock on the offer's row.
func (s *Server) decideShare(ctx context.Context, in *ByID, decide func(pgx.Tx, *dbgen.Partnership, *domain.Offer) error) (*partnershipOutput, error) {
	out := &partnershipOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		p, offer, err := lockPartnership(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		if principal(ctx).TenantID != p.PublisherTenantID {
			return problem.Conflict("Only the publisher can accept or decline this share. To withdraw it, end the partnership.")
		}
		if err := decide(tx, p, offer); err != nil {
			return err
		}
		out.Body = partnershipOf(p, offer.Name, offer.IsRequested, principal(ctx).TenantID)
		return nil
	})
	s.nudge()
	return out, err
}
