package api

import (
	"context"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"
)

// conversionView is a conversion as answers show it. Names are those of the callback (http.md):
// eventId is the advertiser's name of the event, offerEventId our id of it.
type conversionView struct {
	ID              uuid.UUID      `json:"id"`
	Status          domain.Status  `json:"status"`
	RejectionReason *domain.Reason `json:"rejectionReason" doc:"null unless Rejected."`
	ClickID         uuid.UUID      `json:"clickId"`
	OfferID         uuid.UUID      `json:"offerId"`
	OfferName       string         `json:"offerName"`
	EventID         string         `json:"eventId" doc:"The advertiser's name of the event; empty on a SingleEvent offer."`
	EventName       string         `json:"eventName"`
	OfferEventID    uuid.UUID      `json:"offerEventId"`
	AdvertiserID    uuid.UUID      `json:"advertiserId"`
	PartnerID       *uuid.UUID     `json:"partnerId"`
	PubMemberID     *string        `json:"pubMemberId"`
	Revenue         *Decimal       `json:"revenue,omitempty" doc:"Absent where cost stands in its place."`
	Cost            *Decimal       `json:"cost,omitempty" doc:"In place of revenue in the book of a shared offer's advertiser: what it owes the publisher."`
	Payout          Decimal        `json:"payout"`
	Reward          Decimal        `json:"reward" doc:"In points."`
	Currency        string         `json:"currency"`
	Amount          *Decimal       `json:"amount" doc:"The sale, as the advertiser told it."`
	CreatedAt       time.Time      `json:"createdAt"`
	UserCompletedAt time.Time      `json:"userCompletedAt"`
	ReleaseAt       *time.Time     `json:"releaseAt"`
	DecidedAt       *time.Time     `json:"decidedAt" doc:"When it left Pending, or was last moved by a person; null while it never has."`
	SequenceNumber  int64          `json:"sequenceNumber" doc:"The number of its newest transition: the sequence of its newest callback."`
	NeedsReview     bool           `json:"needsReview" doc:"Waits for a person; no timer approves it."`
	CnvConversionID string         `json:"cnvConversionId" doc:"The advertiser's own id of it."`
	IsTest          bool           `json:"isTest"`
	WorkflowID      string         `json:"workflowId" doc:"Of the workflow that it waits or waited in; of one that never had to wait, its click's."`
	WorkflowURL     *string        `json:"workflowUrl" doc:"That in the Temporal UI; null where its address is not configured."`

	offerVersion int64
}

// conversionColumns are in the order of scanConversion.
const conversionColumns = `c.id, c.status, c.rejection_reason, c.click_id, c.offer_id, c.offer_version, c.event_id, c.advertiser_id,
  c.partner_id, c.pub_member_id, c.revenue_micros, c.payout_micros, c.reward_micros, c.currency, c.amount_micros, c.created_at,
  c.user_completed_at, c.release_at, c.decided_at, c.sequence, c.needs_review, c.cnv_conversion_id, c.is_test, c.side`

func scanConversion(row pgx.CollectableRow) (conversionView, error) {
	var c dbgen.Conversion
	err := row.Scan(&c.ID, &c.Status, &c.RejectionReason, &c.ClickID, &c.OfferID, &c.OfferVersion, &c.EventID, &c.AdvertiserID,
		&c.PartnerID, &c.PubMemberID, &c.RevenueMicros, &c.PayoutMicros, &c.RewardMicros, &c.Currency, &c.AmountMicros, &c.CreatedAt,
		&c.UserCompletedAt, &c.ReleaseAt, &c.DecidedAt, &c.Sequence, &c.NeedsReview, &c.CnvConversionID, &c.IsTest, &c.Side)
	return conversionOf(&c), err
}

// conversionOf is a row without the names of its offer and event: see nameConversions.
func conversionOf(c *dbgen.Conversion) conversionView {
	view := conversionView{
		ID: c.ID, Status: c.Status, ClickID: c.ClickID, OfferID: c.OfferID, OfferEventID: c.EventID, AdvertiserID: c.AdvertiserID,
		PartnerID: c.PartnerID, PubMemberID: c.PubMemberID, Payout: Decimal(c.PayoutMicros),
		Reward: Decimal(c.RewardMicros), Currency: c.Currency, Amount: decimalOf(c.AmountMicros), CreatedAt: c.CreatedAt.UTC(),
		UserCompletedAt: c.UserCompletedAt.UTC(), ReleaseAt: inUTC(c.ReleaseAt), DecidedAt: inUTC(c.DecidedAt),
		SequenceNumber: c.Sequence, NeedsReview: c.NeedsReview, CnvConversionID: c.CnvConversionID, IsTest: c.IsTest,
		offerVersion: c.OfferVersion,
	}
	view.Revenue, view.Cost = ofSide(c.Side, Decimal(c.RevenueMicros))
	view.WorkflowID = workflowOf(c)
	if c.RejectionReason != domain.ReasonNone {
		view.RejectionReason = &c.RejectionReason
	}
	return view
}

