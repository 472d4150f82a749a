package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/markup"
	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// offerView is an offer as answers show it: the whole document, and what goes with it.
type offerView struct {
	domain.OfferDocument
	Status       string        `json:"status" enum:"Active,Pending,Expired"`
	RedirectLink string        `json:"redirectLink" doc:"The offer's own tracking link; for a shared offer the publisher's."`
	Counters     offerCounters `json:"counters"`
	CreatedAt    time.Time     `json:"createdAt"`
	UpdatedAt    time.Time     `json:"updatedAt"`
	Side         domain.Side   `json:"side" enum:"owner,advertiser,publisher" doc:"This tenant's side; owner if the offer is not shared."`
	Warnings     []string      `json:"warnings,omitempty" doc:"Warnings about targeting that needs a location that is unknown."`
	// PartnershipID is left out of an offer that is not shared.
	PartnershipID *uuid.UUID `json:"partnershipId,omitempty"`

	offer *domain.Offer
}

// offerCounters are what the caps and the budget have counted in their current periods.
type offerCounters struct {
	// BudgetSpent is the live revenue of the tenant's day, or of all time, by budgetType.
	BudgetSpent string         `json:"budgetSpent"`
	Events      []eventCounter `json:"events"`
}

// eventCounter holds the live conversions of an event; null where no cap is set.
type eventCounter struct {
	ID      uuid.UUID `json:"id"`
	Day     *int64    `json:"day"`
	Week    *int64    `json:"week"`
	Month   *int64    `json:"month"`
	AllTime *int64    `json:"allTime"`
}

type offerInput struct {
	Product string    `path:"product"`
	ID      uuid.UUID `path:"id" format:"uuid"`
}

type offerOutput struct {
	ETag string `header:"ETag"`
	Body offerView
}

// getOffer shows one offer. Its version is the ETag that a PUT sends back as If-Match.
func (s *Server) getOffer(ctx context.Context, in *offerInput) (*offerOutput, error) {
	out := &offerOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := ownProduct(ctx, tx, in.Product); err != nil {
			return err
		}
		view, err := s.viewOffer(ctx, tx, in.ID)
		out.Body, out.ETag = view, etag(view.Version)
		return err
	})
}

type listOffersInput struct {
	Product string `path:"product"`
	ListInput
}

// listOffers shows the tenant's offers, each as getOffer does.
func (s *Server) listOffers(ctx context.Context, in *listOffersInput) (*pageOutput[offerView], error) {
	out := &pageOutput[offerView]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := ownProduct(ctx, tx, in.Product); err != nil {
			return err
		}
		var err error
		if out.Body, err = list(ctx, tx, s.now(), s.offerListing(), in.ListInput, s.now()); err != nil {
			return err
		}
		return s.addCounters(ctx, tx, out.Body.Items)
	})
}

// offerStatus is domain.Offer.Status in SQL; $1 is the instant.
const offerStatus = `CASE WHEN o.expires_at <= $1 THEN 'Expired' WHEN o.is_paused OR o.is_requested OR o.launch_at > $1 THEN 'Pending' ELSE 'Active' END`

const offerTables = `offers o JOIN offer_access x ON x.tenant_id = current_tenant() AND x.offer_id = o.id
	JOIN offer_versions v ON v.offer_id = o.id AND v.version = o.version
	JOIN tenants t ON t.tenant_id = current_tenant()
	LEFT JOIN partnerships s ON s.offer_id = o.id AND current_tenant() IN (s.advertiser_tenant_id, s.publisher_tenant_id)
	LEFT JOIN links l ON l.tenant_id = current_tenant() AND l.offer_id = o.id AND l.is_default`

func (s *Server) offerListing() listing[offerView] {
	return listing[offerView]{
		from: offerTables, where: "$1::timestamptz IS NOT NULL",
		columns: "v.document, o.version, coalesce(l.id, s.link_id), o.created_at, o.updated_at, x.side, s.id, t.goals_enabled, $1::timestamptz",
		fields: map[string]listField{
			"id": {column: "x.offer_id", kind: fieldUUID}, "name": {column: "o.name", kind: fieldSearch}, "status": {column: offerStatus},
			"advertiserId": {column: "o.advertiser_id", kind: fieldUUID}, "offerType": {column: "o.offer_type", oneOf: textsOf(domain.OfferTypes)},
			"isPaused": {column: "o.is_paused", kind: fieldBool}, "launchDate": {column: "o.launch_at", kind: fieldTime},
			"expirationDate": {column: "o.expires_at", kind: fieldTime}, "createdAt": {column: "o.created_at", kind: fieldTime},
			"updatedAt": {column: "o.updated_at", kind: fieldTime}, "side": {column: "x.side"}, "partnershipId": {column: "s.id", kind: fieldUUID},
		},
		order: "id", id: "x.offer_id", scan: s.scanOffer,
	}
}

