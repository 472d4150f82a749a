package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// memberOffer is an offer that a member has clicked, with what came of it.
type memberOffer struct {
	OfferID       uuid.UUID     `json:"offerId"`
	OfferName     string        `json:"offerName"`
	OfferType     string        `json:"offerType"`
	OfferStatus   string        `json:"offerStatus" doc:"Active, Pending or Expired, for new clicks."`
	Progress      string        `json:"progress" enum:"InProgress,Finished,Expired" doc:"Expired: the last session is over and an event was not completed."`
	StartedAt     time.Time     `json:"startedAt" doc:"Time of the first click."`
	LastClickAt   time.Time     `json:"lastClickAt"`
	SessionEndsAt time.Time     `json:"sessionEndsAt"`
	LastClickID   uuid.UUID     `json:"lastClickId" doc:"GET /api/v1/clicks/{id} shows its trace."`
	WorkflowID    string        `json:"workflowId" doc:"Id of the last click's workflow."`
	WorkflowURL   *string       `json:"workflowUrl" doc:"The workflow's page in the Temporal UI; null if OFFERFLOW_TEMPORAL_UI_URL is not set."`
	Events        []memberEvent `json:"events" doc:"In display order."`
}

// memberEvent is how far a member is with one event.
type memberEvent struct {
	OfferEventID    uuid.UUID     `json:"offerEventId"`
	EventID         string        `json:"eventId"`
	Name            string        `json:"name"`
	DisplayOrder    int           `json:"displayOrder"`
	ShowOnOfferWall bool          `json:"showOnOfferWall"`
	Status          string        `json:"status" enum:"not_started,pending,success,rejected"`
	Reason          domain.Reason `json:"reason" doc:"Why it was rejected; otherwise empty."`
	Reward          *Decimal      `json:"reward" doc:"In points: what was or will be credited, otherwise what the offer now promises; null if that depends on the sale."`
	ReleaseAt       *time.Time    `json:"releaseAt" doc:"When a pending reward is credited; null if a person must decide."`
	HeldUntil       *time.Time    `json:"heldUntil" doc:"Set for an early event: until then it waits for its predecessor."`
	CompletedAt     *time.Time    `json:"completedAt"`
	ConversionID    *uuid.UUID    `json:"conversionId"`
	ClickID         *uuid.UUID    `json:"clickId" doc:"The conversion's click, which may be earlier than the last click on the offer."`
	WorkflowID      *string       `json:"workflowId" doc:"Id of the conversion's workflow, as in the list of conversions."`
	WorkflowURL     *string       `json:"workflowUrl"`
	Completions     int           `json:"completions" doc:"How often it was credited; more than once only if it may be repeated."`

	workflowID string
}

// States of an event's progress and of an offer's.
const (
	eventNotStarted = "not_started"
	eventPending    = "pending"
	eventSuccess    = "success"
	eventRejected   = "rejected"

	progressInProgress = "InProgress"
	progressFinished   = "Finished"
	progressExpired    = "Expired"
)

var memberOfferListing = listing[memberOffer]{
	from: `(SELECT k.offer_id, min(k.clicked_at) AS started_at, max(k.clicked_at) AS last_click_at, max(k.session_ends_at) AS session_ends_at,
      (array_agg(k.id ORDER BY k.id DESC))[1] AS last_click_id
    FROM clicks k WHERE k.tenant_id = $1 AND k.pub_member_id = $2 AND k.refused_reason = '' AND NOT k.is_test GROUP BY k.offer_id) m
  JOIN offers o ON o.id = m.offer_id`,
	columns: "m.offer_id, m.started_at, m.last_click_at, m.session_ends_at, m.last_click_id",
	fields: map[string]listField{
		"offerId": {column: "m.offer_id", kind: fieldUUID}, "offerName": {column: "o.name", kind: fieldSearch},
		"startedAt": {column: "m.started_at", kind: fieldTime}, "lastClickAt": {column: "m.last_click_at", kind: fieldTime},
	},
	order: "lastClickAt", id: "m.offer_id",
	scan: func(row pgx.CollectableRow) (o memberOffer, err error) {
		err = row.Scan(&o.OfferID, &o.StartedAt, &o.LastClickAt, &o.SessionEndsAt, &o.LastClickID)
		o.StartedAt, o.LastClickAt, o.SessionEndsAt = o.StartedAt.UTC(), o.LastClickAt.UTC(), o.SessionEndsAt.UTC()
		return o, err
	},
}