// workflowOf is the workflow in whose history a conversion's life is: its own where it waited for a timer or
// a person, else its click's, which decided it.
func workflowOf(c *dbgen.Conversion) string {
	if c.Status == domain.StatusPending || c.DecidedAt != nil && !c.DecidedAt.Equal(c.CreatedAt) {
		return workflows.ConversionWorkflowID(c.ID)
	}
	return workflows.ClickWorkflowID(c.ClickID)
}

// ofSide gives a shared offer's one figure the name that the side knows it by (rule 57): the
// advertiser's cost is the publisher's revenue. An owner's is revenue.
func ofSide(side domain.Side, figure Decimal) (revenue, cost *Decimal) {
	if side == domain.SideAdvertiser {
		return nil, &figure
	}
	return &figure, nil
}

func inUTC(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	utc := at.UTC()
	return &utc
}

var conversionListing = listing[conversionView]{
	from: "conversions c", columns: conversionColumns,
	where: "c.tenant_id = $1 AND c.user_completed_at >= $2 AND c.user_completed_at < $3",
	fields: map[string]listField{
		"id": {column: "c.id", kind: fieldUUID}, "status": {column: "c.status"}, "rejectionReason": {column: "c.rejection_reason"},
		"clickId": {column: "c.click_id", kind: fieldUUID}, "offerId": {column: "c.offer_id", kind: fieldUUID},
		fieldEventID: {column: "c.event_id", kind: fieldUUID, unordered: true}, "offerEventId": {column: "c.event_id", kind: fieldUUID},
		"advertiserId": {column: "c.advertiser_id", kind: fieldUUID}, "partnerId": {column: "c.partner_id", kind: fieldUUID},
		"pubMemberId": {column: "c.pub_member_id", kind: fieldMember}, "currency": {column: "c.currency"}, "amount": {column: "c.amount_micros", kind: fieldDecimal},
		"revenue": {column: "CASE WHEN c.side <> 'advertiser' THEN c.revenue_micros END", kind: fieldDecimal},
		"cost":    {column: "CASE WHEN c.side = 'advertiser' THEN c.revenue_micros END", kind: fieldDecimal},
		"payout":  {column: "c.payout_micros", kind: fieldDecimal},
		"reward":  {column: "c.reward_micros", kind: fieldDecimal}, "createdAt": {column: "c.created_at", kind: fieldTime},
		fieldCompletedAt: {column: "c.user_completed_at", kind: fieldTime}, "releaseAt": {column: "c.release_at", kind: fieldTime},
		"decidedAt": {column: "c.decided_at", kind: fieldTime}, "sequenceNumber": {column: "c.sequence", kind: fieldInt},
		"needsReview": {column: "c.needs_review", kind: fieldBool}, "cnvConversionId": {column: "c.cnv_conversion_id"},
		"isTest": {column: "c.is_test", kind: fieldBool},
	},
	order: fieldCompletedAt, id: "c.id", scan: scanConversion,
}

const (
	fieldEventID     = "eventId"
	fieldCompletedAt = "userCompletedAt"
	// maxSpanMonths bounds what one list reads.
	maxSpanMonths = 3
)

type conversionsInput struct {
	ListInput
	From   string `query:"user_completed_at_from" doc:"Required: RFC 3339, or a date, which is its first instant in UTC. Inclusive."`
	To     string `query:"user_completed_at_to" doc:"Required, likewise; exclusive, at most 3 months after the first."`
	Accept string `header:"Accept" hidden:"true"`
}

// conversionsOutput writes JSON or CSV by itself: see alsoCSV for its place in the OpenAPI document.
type conversionsOutput struct {
	Vary string `header:"Vary"`
	Body func(huma.Context)
}

// conversionBook is what the tokens of one kind see of conversions, as a list and as CSV. The
// condition of its listing takes the arguments that of gives, then the bounds of the time of completion.
type conversionBook[T any] struct {
	listing listing[conversionView]
	of      func(p Principal) []any
	show    func(ctx context.Context, tx pgx.Tx, views []conversionView) ([]T, error)
	columns []csvColumn[T]
}

var tenantsConversions = conversionBook[conversionView]{
	listing: conversionListing, columns: conversionCSV,
	of: func(p Principal) []any { return []any{p.TenantID} },
	show: func(ctx context.Context, tx pgx.Tx, views []conversionView) ([]conversionView, error) {
		return views, nameConversions(ctx, tx, views)
	},
}

