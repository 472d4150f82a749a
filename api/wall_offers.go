package api

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

type wallOffersInput struct {
	WallMember
	ListInput
}

// Resolve satisfies huma.Resolver for both parts.
func (in *wallOffersInput) Resolve(ctx huma.Context) []error {
	return append(in.WallMember.Resolve(ctx), in.ListInput.Resolve(ctx)...)
}

// listedOffer is an offer in the list of the wall.
type listedOffer struct {
	WallOffer
	EPC Decimal `json:"epc" doc:"Expected revenue per click, in the tenant's currency. Do not show it to members."`
}

// wallCandidate is an offer that may be shown to a member.
type wallCandidate struct {
	offercache.Target
	events []*domain.Event
	epc    domain.Micros
	// reward is -1 where it is a share of a sale, so that it is less than nothing.
	reward     domain.Micros
	categories []string
}

func (c *wallCandidate) rank() domain.WallRank {
	return domain.WallRank{IsFeatured: c.Offer.IsFeatured, EPC: c.epc, ID: c.Offer.ID}
}

const placementFilter = "placementId"

var wallListing = memoryListing[*wallCandidate]{
	filters: map[string]memoryFilter[*wallCandidate]{
		"categoryId":   among("an id", uuid.Parse, func(c *wallCandidate) []uuid.UUID { return c.Offer.Targeting.CategoryIDs }),
		"categoryName": among("a name", lowerCase, func(c *wallCandidate) []string { return c.categories }),
		"isFeatured":   among("true or false", strconv.ParseBool, func(c *wallCandidate) []bool { return []bool{c.Offer.IsFeatured} }),
		"search":       searched(func(c *wallCandidate) []string { return []string{c.Offer.Name, c.Offer.Headline} }),
		// What it admits is for the targeting to say: see wallView.isOpen.
		placementFilter: func(texts []string) (func(*wallCandidate) bool, error) {
			_, err := eachOf(texts, "an id", uuid.Parse)
			return func(*wallCandidate) bool { return true }, err
		},
	},
	orders: map[string]func(a, b *wallCandidate) int{
		"launchDate": func(a, b *wallCandidate) int { return a.Offer.LaunchAt.Compare(b.Offer.LaunchAt) },
		"epc":        func(a, b *wallCandidate) int { return cmp.Compare(a.epc, b.epc) },
		"reward":     func(a, b *wallCandidate) int { return cmp.Compare(a.reward, b.reward) },
		"revenue": func(a, b *wallCandidate) int {
			return cmp.Compare(domain.RevenueTotal(a.events), domain.RevenueTotal(b.events))
		},
		"name": func(a, b *wallCandidate) int {
			return cmp.Compare(strings.ToLower(a.Offer.Name), strings.ToLower(b.Offer.Name))
		},
	},
	order: func(a, b *wallCandidate) int { return a.rank().Compare(b.rank()) },
}

func lowerCase(text string) (string, error) { return strings.ToLower(text), nil }

// wallOffers lists what a member can start or go on with, best first (rule 44). The offers are in
// memory; the database is asked about the member and for what the offers earned.
func (s *Server) wallOffers(ctx context.Context, in *wallOffersInput) (*pageOutput[listedOffer], error) {
	query, err := wallListing.query(in.ListInput)
	if err != nil {
		return nil, err
	}
	if s.Tracking == nil {
		return nil, problem.Unavailable()
	}
	targets, err := s.Tracking.Offers().OfTenant(ctx, principal(ctx).TenantID)
	if err != nil {
		return nil, err
	}
	view := &wallView{member: &in.WallMember, at: s.now()}
	if err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error { return view.load(ctx, s, tx, in.filters) }); err != nil {
		return nil, err
	}
	candidates := view.candidates(targets)
	candidates = slices.DeleteFunc(candidates, func(c *wallCandidate) bool { return !query.admits(c) })
	out := &pageOutput[listedOffer]{Body: pageOf(query, candidates, view.listed)}
	slices.SortFunc(view.unplaced, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	if n := len(slices.Compact(view.unplaced)); n > 0 {
		out.Body.Warnings = []string{fmt.Sprintf(
			"country unknown: %d offers that target countries or states are omitted; send the member's country in pub_geo_country", n)}
	}
	return out, nil
}