func (s *Server) memberOffers(ctx context.Context, in *memberListInput) (*pageOutput[memberOffer], error) {
	out := &pageOutput[memberOffer]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if out.Body, err = list(ctx, tx, s.now(), memberOfferListing, in.ListInput, principal(ctx).TenantID, in.Member); err != nil {
			return err
		}
		m, err := s.loadMemberProgress(ctx, tx, in.Member, out.Body.Items)
		if err != nil {
			return err
		}
		for i := range out.Body.Items {
			m.fill(&out.Body.Items[i], s.now())
			s.linkMemberOffer(&out.Body.Items[i])
		}
		return nil
	})
}

// memberProgress is what the progress of a member in some offers is made of.
type memberProgress struct {
	memberHistory
	tenant    dbgen.Tenant
	offers    map[uuid.UUID]*domain.Offer
	heldUntil map[eventOfOffer]time.Time
}

type eventOfOffer struct{ offerID, eventID uuid.UUID }

// memberHistory is a member's conversions, oldest first, without those of tests.
type memberHistory struct {
	conversions map[eventOfOffer][]dbgen.Conversion
}

func historyOf(conversions []dbgen.Conversion) memberHistory {
	h := memberHistory{map[eventOfOffer][]dbgen.Conversion{}}
	for _, c := range conversions {
		if key := (eventOfOffer{c.OfferID, c.EventID}); !c.IsTest {
			h.conversions[key] = append(h.conversions[key], c)
		}
	}
	return h
}

// isLive says whether an event has a live conversion.
func (h *memberHistory) isLive(key eventOfOffer) bool {
	stands := h.standing(key)
	return stands != nil && stands.Status.Live()
}

// standing is the conversion that stands for an event: the newest live one, a rejected one only where
// there is none; nil where nothing came.
func (h *memberHistory) standing(key eventOfOffer) (stands *dbgen.Conversion) {
	for i := range h.conversions[key] {
		c := &h.conversions[key][i]
		if stands == nil || c.Status.Live() || !stands.Status.Live() {
			stands = c
		}
	}
	return stands
}

