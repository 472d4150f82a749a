package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// startedOffer is an offer of the wall that a member has clicked.
type startedOffer struct {
	WallOffer
	WallStanding
	Progress    string    `json:"progress" enum:"InProgress,Completed,Expired" doc:"Completed: all events are. Expired: the last session is over, nothing is pending, and an event was not completed."`
	StartedAt   time.Time `json:"startedAt" doc:"Time of the first click."`
	LastClickAt time.Time `json:"lastClickAt"`
}

// progressCompleted is all events done on the wall, where a reward may still wait; progressFinished is
// all of it credited.
const progressCompleted = "Completed"

var startedListing = memoryListing[*startedOffer]{
	filters: map[string]memoryFilter[*startedOffer]{
		"Progress": among("InProgress, Completed or Expired", parseProgress, func(o *startedOffer) []string { return []string{o.Progress} }),
	},
	orders: map[string]func(a, b *startedOffer) int{
		"startedAt":   func(a, b *startedOffer) int { return a.StartedAt.Compare(b.StartedAt) },
		"lastClickAt": func(a, b *startedOffer) int { return a.LastClickAt.Compare(b.LastClickAt) },
		"name":        func(a, b *startedOffer) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) },
	},
	order: func(a, b *startedOffer) int {
		return cmp.Or(b.LastClickAt.Compare(a.LastClickAt), strings.Compare(string(a.ID[:]), string(b.ID[:])))
	},
}

func parseProgress(text string) (string, error) {
	for _, progress := range []string{progressInProgress, progressCompleted, progressExpired} {
		if strings.EqualFold(text, progress) {
			return progress, nil
		}
	}
	return "", fmt.Errorf("no progress: %q", text)
}

type startedOffersInput struct {
	WallMember
	ListInput
	PlacementID uuid.UUID `query:"placementId" format:"uuid" doc:"The placement that shows the list; used for isOfferAvailable."`
}

// Resolve satisfies huma.Resolver for both parts.
func (in *startedOffersInput) Resolve(ctx huma.Context) []error {
	return append(in.WallMember.Resolve(ctx), in.ListInput.Resolve(ctx)...)
}

// startedOffers lists what a member has started or completed, latest first.
func (s *Server) startedOffers(ctx context.Context, in *startedOffersInput) (*pageOutput[startedOffer], error) {
	query, err := startedListing.query(in.ListInput)
	if err != nil {
		return nil, err
	}
	out := &pageOutput[startedOffer]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		placementID, err := wallPlacement(ctx, tx, in.PlacementID)
		if err != nil {
			return err
		}
		started, err := s.startedBy(ctx, tx, &in.WallMember, placementID)
		started = slices.DeleteFunc(started, func(o *startedOffer) bool { return !query.admits(o) })
		out.Body = pageOf(query, started, func(o *startedOffer) startedOffer { return *o })
		return err
	})
}

// startedBy are all offers that a member has clicked and that still have something to show.
func (s *Server) startedBy(ctx context.Context, tx pgx.Tx, member *WallMember, placementID *uuid.UUID) ([]*startedOffer, error) {
	view, err := s.lookAs(ctx, tx, member, placementID, nil)
	if err != nil {
		return nil, err
	}
	rows, err := dbgen.New().StartedOffersOfMember(ctx, tx, view.at, principal(ctx).TenantID, member.Member)
	if err != nil {
		return nil, err
	}
	var started []*startedOffer
	for i := range rows {
		to, err := s.onOwnWall(ctx, rows[i].OfferID)
		if errors.Is(err, lookup.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if offer := view.started(to, &rows[i]); len(offer.Events) > 0 {
			started = append(started, offer)
		}
	}
	return started, nil
}

func (v *wallView) started(to offercache.Target, row *dbgen.StartedOffersOfMemberRow) *startedOffer {
	out := &startedOffer{StartedAt: row.StartedAt.UTC(), LastClickAt: row.LastClickAt.UTC()}
	out.WallOffer, out.WallStanding = v.standing(to)
	isOpen := v.at.Before(row.SessionEndsAt)
	if isOpen {
		out.SessionID = &row.SessionID
	}
	switch {
	case out.IsUserCompleted:
		out.Progress = progressCompleted
	case isOpen, orZero(out.RewardStatus) == string(domain.RewardStatusPending):
		out.Progress = progressInProgress
	default:
		out.Progress = progressExpired
	}
	return out
}