func (s *Server) scanOffer(row pgx.CollectableRow) (view offerView, err error) {
	var document json.RawMessage
	var version int64
	var linkID *uuid.UUID
	var goalsEnabled bool
	var at time.Time
	if err := row.Scan(&document, &version, &linkID, &view.CreatedAt, &view.UpdatedAt, &view.Side, &view.PartnershipID, &goalsEnabled, &at); err != nil {
		return view, err
	}
	var offer domain.Offer
	if err := json.Unmarshal(document, &offer); err != nil {
		return view, err
	}
	offer.Version = version
	offer = offer.Shown(goalsEnabled) // rule 69
	view.offer = &offer
	view.Warnings = s.placeWarnings(&offer.Targeting)
	view.OfferDocument, view.Status = markup.CleanDocument(view.offer.Document()), view.offer.Status(at)
	if linkID != nil {
		view.RedirectLink = s.linkURL(*linkID)
	}
	return view, nil
}

// viewOffer reads one offer as it is shown; what is not the tenant's is 404.
func (s *Server) viewOffer(ctx context.Context, tx pgx.Tx, id uuid.UUID) (offerView, error) {
	listing := s.offerListing()
	rows, err := tx.Query(ctx, "SELECT "+listing.columns+" FROM "+listing.from+" WHERE o.id = $2", s.now(), id)
	if err != nil {
		return offerView{}, err
	}
	views, err := pgx.CollectRows(rows, listing.scan)
	if err == nil && len(views) == 0 {
		err = problem.NotFound()
	}
	if err != nil {
		return offerView{}, err
	}
	return views[0], s.addCounters(ctx, tx, views)
}

// currentOffer reads the current version of an offer; what is not the tenant's is 404.
func currentOffer(ctx context.Context, tx pgx.Tx, id uuid.UUID) (*domain.Offer, error) {
	row, err := dbgen.New().GetOffer(ctx, tx, id)
	if err != nil {
		return nil, orNotFound(err)
	}
	version, err := dbgen.New().GetOfferVersion(ctx, tx, id, row.Version)
	if err != nil {
		return nil, err
	}
	offer := &domain.Offer{}
	return offer, json.Unmarshal(version.Document, offer)
}

// rowsOf is where a tenant's rows of an offer are read. Those of a shared one are the advertiser's, who
// decides; of some both sides see what there is (rules 57 to 59). The publisher's transaction sees no other
// tenant's rows, so that the system reads them: only after the publisher's found the offer.
func (s *Server) rowsOf(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID) dbgen.DBTX {
	if tenantID == principal(ctx).TenantID {
		return tx
	}
	return s.Store.SystemPool()
}

// addCounters reads the counters of all offers of a page, at once for those of one tenant.
func (s *Server) addCounters(ctx context.Context, tx pgx.Tx, views []offerView) error {
	byTenant := map[uuid.UUID][]*offerView{}
	for i := range views {
		tenantID := principal(ctx).TenantID
		if views[i].Side == domain.SidePublisher {
			tenantID = views[i].offer.TenantID
		}
		byTenant[tenantID] = append(byTenant[tenantID], &views[i])
	}
	for tenantID, views := range byTenant {
		if err := s.addCountersOf(ctx, s.rowsOf(ctx, tx, tenantID), tenantID, views); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) addCountersOf(ctx context.Context, from dbgen.DBTX, tenantID uuid.UUID, views []*offerView) error {
	periods, err := s.tenantPeriods(ctx, from, tenantID)
	if err != nil {
		return err
	}
	var scopes []uuid.UUID
	for _, view := range views {
		scopes = append(scopes, view.ID)
		for i := range view.offer.Events {
			scopes = append(scopes, view.offer.Events[i].ID)
		}
	}
	starts := []time.Time{periods.Day, periods.Week, periods.Month, periods.Start(domain.PeriodTotal)}
	rows, err := dbgen.New().CountersOf(ctx, from, tenantID, scopes, starts)
	if err != nil {
		return err
	}
	values := offercache.IndexCounters(rows)
	for _, view := range views {
		view.Counters = countersIn(view.offer, values, periods)
	}
	return nil
}

func countersIn(offer *domain.Offer, values offercache.CounterValues, periods domain.Periods) offerCounters {
	spent := values.Of(domain.CapScopeBudget, offer.ID, offer.BudgetPeriod(), periods)
	counters := offerCounters{BudgetSpent: domain.Micros(spent).String(), Events: []eventCounter{}}
	for i := range offer.Events {
		event := &offer.Events[i]
		counter := eventCounter{ID: event.ID}
		for _, limit := range event.Set() {
			value := values.Of(domain.CapScopeEvent, event.ID, limit.Period, periods)
			switch limit.Period {
			case domain.PeriodDay:
				counter.Day = &value
			case domain.PeriodWeek:
				counter.Week = &value
			case domain.PeriodMonth:
				counter.Month = &value
			case domain.PeriodTotal:
				counter.AllTime = &value
			}
		}
		counters.Events = append(counters.Events, counter)
	}
	return counters
}
