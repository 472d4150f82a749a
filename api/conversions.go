package api

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

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
	Status          domain.Status  `json:"status" enum:"Pending,Success,Rejected"`
	RejectionReason *domain.Reason `json:"rejectionReason" doc:"null unless the status is Rejected."`
	ClickID         uuid.UUID      `json:"clickId"`
	OfferID         uuid.UUID      `json:"offerId"`
	OfferName       string         `json:"offerName"`
	EventID         string         `json:"eventId" doc:"The advertiser's name of the event; empty on a SingleEvent offer."`
	EventName       string         `json:"eventName"`
	PartnerID       *uuid.UUID     `json:"partnerId"`
	PubMemberID     *string        `json:"pubMemberId"`
	Revenue         *Decimal       `json:"revenue,omitempty" doc:"Absent if cost is present."`
	Payout          Decimal        `json:"payout"`
	Reward          Decimal        `json:"reward" doc:"In points."`
	Currency        string         `json:"currency"`
	Amount          *Decimal       `json:"amount" doc:"The sale amount, as sent by the advertiser."`
	CreatedAt       time.Time      `json:"createdAt"`
	UserCompletedAt time.Time      `json:"userCompletedAt"`
	ReleaseAt       *time.Time     `json:"releaseAt"`
	DecidedAt       *time.Time     `json:"decidedAt" doc:"When it left Pending, or was last changed by a person; null before that."`
	SequenceNumber  int64          `json:"sequenceNumber" doc:"The number of the latest transition, which is the sequence of the latest callback."`
	OfferEventID    uuid.UUID      `json:"offerEventId"`
	AdvertiserID    uuid.UUID      `json:"advertiserId"`
	NeedsReview     bool           `json:"needsReview" doc:"Waits for a person; no timer releases it."`
	CnvConversionID string         `json:"cnvConversionId" doc:"The advertiser's own id of the conversion."`
	IsTest          bool           `json:"isTest"`
	Cost            *Decimal       `json:"cost,omitempty" doc:"Replaces revenue in the book of a shared offer's advertiser: what it owes the publisher."`
	PartnerName     string         `json:"partnerName" doc:"The current name; empty without a partner."`
	AdvertiserName  string         `json:"advertiserName" doc:"The current name."`
	PubClickID      string         `json:"pubClickId" doc:"As sent with the click, like the sub ids; empty in the book of a shared offer's advertiser."`
	PubSubs         []string       `json:"pubSubs" nullable:"false" doc:"pub_sub_1, pub_sub_2 and so on."`
	WorkflowID      string         `json:"workflowId" doc:"Id of the workflow in which the conversion waited; if it never waited, the click's workflow."`
	WorkflowURL     *string        `json:"workflowUrl" doc:"The workflow's page in the Temporal UI; null if OFFERFLOW_TEMPORAL_UI_URL is not set."`

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
	where: "c.tenant_id = $1",
	fields: map[string]listField{
		"id": {column: "c.id", kind: fieldUUID}, "status": {column: "c.status"},
		"rejectionReason": {column: "c.rejection_reason", oneOf: textsOf(domain.RejectionReasons)},
		"clickId":         {column: "c.click_id", kind: fieldUUID}, "offerId": {column: "c.offer_id", kind: fieldUUID},
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

// conversionTime is one of the times by which conversions are asked for.
type conversionTime struct{ field, prefix, column string }

// conversionTimes are completion, receipt and decision.
var conversionTimes = []conversionTime{
	{fieldCompletedAt, "user_completed_at_", "c.user_completed_at"}, {"createdAt", "created_at_", "c.created_at"}, {"decidedAt", "decided_at_", "c.decided_at"},
}

type conversionsInput struct {
	ListInput
	CompletedFrom string `query:"user_completed_at_from" doc:"Start of the period by completion: a date (included) or an RFC 3339 time. One period is required: by completion, receipt or decision."`
	CompletedTo   string `query:"user_completed_at_to" doc:"End of the period by completion: a date (included) or an RFC 3339 time (excluded). At most 3 months after the start."`
	CreatedFrom   string `query:"created_at_from" doc:"Start of the period by receipt, instead of completion."`
	CreatedTo     string `query:"created_at_to" doc:"End of the period by receipt."`
	DecidedFrom   string `query:"decided_at_from" doc:"Start of the period by the latest decision, instead of completion. Pending conversions have none."`
	DecidedTo     string `query:"decided_at_to" doc:"End of the period by the latest decision."`
}

// conversionBook is what the tokens of one kind see of conversions. The condition of its listing takes the
// arguments that of gives.
type conversionBook[T any] struct {
	listing listing[conversionView]
	of      func(p Principal) []any
	show    func(ctx context.Context, tx pgx.Tx, views []conversionView) ([]T, error)
}

var tenantsConversions = conversionBook[conversionView]{
	listing: conversionListing,
	of:      func(p Principal) []any { return []any{p.TenantID} },
	show: func(ctx context.Context, tx pgx.Tx, views []conversionView) ([]conversionView, error) {
		return views, describeConversions(ctx, tx, views)
	},
}

func (s *Server) listConversions(ctx context.Context, in *conversionsInput) (*pageOutput[conversionView], error) {
	book := tenantsConversions
	book.show = func(ctx context.Context, tx pgx.Tx, views []conversionView) ([]conversionView, error) {
		s.linkConversions(views)
		return tenantsConversions.show(ctx, tx, views)
	}
	return book.answer(ctx, s, in)
}

// answer is a whole handler.
func (b *conversionBook[T]) answer(ctx context.Context, s *Server, in *conversionsInput) (*pageOutput[T], error) {
	when, bounds, err := in.asked()
	if err != nil {
		return nil, err
	}
	filters, err := s.resolveEventFilter(ctx, in.filters)
	if err != nil {
		return nil, err
	}
	asked := in.ListInput
	asked.filters = filters
	out := &pageOutput[T]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		dates, err := calendarOf(ctx, tx, in.TZ, s.now())
		if err != nil {
			return err
		}
		from, to, err := dates.monthsOf(when.prefix, bounds)
		if err != nil {
			return err
		}
		l, args := b.listing, b.of(principal(ctx))
		l.where += fmt.Sprintf(" AND %s >= $%d AND %s < $%d", when.column, len(args)+1, when.column, len(args)+2)
		l.order = when.field
		found, err := list(ctx, tx, s.now(), l, asked, append(args, from, to)...)
		if err != nil {
			return err
		}
		found.From, found.To, found.Timezone = dates.said()
		items, err := b.show(ctx, tx, found.Items)
		out.Body = withItems(found, items)
		return err
	})
}