// wallView is the wall as one member sees it at one instant.
type wallView struct {
	member   *WallMember
	at       time.Time
	terms    *wallTerms
	history  memberHistory
	earnings map[uuid.UUID]domain.Earnings
	// placements are those that the wall is shown on: nil alone where the request names none.
	placements []*uuid.UUID
	// unplaced are the offers that are left out since the member's country is not known.
	unplaced []uuid.UUID
}

func (v *wallView) load(ctx context.Context, s *Server, tx pgx.Tx, filters map[string][]string) (err error) {
	tenantID := principal(ctx).TenantID
	if v.terms, err = s.loadWallTerms(ctx, tx); err != nil {
		return err
	}
	conversions, err := dbgen.New().StandingOfMember(ctx, tx, tenantID, v.member.Member, nil)
	if err != nil {
		return err
	}
	v.history = historyOf(conversions)
	rows, err := dbgen.New().ListEarnings(ctx, tx, tenantID)
	if err != nil {
		return err
	}
	v.earnings = make(map[uuid.UUID]domain.Earnings, len(rows))
	for _, row := range rows {
		v.earnings[row.OfferID] = domain.Earnings{
			Clicks: row.Clicks, Conversions: row.Conversions, Revenue: row.RevenueMicros, LastRevenueAt: row.LastRevenueAt,
		}
	}
	v.placements, err = placementsOf(ctx, tx, filters)
	return err
}

// placementsOf are the tenant's placements that the request names: none where it names only others.
func placementsOf(ctx context.Context, tx pgx.Tx, filters map[string][]string) ([]*uuid.UUID, error) {
	texts, ok := byName(filters, placementFilter)
	if !ok {
		return []*uuid.UUID{nil}, nil
	}
	ids, err := eachOf(texts, "an id", uuid.Parse)
	if err != nil {
		return nil, err
	}
	known, err := dbgen.New().PlacementsAmong(ctx, tx, principal(ctx).TenantID, ids)
	var placements []*uuid.UUID
	for i := range known {
		placements = append(placements, &known[i])
	}
	return placements, err
}

// candidates are the offers that the member can start or go on with.
func (v *wallView) candidates(targets []offercache.Target) []*wallCandidate {
	var all []*wallCandidate
	for _, to := range targets {
		if c := v.candidate(to); c != nil {
			all = append(all, c)
		}
	}
	return all
}

// candidate is nil for an offer that has nothing to show, that takes no click of the member's, or that
// the member has wholly done.
func (v *wallView) candidate(to offercache.Target) *wallCandidate {
	if !v.isOpen(to) {
		return nil
	}
	offer := &to.Offer.Offer
	events := v.terms.events(offer)
	isLive := func(eventID uuid.UUID) bool { return v.history.isLive(eventOfOffer{offer.ID, eventID}) }
	doable := offer.Doable(v.terms.goalsOf(offer), func(e *domain.Event) bool { return to.Offer.Takes(e.ID, v.at) }, // rules 33, 45
		func(e *domain.Event) bool { return isLive(e.ID) })
	shown := slices.DeleteFunc(slices.Clone(events), func(e *domain.Event) bool { return !slices.Contains(doable, e) })
	if !domain.LeftToDo(shown, isLive) {
		return nil
	}
	c := &wallCandidate{Target: to, events: events, epc: offer.EPC(v.earnings[offer.ID], v.at), reward: -1}
	if reward := offer.PromisedTotal(events, v.terms.rewardRatio); reward != nil {
		c.reward = *reward
	}
	for _, id := range offer.Targeting.CategoryIDs {
		c.categories = append(c.categories, strings.ToLower(v.terms.categoryName(id)))
	}
	return c
}

// isOpen says whether a click of the member's would lead on, on one of the placements (rules 20, 31, 45).
func (v *wallView) isOpen(to offercache.Target) bool {
	return slices.ContainsFunc(v.placements, func(id *uuid.UUID) bool {
		seen := v.member.audience(to, id)
		reason := to.Unavailability(v.at, seen)
		if tracking.MissesCountry(reason, &to.Offer.Targeting, seen) {
			v.unplaced = append(v.unplaced, to.Offer.ID)
		}
		return reason == domain.ReasonNone
	})
}

func (v *wallView) listed(c *wallCandidate) listedOffer {
	shown, _ := v.terms.offer(&c.Offer.Offer, &v.history)
	return listedOffer{shown, Decimal(c.epc)}
}
