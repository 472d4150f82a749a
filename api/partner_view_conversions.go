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

// PartnerConversion is a conversion as its partner sees it.
type PartnerConversion struct {
	ID              uuid.UUID      `json:"id"`
	Status          domain.Status  `json:"status" enum:"Pending,Success,Rejected"`
	RejectionReason *domain.Reason `json:"rejectionReason" doc:"null unless the status is Rejected, or if the reason is not disclosed."`
	ClickID         uuid.UUID      `json:"clickId"`
	OfferID         uuid.UUID      `json:"offerId"`
	OfferName       string         `json:"offerName"`
	EventID         string         `json:"eventId" doc:"The advertiser's name of the event; empty on a SingleEvent offer."`
	EventName       string         `json:"eventName"`
	OfferEventID    uuid.UUID      `json:"offerEventId"`
	PubMemberID     *string        `json:"pubMemberId"`
	PubClickID      string         `json:"pubClickId"`
	Payout          Decimal        `json:"payout"`
	Currency        string         `json:"currency"`
	Amount          *Decimal       `json:"amount" doc:"The sale amount, as sent by the advertiser."`
	CreatedAt       time.Time      `json:"createdAt"`
	UserCompletedAt time.Time      `json:"userCompletedAt"`
	ReleaseAt       *time.Time     `json:"releaseAt"`
	DecidedAt       *time.Time     `json:"decidedAt"`
	SequenceNumber  int64          `json:"sequenceNumber"`
	IsTest          bool           `json:"isTest"`
	PubSubs         []string       `json:"pubSubs" doc:"pub_sub_1, pub_sub_2 and so on, as sent with the link."`
}

// partnerTransition is a step in a conversion's life, without who took it and what they wrote.
type partnerTransition struct {
	Sequence int64          `json:"sequence"`
	From     string         `json:"from"`
	To       string         `json:"to"`
	Reason   *domain.Reason `json:"reason"`
	At       time.Time      `json:"at"`
}

// partnerConversionHistory is a conversion with its steps.
type partnerConversionHistory struct {
	PartnerConversion
	History []partnerTransition `json:"history"`
}

// A partner's conversions: its own, and none of a goal that is hidden from partners, then or now: the
// predicate of domain.HiddenFromPartners (rules 54, 66, 69). What is hidden now is found once per statement.
const partnerConversions = "c.tenant_id = $1 AND c.partner_id = $2 AND c.payout_rule->>'kind' <> 'private'" +
	" AND c.event_id <> ALL(ARRAY(SELECT goals_hidden_from_partners($1)))"

// partnerReason is toPartners in SQL.
const partnerReason = `CASE WHEN c.rejection_reason LIKE 'fraud\_%' OR c.rejection_reason = 'blocked' THEN '' ELSE c.rejection_reason END`

var partnerConversionListing = listing[conversionView]{
	from: conversionListing.from, columns: conversionListing.columns,
	where: partnerConversions,
	fields: map[string]listField{
		"id": {column: "c.id", kind: fieldUUID}, "status": {column: "c.status"},
		"rejectionReason": {column: partnerReason, oneOf: textsOf(domain.PartnerReasons())},
		"clickId":         {column: "c.click_id", kind: fieldUUID}, "offerId": {column: "c.offer_id", kind: fieldUUID},
		fieldEventID: {column: "c.event_id", kind: fieldUUID, unordered: true}, "offerEventId": {column: "c.event_id", kind: fieldUUID},
		"pubMemberId": {column: "c.pub_member_id"}, "payout": {column: "c.payout_micros", kind: fieldDecimal},
		"currency": {column: "c.currency"}, "amount": {column: "c.amount_micros", kind: fieldDecimal},
		"createdAt": {column: "c.created_at", kind: fieldTime}, fieldCompletedAt: {column: "c.user_completed_at", kind: fieldTime},
		"releaseAt": {column: "c.release_at", kind: fieldTime}, "decidedAt": {column: "c.decided_at", kind: fieldTime},
		"sequenceNumber": {column: "c.sequence", kind: fieldInt}, "isTest": {column: "c.is_test", kind: fieldBool},
	},
	order: fieldCompletedAt, id: "c.id", scan: scanConversion,
}

var partnersConversions = conversionBook[PartnerConversion]{
	listing: partnerConversionListing,
	of:      func(p Principal) []any { return []any{p.TenantID, *p.PartnerID} },
	show:    showPartnerConversions,
}

func (s *Server) listConversionsForPartner(ctx context.Context, in *conversionsInput) (*pageOutput[PartnerConversion], error) {
	return partnersConversions.answer(ctx, s, in)
}

// showPartnerConversions fills in names and what the partner's own links said.
func showPartnerConversions(ctx context.Context, tx pgx.Tx, views []conversionView) ([]PartnerConversion, error) {
	if err := nameConversions(ctx, tx, views); err != nil {
		return nil, err
	}
	conversions := each(views, partnerConversionOf)
	return conversions, addSubs(ctx, tx, conversions)
}

func partnerConversionOf(c *conversionView) PartnerConversion {
	return PartnerConversion{
		ID: c.ID, Status: c.Status, RejectionReason: toPartners(orZero(c.RejectionReason)), ClickID: c.ClickID, OfferID: c.OfferID,
		OfferName: c.OfferName, EventID: c.EventID, EventName: c.EventName, OfferEventID: c.OfferEventID, PubMemberID: c.PubMemberID,
		PubSubs: []string{}, Payout: c.Payout, Currency: c.Currency, Amount: c.Amount, CreatedAt: c.CreatedAt,
		UserCompletedAt: c.UserCompletedAt, ReleaseAt: c.ReleaseAt, DecidedAt: c.DecidedAt, SequenceNumber: c.SequenceNumber,
		IsTest: c.IsTest,
	}
}

