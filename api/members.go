package api

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// MemberPath is a member's id in a path: any text of the publisher's, percent-encoded, slashes too.
type MemberPath struct {
	Member string `path:"pub_member_id" minLength:"1" doc:"The publisher's id of the member, percent-encoded."`
}

// memberSegment is where the id stands in /api/v1/members/{pub_member_id}/…
const memberSegment = 4

// Resolve satisfies huma.Resolver. It reads the id from the address itself: the router decodes
// paths like queries, where a plus is a space.
func (in *MemberPath) Resolve(ctx huma.Context) []error {
	address := ctx.URL()
	segments := strings.Split(address.EscapedPath(), "/")
	if len(segments) <= memberSegment {
		return nil
	}
	member, err := url.PathUnescape(segments[memberSegment])
	if err != nil {
		return []error{&huma.ErrorDetail{Location: "path.pub_member_id", Message: "is not percent-encoded"}}
	}
	in.Member = domain.StoredText(member)
	return nil
}

type memberInput struct{ MemberPath }

type memberListInput struct {
	MemberPath
	ListInput
}

// Resolve satisfies huma.Resolver for both parts.
func (in *memberListInput) Resolve(ctx huma.Context) []error {
	return append(in.MemberPath.Resolve(ctx), in.ListInput.Resolve(ctx)...)
}

type memberBalance struct {
	Points        Decimal `json:"points" doc:"Credited points less reversals."`
	PendingPoints Decimal `json:"pendingPoints" doc:"Points of Pending conversions."`
}

type memberBalanceOutput struct{ Body memberBalance }

// memberBalance of a member that was never seen is zero: who exists is the publisher's to know.
func (s *Server) memberBalance(ctx context.Context, in *memberInput) (*memberBalanceOutput, error) {
	out := &memberBalanceOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().PointsOfMember(ctx, tx, principal(ctx).TenantID, in.Member)
		out.Body = memberBalance{Points: Decimal(row.Points), PendingPoints: Decimal(row.PendingPoints)}
		return err
	})
}

// memberEntry is one line of a member's account.
type memberEntry struct {
	ID           uuid.UUID `json:"id"`
	At           time.Time `json:"at"`
	Points       Decimal   `json:"points" doc:"Negative for a reversal."`
	ConversionID uuid.UUID `json:"conversionId"`
	Sequence     int64     `json:"sequence" doc:"The number of the conversion's transition that posted it."`
	OfferID      uuid.UUID `json:"offerId"`
	OfferName    string    `json:"offerName"`
	OfferEventID uuid.UUID `json:"offerEventId"`
	EventID      string    `json:"eventId"`
	EventName    string    `json:"eventName"`

	offerVersion int64
}

var memberLedgerListing = listing[memberEntry]{
	from: `ledger_entries e JOIN ledger_transactions t ON t.tenant_id = e.tenant_id AND t.id = e.transaction_id
  JOIN conversions c ON c.tenant_id = t.tenant_id AND c.id = t.conversion_id`,
	columns: "t.id, t.at, e.amount_micros, t.conversion_id, t.sequence, c.offer_id, c.offer_version, c.event_id",
	where:   "e.tenant_id = $1 AND e.account = 'member_points' AND e.party = $2",
	fields: map[string]listField{
		"id": {column: "e.transaction_id", kind: fieldUUID}, "at": {column: "t.at", kind: fieldTime}, "points": {column: "e.amount_micros", kind: fieldDecimal},
		"from": {column: "t.at", kind: fieldFrom, unordered: true}, "to": {column: "t.at", kind: fieldTo, unordered: true},
		"conversionId": {column: "t.conversion_id", kind: fieldUUID}, "offerId": {column: "c.offer_id", kind: fieldUUID},
	},
	order: "at", id: "e.transaction_id",
	scan: func(row pgx.CollectableRow) (e memberEntry, err error) {
		err = row.Scan(&e.ID, &e.At, &e.Points, &e.ConversionID, &e.Sequence, &e.OfferID, &e.offerVersion, &e.OfferEventID)
		e.At = e.At.UTC()
		return e, err
	},
}

func (s *Server) memberLedger(ctx context.Context, in *memberListInput) (*pageOutput[memberEntry], error) {
	out := &pageOutput[memberEntry]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if out.Body, err = list(ctx, tx, s.now(), memberLedgerListing, in.ListInput, principal(ctx).TenantID, in.Member); err != nil {
			return err
		}
		keys := make([]eventKey, len(out.Body.Items))
		for i, e := range out.Body.Items {
			keys[i] = eventKey{e.OfferID, e.offerVersion, e.OfferEventID}
		}
		names, err := loadEventNames(ctx, tx, keys)
		for i := range out.Body.Items {
			e, n := &out.Body.Items[i], names[keys[i]]
			e.OfferName, e.EventID, e.EventName = n.offer, n.eventID, n.event
		}
		return err
	})
}
