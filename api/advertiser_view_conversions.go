package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// AdvertiserConversion is a conversion as its advertiser sees it: what it reported, what was decided and
// what it owes. Nothing of whom the traffic came from: no partner, no member, no payout, no reward.
type AdvertiserConversion struct {
	ID              uuid.UUID      `json:"id"`
	Status          domain.Status  `json:"status" enum:"Pending,Success,Rejected"`
	RejectionReason *domain.Reason `json:"rejectionReason" doc:"null unless the status is Rejected."`
	ClickID         uuid.UUID      `json:"clickId"`
	OfferID         uuid.UUID      `json:"offerId"`
	OfferName       string         `json:"offerName"`
	EventID         string         `json:"eventId" doc:"The advertiser's name of the event; empty on a SingleEvent offer."`
	EventName       string         `json:"eventName"`
	OfferEventID    uuid.UUID      `json:"offerEventId"`
	CnvConversionID string         `json:"cnvConversionId" doc:"The advertiser's own id of the conversion."`
	Cost            Decimal        `json:"cost" doc:"What the advertiser owes for the conversion; the tenant's revenue."`
	Currency        string         `json:"currency"`
	Amount          *Decimal       `json:"amount" doc:"The sale amount, as sent by the advertiser."`
	CreatedAt       time.Time      `json:"createdAt"`
	UserCompletedAt time.Time      `json:"userCompletedAt"`
	ReleaseAt       *time.Time     `json:"releaseAt"`
	DecidedAt       *time.Time     `json:"decidedAt"`
	SequenceNumber  int64          `json:"sequenceNumber"`
	NeedsReview     bool           `json:"needsReview" doc:"Waits for a person; no timer releases it."`
	IsTest          bool           `json:"isTest"`
}

// advertiserTransition is a step in a conversion's life, without who took it and what they wrote.
type advertiserTransition struct {
	Sequence int64         `json:"sequence"`
	From     string        `json:"from"`
	To       string        `json:"to"`
	Reason   domain.Reason `json:"reason" doc:"Why it was rejected; empty for other statuses."`
	At       time.Time     `json:"at"`
}

type advertiserConversionHistory struct {
	AdvertiserConversion
	History []advertiserTransition `json:"history"`
}

const advertisersConversion = "c.tenant_id = $1 AND c.advertiser_id = $2"

var advertisersConversions = conversionBook[AdvertiserConversion]{
	listing: listing[conversionView]{
		from: conversionListing.from, columns: conversionListing.columns,
		where: advertisersConversion,
		fields: map[string]listField{
			"id": {column: "c.id", kind: fieldUUID}, "status": {column: "c.status"},
			"rejectionReason": {column: "c.rejection_reason", oneOf: textsOf(domain.RejectionReasons)},
			"clickId":         {column: "c.click_id", kind: fieldUUID}, "offerId": {column: "c.offer_id", kind: fieldUUID},
			fieldEventID: {column: "c.event_id", kind: fieldUUID, unordered: true}, "offerEventId": {column: "c.event_id", kind: fieldUUID},
			"cnvConversionId": {column: "c.cnv_conversion_id"}, "cost": {column: "c.revenue_micros", kind: fieldDecimal},
			"currency": {column: "c.currency"}, "amount": {column: "c.amount_micros", kind: fieldDecimal},
			"createdAt": {column: "c.created_at", kind: fieldTime}, fieldCompletedAt: {column: "c.user_completed_at", kind: fieldTime},
			"releaseAt": {column: "c.release_at", kind: fieldTime}, "decidedAt": {column: "c.decided_at", kind: fieldTime},
			"sequenceNumber": {column: "c.sequence", kind: fieldInt}, "needsReview": {column: "c.needs_review", kind: fieldBool},
			"isTest": {column: "c.is_test", kind: fieldBool},
		},
		order: fieldCompletedAt, id: "c.id", scan: scanConversion,
	},
	of: func(p Principal) []any { return []any{p.TenantID, *p.AdvertiserID} },
	show: func(ctx context.Context, tx pgx.Tx, views []conversionView) ([]AdvertiserConversion, error) {
		err := nameConversions(ctx, tx, views)
		return each(views, advertiserConversionOf), err
	},
}

func (s *Server) listConversionsForAdvertiser(ctx context.Context, in *conversionsInput) (*pageOutput[AdvertiserConversion], error) {
	return advertisersConversions.answer(ctx, s, in)
}

func advertiserConversionOf(c *conversionView) AdvertiserConversion {
	cost := c.Cost
	if cost == nil {
		cost = c.Revenue
	}
	return AdvertiserConversion{
		ID: c.ID, Status: c.Status, RejectionReason: c.RejectionReason, ClickID: c.ClickID, OfferID: c.OfferID, OfferName: c.OfferName,
		EventID: c.EventID, EventName: c.EventName, OfferEventID: c.OfferEventID, CnvConversionID: c.CnvConversionID,
		Cost: orZero(cost), Currency: c.Currency, Amount: c.Amount, CreatedAt: c.CreatedAt, UserCompletedAt: c.UserCompletedAt,
		ReleaseAt: c.ReleaseAt, DecidedAt: c.DecidedAt, SequenceNumber: c.SequenceNumber, NeedsReview: c.NeedsReview, IsTest: c.IsTest,
	}
}

type advertiserConversionOutput struct{ Body advertiserConversionHistory }

func (s *Server) getConversionForAdvertiser(ctx context.Context, in *ByID) (*advertiserConversionOutput, error) {
	out := &advertiserConversionOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		p := principal(ctx)
		rows, err := tx.Query(ctx, "SELECT "+conversionListing.columns+" FROM "+conversionListing.from+" WHERE "+advertisersConversion+" AND c.id = $3",
			p.TenantID, *p.AdvertiserID, in.ID)
		if err != nil {
			return err
		}
		views, err := pgx.CollectRows(rows, scanConversion)
		if err != nil {
			return err
		}
		if len(views) == 0 {
			return problem.NotFound()
		}
		if err := nameConversions(ctx, tx, views); err != nil {
			return err
		}
		steps, err := dbgen.New().TransitionsOfConversion(ctx, tx, p.TenantID, in.ID)
		out.Body.AdvertiserConversion = advertiserConversionOf(&views[0])
		out.Body.History = each(steps, func(t *dbgen.Transition) advertiserTransition {
			return advertiserTransition{Sequence: t.Sequence, From: t.FromStatus, To: t.ToStatus, Reason: domain.Reason(t.Reason), At: t.At.UTC()}
		})
		return err
	})
}

// listPostbacksForAdvertiser is the advertiser's part of the log: what was decided on its offers, and
// what came under its key whatever became of it.
func (s *Server) listPostbacksForAdvertiser(ctx context.Context, in *postbackLogInput) (*pageOutput[postbackView], error) {
	l := postbackListing
	l.columns = advertisersPostbackColumns
	l.where = "p.tenant_id = $1 AND p.advertiser_id = $2"
	l.fields = without(postbackLogFields, "advertiserId") // members are the tenant's to know
	p := principal(ctx)
	return listIn(ctx, s, l, in.ListInput, p.TenantID, *p.AdvertiserID)
}

// without is a list's fields but for one.
func without(fields map[string]listField, name string) map[string]listField {
	out := map[string]listField{}
	for field, column := range fields {
		if field != name {
			out[field] = column
		}
	}
	return out
}