// addSubs fills in what the partner's own links said.
func addSubs(ctx context.Context, tx pgx.Tx, conversions []PartnerConversion) error {
	ids := make([]uuid.UUID, len(conversions))
	for i := range conversions {
		ids[i] = conversions[i].ClickID
	}
	byClick, err := subsOf(ctx, tx, ids)
	for i := range conversions {
		click := byClick[conversions[i].ClickID]
		conversions[i].PubClickID, conversions[i].PubSubs = click.PubClickID, append([]string{}, click.PubSubs...)
	}
	return err
}

// partnerHistories are the partner's conversions that a condition on $3 finds, with their steps.
func partnerHistories(ctx context.Context, tx pgx.Tx, condition string, id uuid.UUID) ([]partnerConversionHistory, error) {
	p := principal(ctx)
	rows, err := tx.Query(ctx, "SELECT "+conversionListing.columns+" FROM "+conversionListing.from+" WHERE "+partnerConversions+
		" AND "+condition+" ORDER BY c.received_at, c.id", p.TenantID, *p.PartnerID, id)
	if err != nil {
		return nil, err
	}
	views, err := pgx.CollectRows(rows, scanConversion)
	if err != nil {
		return nil, err
	}
	conversions, err := showPartnerConversions(ctx, tx, views)
	if err != nil {
		return nil, err
	}
	histories := make([]partnerConversionHistory, len(conversions))
	for i, c := range conversions {
		steps, err := dbgen.New().TransitionsOfConversion(ctx, tx, p.TenantID, c.ID)
		if err != nil {
			return nil, err
		}
		histories[i] = partnerConversionHistory{PartnerConversion: c, History: make([]partnerTransition, len(steps))}
		for j, t := range steps {
			histories[i].History[j] = partnerTransition{
				Sequence: t.Sequence, From: t.FromStatus, To: t.ToStatus, Reason: toPartners(domain.Reason(t.Reason)), At: t.At.UTC(),
			}
		}
	}
	return histories, nil
}

type partnerConversionOutput struct{ Body partnerConversionHistory }

func (s *Server) getConversionForPartner(ctx context.Context, in *ByID) (*partnerConversionOutput, error) {
	out := &partnerConversionOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		found, err := partnerHistories(ctx, tx, "c.id = $3", in.ID)
		if err == nil && len(found) == 0 {
			err = problem.NotFound()
		}
		if err == nil {
			out.Body = found[0]
		}
		return err
	})
}

// partnerClick is a click as its partner sees it: what its link said, and where it stands.
type partnerClick struct {
	ID            uuid.UUID      `json:"id"`
	ClickedAt     time.Time      `json:"clickedAt"`
	LinkID        *uuid.UUID     `json:"linkId"`
	OfferID       uuid.UUID      `json:"offerId"`
	CreativeOrder *int32         `json:"creativeOrder"`
	PubMemberID   *string        `json:"pubMemberId"`
	PubClickID    string         `json:"pubClickId"`
	PubSessionID  string         `json:"pubSessionId"`
	PubGender     string         `json:"pubGender"`
	PubAge        string         `json:"pubAge"`
	PubGeoCountry string         `json:"pubGeoCountry"`
	PubGeoState   string         `json:"pubGeoState"`
	PubPostalCode string         `json:"pubPostalCode"`
	PubDevice     string         `json:"pubDevice"`
	PubSubs       []string       `json:"pubSubs" doc:"pub_sub_1, pub_sub_2 and so on."`
	Country       string         `json:"country"`
	Device        string         `json:"device"`
	OS            string         `json:"os"`
	Browser       string         `json:"browser"`
	IsRefused     bool           `json:"isRefused" doc:"Whether the click cannot convert."`
	RefusedReason *domain.Reason `json:"refusedReason" doc:"null if the reason is not disclosed."`
	IsTest        bool           `json:"isTest"`
	SessionEndsAt time.Time      `json:"sessionEndsAt"`
}

type partnerTrace struct {
	Click       partnerClick               `json:"click"`
	Conversions []partnerConversionHistory `json:"conversions"`
}

type partnerTraceOutput struct{ Body partnerTrace }

func (s *Server) traceClickForPartner(ctx context.Context, in *ByID) (*partnerTraceOutput, error) {
	out := &partnerTraceOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		p := principal(ctx)
		row, err := dbgen.New().GetClick(ctx, tx, p.TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		if row.PartnerID == nil || *row.PartnerID != *p.PartnerID {
			return problem.NotFound()
		}
		out.Body.Click = partnerClickOf(clickOf(&row))
		out.Body.Conversions, err = partnerHistories(ctx, tx, "c.click_id = $3", in.ID)
		return err
	})
}

func partnerClickOf(c clickView) partnerClick {
	return partnerClick{
		ID: c.ID, ClickedAt: c.ClickedAt, LinkID: c.LinkID, OfferID: c.OfferID, CreativeOrder: c.CreativeOrder,
		PubMemberID: c.PubMemberID, PubClickID: c.PubClickID, PubSessionID: c.PubSessionID, PubGender: c.PubGender,
		PubAge: c.PubAge, PubGeoCountry: c.PubGeoCountry, PubGeoState: c.PubGeoState, PubPostalCode: c.PubPostalCode,
		PubDevice: c.PubDevice, PubSubs: c.PubSubs, Country: c.Country, Device: c.Device, OS: c.OS, Browser: c.Browser,
		IsRefused: c.RefusedReason != domain.ReasonNone, RefusedReason: toPartners(c.RefusedReason), IsTest: c.IsTest,
		SessionEndsAt: c.SessionEndsAt,
	}
}