// asked is the one pair of bounds that was given.
func (in *conversionsInput) asked() (when conversionTime, bounds [2]string, err error) {
	pairs := [][2]string{{in.CompletedFrom, in.CompletedTo}, {in.CreatedFrom, in.CreatedTo}, {in.DecidedFrom, in.DecidedTo}}
	given := -1
	var c checks
	for i, pair := range pairs {
		switch prefix := conversionTimes[i].prefix; {
		case pair == [2]string{}:
		case given >= 0:
			name := "from" // of a pair, its beginning
			if pair[0] == "" {
				name = "to"
			}
			c.add(prefix+name, "cannot be combined with %sfrom: use one period", conversionTimes[given].prefix)
		default:
			given = i
			c.required(prefix+"from", pair[0])
			c.required(prefix+"to", pair[1])
		}
	}
	if given < 0 {
		for _, end := range []string{"from", "to"} {
			c.add("user_completed_at_"+end, "is required, or created_at_%s, or decided_at_%s", end, end)
		}
		return when, bounds, c.err()
	}
	return conversionTimes[given], pairs[given], c.err()
}

func (c *checks) required(field, text string) {
	if text == "" {
		c.add(field, "is required")
	}
}

// monthsOf reads the two bounds of a list of conversions.
func (c *calendar) monthsOf(prefix string, bounds [2]string) (from, to time.Time, err error) {
	var wrong checks
	from, err = c.start(bounds[0])
	if err != nil {
		wrong.add(prefix+"from", "%s", err)
	}
	to, err = c.end(bounds[1])
	if err != nil {
		wrong.add(prefix+"to", "%s", err)
	}
	last, _, _ := c.span(bounds[1]) // the beginning of the last day
	switch {
	case wrong.err() != nil:
	case to.Before(from):
		wrong.add(prefix+"to", "must not be before %sfrom", prefix)
	case last.After(from.In(c.zone).AddDate(0, maxSpanMonths, 0)):
		wrong.add(prefix+"to", "must be at most %d months after %sfrom", maxSpanMonths, prefix)
	}
	return from, to, wrong.err()
}

// resolveEventFilter replaces the advertiser's names of events in filter.eventId by our ids, which
// are taken there too. A name that no event has finds nothing.
func (s *Server) resolveEventFilter(ctx context.Context, filters map[string][]string) (map[string][]string, error) {
	resolved := maps.Clone(filters)
	for field, values := range filters {
		if !strings.EqualFold(field, fieldEventID) {
			continue
		}
		ids := []string{uuid.Nil.String()}
		var names []string
		for _, value := range values {
			names = append(names, domain.Storable(value))
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
			return nil, err
		}
		resolved[field] = ids
	}
	return resolved, nil
}