func (s *Server) loadMemberProgress(ctx context.Context, tx pgx.Tx, member string, items []memberOffer) (*memberProgress, error) {
	m := &memberProgress{offers: map[uuid.UUID]*domain.Offer{}, heldUntil: map[eventOfOffer]time.Time{}}
	ids := make([]uuid.UUID, len(items))
	for i, item := range items {
		ids[i] = item.OfferID
	}
	tenantID := principal(ctx).TenantID
	var err error
	if m.tenant, err = dbgen.New().GetTenant(ctx, tx, tenantID); err != nil {
		return nil, err
	}
	versions, err := dbgen.New().CurrentVersions(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	for _, version := range versions {
		var offer domain.Offer
		if err := json.Unmarshal(version.Document, &offer); err != nil {
			return nil, fmt.Errorf("offer %s: %w", version.ID, err)
		}
		m.offers[version.ID] = &offer
	}
	conversions, err := dbgen.New().ConversionsOfMember(ctx, tx, tenantID, member, ids)
	if err != nil {
		return nil, err
	}
	m.memberHistory = historyOf(conversions)
	return m, s.loadHeld(ctx, tx, m, member)
}

// loadHeld reads which events wait for their predecessor (rule 14): those of shared offers in the
// advertiser's book, by this member's clicks.
func (s *Server) loadHeld(ctx context.Context, tx pgx.Tx, m *memberProgress, member string) error {
	var own, shared []uuid.UUID
	for id, offer := range m.offers {
		if offer.TenantID == m.tenant.TenantID {
			own = append(own, id)
		} else {
			shared = append(shared, id)
		}
	}
	held, err := dbgen.New().HeldOfMember(ctx, tx, m.tenant.TenantID, member, own)
	if err != nil {
		return err
	}
	for _, h := range held {
		m.heldUntil[eventOfOffer{h.OfferID, h.EventID}] = h.DecideBy.UTC()
	}
	if len(shared) == 0 {
		return nil
	}
	waiting, err := dbgen.New().SystemHeldOfMember(ctx, s.Store.SystemPool(), m.tenant.TenantID, member, shared)
	for _, h := range waiting {
		m.heldUntil[eventOfOffer{h.OfferID, h.EventID}] = h.DecideBy.UTC()
	}
	return err
}

// fill completes an offer's item by its document as it is now.
func (m *memberProgress) fill(item *memberOffer, at time.Time) {
	offer := m.offers[item.OfferID]
	item.OfferName, item.OfferType, item.OfferStatus = offer.Name, string(offer.OfferType), offer.Status(at)
	item.Events = []memberEvent{}
	done, waiting := true, false
	for i := range offer.Events {
		key := eventOfOffer{offer.ID, offer.Events[i].ID}
		if !m.visible(offer, &offer.Events[i], len(m.conversions[key]) > 0) {
			continue
		}
		event := m.event(offer, &offer.Events[i])
		done = done && event.Status == eventSuccess
		waiting = waiting || event.Status == eventPending || event.HeldUntil != nil
		item.Events = append(item.Events, event)
	}
	slices.SortStableFunc(item.Events, func(a, b memberEvent) int { return cmp.Compare(a.DisplayOrder, b.DisplayOrder) })
	switch {
	case done && len(item.Events) > 0:
		item.Progress = progressFinished
	case !waiting && at.After(item.SessionEndsAt):
		item.Progress = progressExpired
	default:
		item.Progress = progressInProgress
	}
}

// visible says whether an event is one to show: none that goals switched off hide; of those that have
// not happened no private, deleted or counted one (rules 66, 69, 70).
func (m *memberProgress) visible(offer *domain.Offer, event *domain.Event, happened bool) bool {
	if offer.Hides(event, m.tenant.GoalsEnabled) {
		return false
	}
	return happened || (offer.Converts(event, m.tenant.GoalsEnabled) && !event.IsPrivate)
}

func (m *memberProgress) event(offer *domain.Offer, event *domain.Event) memberEvent {
	key := eventOfOffer{offer.ID, event.ID}
	out := memberEvent{
		OfferEventID: event.ID, EventID: event.EventID, Name: event.Name, DisplayOrder: event.DisplayOrder,
		ShowOnOfferWall: event.ShowOnOfferWall, Status: eventNotStarted, Reward: decimalOf(offer.Promised(event, m.tenant.RewardRatioMicros)),
	}
	if until, ok := m.heldUntil[key]; ok {
		out.HeldUntil = &until
	}
	for i := range m.conversions[key] {
		if m.conversions[key][i].Status == domain.StatusSuccess {
			out.Completions++
		}
	}
	shown := m.standing(key)
	if shown == nil {
		return out
	}
	out.Status = map[domain.Status]string{
		domain.StatusPending: eventPending, domain.StatusSuccess: eventSuccess, domain.StatusRejected: eventRejected,
	}[shown.Status]
	out.Reason, out.ConversionID, out.CompletedAt = shown.RejectionReason, &shown.ID, inUTC(&shown.UserCompletedAt)
	out.ClickID, out.workflowID = &shown.ClickID, workflowOf(shown)
	if shown.Status.Live() {
		out.Reward = decimalOf(&shown.RewardMicros)
	}
	if shown.Status == domain.StatusPending && !shown.NeedsReview {
		out.ReleaseAt = inUTC(shown.ReleaseAt)
	}
	return out
}
