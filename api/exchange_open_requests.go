package api

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/domain"
)

// ConversionRequest is what a publisher asks of the advertiser: embedded, so that it is in the OpenAPI document.
type ConversionRequest = conversionRequest

// reviewAsked is a request in the list of all: what was asked, and how the conversion stands.
type reviewAsked struct {
	ConversionRequest
	State           string        `json:"state" enum:"open,answered" doc:"open until the conversion changes."`
	Side            domain.Side   `json:"side" enum:"advertiser,publisher" doc:"This tenant's side: the advertiser reviews, the publisher requested."`
	OtherTenantName string        `json:"otherTenantName"`
	OfferID         uuid.UUID     `json:"offerId"`
	Status          domain.Status `json:"status" enum:"Pending,Success,Rejected" doc:"The conversion's current status."`
}

// A request says how far its conversion had come. In both books that number goes up with each transition, in
// the same steps (rule 58).
const requestState = "CASE WHEN r.sequence = c.sequence THEN 'open' ELSE 'answered' END"

var reviewAskedListing = listing[reviewAsked]{
	from: `(SELECT id, publisher_name AS other, 'advertiser' AS side FROM partnerships WHERE advertiser_tenant_id = $1
			UNION ALL SELECT id, advertiser_name, 'publisher' FROM partnerships WHERE publisher_tenant_id = $1) p
		JOIN conversion_requests r ON r.partnership_id = p.id
		JOIN conversions c ON c.tenant_id = $1 AND c.id = r.conversion_id`,
	columns: "r.id, r.partnership_id, r.conversion_id, r.action, r.reason, r.at, r.by, " + requestState + ", p.side, p.other, c.offer_id, c.status",
	fields: map[string]listField{
		"id": {column: "r.id", kind: fieldUUID}, "partnershipId": {column: "r.partnership_id", kind: fieldUUID},
		"conversionId": {column: "r.conversion_id", kind: fieldUUID}, "offerId": {column: "c.offer_id", kind: fieldUUID},
		"state": {column: requestState}, "side": {column: "p.side"}, "action": {column: "r.action"}, "status": {column: "c.status"},
		"at": {column: "r.at", kind: fieldTime}, "from": {column: "r.at", kind: fieldFrom, unordered: true}, "to": {column: "r.at", kind: fieldTo, unordered: true},
	},
	order: "id", id: "r.id",
	scan: func(row pgx.CollectableRow) (r reviewAsked, err error) {
		err = row.Scan(&r.ID, &r.PartnershipID, &r.ConversionID, &r.Action, &r.Reason, &r.At, &r.By, &r.State, &r.Side, &r.OtherTenantName,
			&r.OfferID, &r.Status)
		return r, err
	},
}

// listReviewsAsked shows what publishers asked of this tenant as an advertiser, and what it asked itself as a
// publisher, over all partnerships, the newest first.
func (s *Server) listReviewsAsked(ctx context.Context, in *ListInput) (*pageOutput[reviewAsked], error) {
	return listIn(ctx, s, reviewAskedListing, *in, principal(ctx).TenantID)
}
