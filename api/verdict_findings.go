package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/domain"
)

// verdictFinding is an advertiser's verdict that was not believed, about a conversion that is or was
// live (rule 77). It changed nothing.
type verdictFinding struct {
	PostbackID    uuid.UUID     `json:"postbackId"`
	ConversionID  uuid.UUID     `json:"conversionId"`
	ClickID       uuid.UUID     `json:"clickId"`
	OfferID       uuid.UUID     `json:"offerId"`
	At            time.Time     `json:"at" doc:"When the postback was received."`
	Said          string        `json:"said" doc:"The status as sent."`
	Authenticated bool          `json:"authenticated" doc:"Whether the sender passed the advertiser's security. If true, the status is unknown, or several conversions match."`
	Status        domain.Status `json:"status" enum:"Pending,Success,Rejected" doc:"The conversion's current status."`
}

var verdictFindingListing = listing[verdictFinding]{
	from:    "verdict_findings f JOIN conversions c ON c.tenant_id = f.tenant_id AND c.id = f.conversion_id",
	columns: "f.postback_id, f.conversion_id, c.click_id, c.offer_id, f.at, f.said, f.authenticated, c.status",
	where:   "f.tenant_id = current_tenant()",
	fields: map[string]listField{
		"postbackId": {column: "f.postback_id", kind: fieldUUID}, "conversionId": {column: "f.conversion_id", kind: fieldUUID, unordered: true},
		"clickId": {column: "c.click_id", kind: fieldUUID, unordered: true}, "offerId": {column: "c.offer_id", kind: fieldUUID, unordered: true},
		"at": {column: "f.at", kind: fieldTime}, "from": {column: "f.at", kind: fieldFrom, unordered: true}, "to": {column: "f.at", kind: fieldTo, unordered: true},
		"authenticated": {column: "f.authenticated", kind: fieldBool, unordered: true}, "status": {column: "c.status", unordered: true},
	},
	order: "at", id: "f.postback_id",
	scan: func(row pgx.CollectableRow) (f verdictFinding, err error) {
		err = row.Scan(&f.PostbackID, &f.ConversionID, &f.ClickID, &f.OfferID, &f.At, &f.Said, &f.Authenticated, &f.Status)
		return f, err
	},
}

func (s *Server) listVerdictFindings(ctx context.Context, in *ListInput) (*pageOutput[verdictFinding], error) {
	return listIn(ctx, s, verdictFindingListing, *in)
}