func (s *Server) listConversions(ctx context.Context, in *conversionsInput) (*conversionsOutput, error) {
	book := tenantsConversions
	book.show = func(ctx context.Context, tx pgx.Tx, views []conversionView) ([]conversionView, error) {
		s.linkConversions(views)
		return views, nameConversions(ctx, tx, views)
	}
	return book.answer(ctx, s, in)
}

// answer is a whole handler.
func (b *conversionBook[T]) answer(ctx context.Context, s *Server, in *conversionsInput) (*conversionsOutput, error) {
	from, to, err := in.span()
	if err != nil {
		return nil, err
	}
	if err := s.resolveEventFilter(ctx, in.filters); err != nil {
		return nil, err
	}
	out := &conversionsOutput{Vary: "Accept"}
	args := append(b.of(principal(ctx)), from, to)
	if acceptsCSV(in.Accept) {
		out.Body, err = b.csv(ctx, s, in.ListInput, args)
		return out, err
	}
	var answer page[T]
	err = s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		found, err := list(ctx, tx, b.listing, in.ListInput, args...)
		if err != nil {
			return err
		}
		items, err := b.show(ctx, tx, found.Items)
		answer = withItems(found, items)
		return err
	})
	out.Body = func(response huma.Context) {
		response.SetHeader("Content-Type", "application/json")
		_ = jsonFormat.Marshal(response.BodyWriter(), answer) // a client that has gone may ask again
	}
	return out, err
}

// span is the required range of the time of completion.
func (in *conversionsInput) span() (from, to time.Time, err error) {
	var c checks
	from = c.instant("user_completed_at_from", in.From)
	to = c.instant("user_completed_at_to", in.To)
	if err := c.err(); err != nil {
		return from, to, err
	}
	switch {
	case to.Before(from):
		c.add("user_completed_at_to", "must not be before user_completed_at_from")
	case to.After(from.AddDate(0, maxSpanMonths, 0)):
		c.add("user_completed_at_to", "must be at most %d months after user_completed_at_from", maxSpanMonths)
	}
	return from, to, c.err()
}

// instant is a required time.
func (c *checks) instant(field, text string) time.Time {
	if text == "" {
		c.add(field, "is required")
		return time.Time{}
	}
	at, err := parseTime(text)
	if err != nil {
		c.add(field, "must be a time of RFC 3339")
	}
	return at
}

// resolveEventFilter replaces the advertiser's names of events in filter.eventId by our ids, which
// are taken there too. A name that no event has finds nothing.
func (s *Server) resolveEventFilter(ctx context.Context, filters map[string][]string) error {
	for field, values := range filters {
		if !strings.EqualFold(field, fieldEventID) {
			continue
		}
		ids := []string{uuid.Nil.String()}
		var names []string
		for _, value := range values {
			names = append(names, storable(value))
			if _, err := uuid.Parse(value); err == nil {
				ids = append(ids, value)
			}
		}
		err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
			found, err := dbgen.New().EventsByName(ctx, tx, principal(ctx).TenantID, names)
			for _, id := range found {
				ids = append(ids, id.String())
			}
			return err
		})
		if err != nil {
			return err
		}
		filters[field] = ids
	}
	return nil
}

// eventKey is an event in one version of an offer.
type eventKey struct {
	offerID uuid.UUID
	version int64
	eventID uuid.UUID
}

// eventNames are what an offer and its event were called when a conversion was decided.
type eventNames struct{ offer, eventID, event string }

func loadEventNames(ctx context.Context, tx pgx.Tx, keys []eventKey) (map[eventKey]eventNames, error) {
	type version struct {
		offerID uuid.UUID
		number  int64
	}
	seen := map[version]bool{}
	var offerIDs []uuid.UUID
	var versions []int64
	for _, key := range keys {
		if v := (version{key.offerID, key.version}); !seen[v] {
			seen[v] = true
			offerIDs, versions = append(offerIDs, key.offerID), append(versions, key.version)
		}
	}
	rows, err := dbgen.New().EventNamesOfVersions(ctx, tx, offerIDs, versions)
	names := make(map[eventKey]eventNames, len(rows))
	for _, row := range rows {
		names[eventKey{row.OfferID, row.Version, row.EventID}] = eventNames{row.OfferName, row.AdvertisersName, row.EventName}
	}
	return names, err
}

// nameConversions fills in the names of offers and events.
func nameConversions(ctx context.Context, tx pgx.Tx, views []conversionView) error {
	if len(views) == 0 {
		return nil
	}
	keys := make([]eventKey, len(views))
	for i, view := range views {
		keys[i] = eventKey{view.OfferID, view.offerVersion, view.OfferEventID}
	}
	names, err := loadEventNames(ctx, tx, keys)
	for i := range views {
		n := names[keys[i]]
		views[i].OfferName, views[i].EventID, views[i].EventName = n.offer, n.eventID, n.event
	}
	return err
}
