package api

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// goalView is one goal of an offer in the manage list.
type goalView struct {
	ID             uuid.UUID             `json:"id" doc:"The value for goal_id."`
	Slug           string                `json:"slug" doc:"The value for goal_name."`
	Name           string                `json:"name"`
	EventID        string                `json:"eventId" doc:"The value for cnv_event_id; empty on a SingleEvent offer."`
	Status         domain.GoalStatus     `json:"status" enum:"active,deleted"`
	DisplayOrder   int                   `json:"displayOrder"`
	IsDefault      bool                  `json:"isDefault"`
	AdvertiserID   uuid.UUID             `json:"advertiserId" doc:"The value for adv_id."`
	AdvertiserName string                `json:"advertiserName"`
	TrackingSystem string                `json:"trackingSystem"`
	TrackingType   string                `json:"trackingType" enum:"plain,encrypted" doc:"Which postback addresses are accepted: plain and opaque ones, or only opaque ones."`
	OpaqueCodes    opaqueCodes           `json:"opaqueCodes"`
	RecordAs       domain.RecordAs       `json:"recordAs" enum:"conversion,click"`
	IsEndPoint     bool                  `json:"isEndPoint"`
	IsPrivate      bool                  `json:"isPrivate"`
	AllowRepeats   bool                  `json:"allowRepetitions"`
	OncePerSession bool                  `json:"oncePerSession"`
	NeedsApproval  bool                  `json:"requiresApproval"`
	ConversionType domain.ConversionType `json:"conversionType" enum:"FlatRate,RevShare" doc:"Whether payout and revenue are money, or percent of the sale."`
	Payout         *Decimal              `json:"payout" doc:"A partner's payout before tiers, structures and custom payouts."`
	Revenue        *Decimal              `json:"revenue"`
	Reference      string                `json:"reference" doc:"Sent to partners as {goal_ref}."`
	ClickCount     int64                 `json:"clickCount" doc:"Number of postbacks recorded as clicks."`
	SessionCount   int64                 `json:"sessionCount" doc:"Number of members' clicks that these postbacks came from."`
}

// What conversion addresses an offer accepts (rule 65).
const (
	trackingPlain     = "plain"
	trackingEncrypted = "encrypted"
)

type goalsInput struct {
	ByID
	ListInput
}

// listGoals is the manage list of an offer's goals. Those that are hidden because goals are switched
// off are not in it (rule 69).
func (s *Server) listGoals(ctx context.Context, in *goalsInput) (*pageOutput[goalView], error) {
	out := &pageOutput[goalView]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		offer, err := currentOffer(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		tenant, err := dbgen.New().GetTenant(ctx, tx, principal(ctx).TenantID)
		if err != nil {
			return err
		}
		var ids []uuid.UUID
		for _, goal := range offer.Shown(tenant.GoalsEnabled).Events {
			ids = append(ids, goal.ID)
		}
		if out.Body, err = list(ctx, tx, s.now(), s.goalListing(principal(ctx).TenantID, offer), in.ListInput, offer.ID, ids); err != nil {
			return err
		}
		if !seesKeys(ctx) {
			for i := range out.Body.Items {
				out.Body.Items[i].OpaqueCodes.withoutPostbacks()
			}
		}
		return addGoalClicks(ctx, s.rowsOf(ctx, tx, offer.TenantID), offer.TenantID, out.Body.Items)
	})
}

// goalListing reads the goals out of the offer's document.
func (s *Server) goalListing(tenantID uuid.UUID, offer *domain.Offer) listing[goalView] {
	text := func(name string) listField { return listField{column: "g.goal->>'" + name + "'"} }
	flag := func(name string) listField {
		return listField{column: "(g.goal->>'" + name + "')::boolean", kind: fieldBool}
	}
	return listing[goalView]{
		from: `offers o JOIN offer_access x ON x.tenant_id = current_tenant() AND x.offer_id = o.id
  JOIN offer_versions v ON v.offer_id = o.id AND v.version = o.version
  LEFT JOIN advertisers a ON a.tenant_id = current_tenant() AND a.id = o.advertiser_id
  CROSS JOIN LATERAL jsonb_array_elements(v.document->'events') g(goal)`,
		columns: "g.goal, coalesce(a.name, '')", where: "o.id = $1 AND (g.goal->>'id')::uuid = ANY($2::uuid[])",
		fields: map[string]listField{
			"id": {column: "(g.goal->>'id')::uuid", kind: fieldUUID}, "name": {column: "g.goal->>'name'", kind: fieldSearch},
			"displayOrder": {column: "(g.goal->>'displayOrder')::int", kind: fieldInt}, "shownFirst": {column: "-(g.goal->>'displayOrder')::int", kind: fieldInt},
			"slug": text("slug"), "eventId": text("eventId"), "status": text("status"), "recordAs": text("recordAs"),
			"reference": text("reference"), "isPrivate": flag("isPrivate"), "isEndPoint": flag("isEndPoint"),
			"allowRepetitions": flag("allowRepetitions"), "oncePerSession": flag("oncePerSession"), "requiresApproval": flag("requiresApproval"),
		},
		order: "shownFirst", id: "(g.goal->>'id')::uuid",
		scan: func(row pgx.CollectableRow) (goalView, error) { return s.scanGoal(row, tenantID, offer) },
	}
}

func (s *Server) scanGoal(row pgx.CollectableRow, tenantID uuid.UUID, offer *domain.Offer) (view goalView, err error) {
	var document json.RawMessage
	var goal domain.Event
	var advertiser string
	if err := row.Scan(&document, &advertiser); err != nil {
		return view, err
	}
	if err := json.Unmarshal(document, &goal); err != nil {
		return view, err
	}
	view = goalView{
		ID: goal.ID, Slug: goal.Slug, Name: goal.Name, EventID: goal.EventID, Status: goal.Status, DisplayOrder: goal.DisplayOrder,
		IsDefault: offer.DefaultEvent().ID == goal.ID, AdvertiserID: offer.AdvertiserID, AdvertiserName: advertiser,
		TrackingSystem: offer.TrackingSystem, TrackingType: trackingPlain, OpaqueCodes: s.opaqueCodesOf(tenantID, offer, &goal),
		RecordAs: goal.RecordAs, IsEndPoint: goal.IsEndPoint, IsPrivate: goal.IsPrivate, AllowRepeats: goal.AllowRepetitions,
		OncePerSession: goal.OncePerSession, NeedsApproval: goal.RequiresApproval, ConversionType: offer.ConversionType,
		Payout: decimalOf(goal.Payout), Revenue: decimalOf(goal.Revenue), Reference: goal.Reference,
	}
	if offer.EnforceEncryptedTracking {
		view.TrackingType = trackingEncrypted
	}
	return view, nil
}

// addGoalClicks adds how often the goals of a page were recorded as a click (rule 70), by the tenant whose
// the offer is.
func addGoalClicks(ctx context.Context, from dbgen.DBTX, tenantID uuid.UUID, goals []goalView) error {
	ids := make([]uuid.UUID, len(goals))
	for i := range goals {
		ids[i] = goals[i].ID
	}
	rows, err := dbgen.New().CountGoalClicks(ctx, from, tenantID, ids)
	for _, row := range rows {
		for i := range goals {
			if goals[i].ID == row.EventID {
				goals[i].ClickCount, goals[i].SessionCount = row.Clicks, row.Sessions
			}
		}
	}
	return err
}
