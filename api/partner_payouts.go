package api

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// The statuses of a custom payout.
const (
	payoutActive  = "active"
	payoutDeleted = "deleted"
)

// PayoutTerms are one version of a custom payout: what counts from its start until the next one's.
type PayoutTerms struct {
	Version int64  `json:"version"`
	Status  string `json:"status" enum:"active,deleted" doc:"deleted: from its start the partner gets the general payout."`
	FigureBody
	StartsAt time.Time `json:"startsAt" doc:"Applies to postbacks received from this time on; never in the past (rule 68)."`
}

// PartnerPayoutDocument is what one partner gets for one event, in its newest version.
type PartnerPayoutDocument struct {
	ID        uuid.UUID `json:"id"`
	PartnerID uuid.UUID `json:"partnerId"`
	OfferID   uuid.UUID `json:"offerId"`
	EventID   uuid.UUID `json:"eventId" doc:"Our id of the event."`
	PayoutTerms
	CreatedAt time.Time `json:"createdAt" doc:"When this version was created."`
	CreatedBy string    `json:"createdBy"`
}

// partnerPayoutHistory is a custom payout with every version, newest first.
type partnerPayoutHistory struct {
	PartnerPayoutDocument
	Versions []payoutVersion `json:"versions"`
}

type payoutVersion struct {
	PayoutTerms
	CreatedAt time.Time `json:"createdAt"`
	CreatedBy string    `json:"createdBy"`
}

type partnerPayoutOutput struct{ Body partnerPayoutHistory }

type partnerPayoutBody struct {
	PartnerID Optional[uuid.UUID] `json:"partnerId,omitempty" doc:"Required on creation; cannot be changed."`
	OfferID   Optional[uuid.UUID] `json:"offerId,omitempty" doc:"Required on creation; cannot be changed."`
	EventID   Optional[uuid.UUID] `json:"eventId,omitempty" doc:"Our id of one of the offer's events; default: its default goal. Cannot be changed."`
	Flat      Optional[Decimal]   `json:"flat,omitempty" doc:"In the tenant's currency; null means none."`
	Percent   Optional[Decimal]   `json:"percent,omitempty" doc:"Percent of the sale; null means none."`
	StartsAt  Optional[time.Time] `json:"startsAt,omitempty" doc:"Never in the past; default: now."`
	Status    Optional[string]    `json:"status,omitempty" enum:"active,deleted"`

	ShownOnly
	Version   any `json:"version,omitempty" readOnly:"true"`
	Versions  any `json:"versions,omitempty" readOnly:"true"`
	CreatedBy any `json:"createdBy,omitempty" readOnly:"true"`
}

type createPartnerPayoutInput struct{ Body partnerPayoutBody }

type updatePartnerPayoutInput struct {
	ByID
	Body partnerPayoutBody
}

func (s *Server) createPartnerPayout(ctx context.Context, in *createPartnerPayoutInput) (*partnerPayoutOutput, error) {
	out := &partnerPayoutOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		at := s.now()
		row := dbgen.PartnerPayout{TenantID: principal(ctx).TenantID, ID: newID(), Version: 1}
		if err := namePartnerPayout(ctx, tx, &row, in.Body); err != nil {
			return err
		}
		if err := changePartnerPayout(&row, in.Body, at); err != nil {
			return err
		}
		if err := insertPartnerPayout(ctx, tx, &row, principal(ctx).Actor, at); err != nil {
			return err
		}
		out.Body = partnerPayoutOf([]dbgen.PartnerPayout{row})
		return s.audit(ctx, tx, "create", "partner payout", row.ID.String(), nil, out.Body.PartnerPayoutDocument)
	})
	if db.UniqueViolation(err) != "" {
		return nil, problem.Conflict("This partner already has a custom payout for this event: change that one.")
	}
	return out, err
}

func (s *Server) getPartnerPayout(ctx context.Context, in *ByID) (*partnerPayoutOutput, error) {
	out := &partnerPayoutOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := partnerPayoutVersions(ctx, tx, in.ID)
		if err == nil {
			out.Body = partnerPayoutOf(rows)
		}
		return err
	})
}

// updatePartnerPayout adds a version, unless nothing changes: the earlier ones stay, for what was
// received in their time (rule 68).
func (s *Server) updatePartnerPayout(ctx context.Context, in *updatePartnerPayoutInput) (*partnerPayoutOutput, error) {
	out := &partnerPayoutOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := partnerPayoutVersions(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		before := partnerPayoutOf(rows)
		row, at := rows[0], s.now()
		if err := stays(row, in.Body); err != nil {
			return err
		}
		if err := changePartnerPayout(&row, in.Body, at); err != nil {
			return err
		}
		if samePayout(row, rows[0]) {
			out.Body = before
			return nil
		}
		if err := refusePrivate(ctx, tx, row); err != nil {
			return err
		}
		row.Version++
		if err := insertPartnerPayout(ctx, tx, &row, principal(ctx).Actor, at); err != nil {
			return err
		}
		out.Body = partnerPayoutOf(append([]dbgen.PartnerPayout{row}, rows...))
		return s.audit(ctx, tx, "update", "partner payout", row.ID.String(), before.PartnerPayoutDocument, out.Body.PartnerPayoutDocument)
	})
	if db.UniqueViolation(err) != "" {
		return nil, problem.Conflict("Another request changed the custom payout at the same time. Read it again.")
	}
	return out, err
}

func partnerPayoutVersions(ctx context.Context, tx pgx.Tx, id uuid.UUID) ([]dbgen.PartnerPayout, error) {
	rows, err := dbgen.New().PartnerPayoutVersions(ctx, tx, principal(ctx).TenantID, id)
	if err == nil && len(rows) == 0 {
		err = problem.NotFound()
	}
	return rows, err
}

// namePartnerPayout finds the partner and the event that a new custom payout is for.
func namePartnerPayout(ctx context.Context, tx pgx.Tx, row *dbgen.PartnerPayout, body partnerPayoutBody) error {
	var c checks
	lookups := &offerLookups{ctx: ctx, tx: tx, tenantID: row.TenantID}
	if row.PartnerID = body.PartnerID.or(uuid.Nil); row.PartnerID == uuid.Nil {
		c.add("partnerId", "is required")
	} else if !lookups.exists(dbgen.New().OfferPartnerExists)(row.PartnerID) {
		c.add("partnerId", "no partner has this id")
	}
	if row.OfferID = body.OfferID.or(uuid.Nil); row.OfferID == uuid.Nil {
		c.add("offerId", "is required")
		return c.err()
	}
	offer, err := offerNamed(ctx, tx, row.OfferID)
	if err = errors.Join(lookups.err, err); err != nil {
		return err
	}
	if offer == nil {
		c.add("offerId", "no offer has this id")
		return c.err()
	}
	if err := mayPay(ctx, tx, row.OfferID); err != nil {
		return err
	}
	event := offer.DefaultEvent()
	if id := body.EventID.or(uuid.Nil); id != uuid.Nil {
		event = offer.EventByID(id)
	}
	switch {
	case event == nil:
		c.add("eventId", "the offer has no such event")
	case event.IsPrivate:
		c.add("eventId", "is a private goal, which pays nothing (rule 39)")
	default:
		row.EventID = event.ID
	}
	return c.err()
}

// mayPay refuses the advertiser's side of a shared offer: what partners get is the publisher's to say,
// whose partners send the members (rule 57).
func mayPay(ctx context.Context, tx pgx.Tx, offerID uuid.UUID) error {
	side, err := dbgen.New().OfferSide(ctx, tx, principal(ctx).TenantID, offerID)
	if err == nil && side == domain.SideAdvertiser {
		err = problem.Forbidden("This is a shared offer: only the publisher sets payouts for it, since the publisher's partners send the members. Use the source offer for payouts of this tenant.",
			domain.FieldError{Field: "offerId", Reason: "is a shared offer whose payouts belong to the publisher"})
	}
	return err
}

// offerNamed is the current version of an offer that a body names; nil when there is none. It stays
// current until the commit: an edit that makes a goal private ends every custom payout for it.
func offerNamed(ctx context.Context, tx pgx.Tx, id uuid.UUID) (*domain.Offer, error) {
	offer, err := lockOffer(ctx, tx, id)
	var problem *problem.Problem
	if errors.As(err, &problem) {
		return nil, nil //nolint:nilnil // a missing offer is the caller's to name
	}
	return offer, err
}

// stays refuses to make a custom payout another partner's or event's.
func stays(row dbgen.PartnerPayout, body partnerPayoutBody) error {
	var c checks
	for _, one := range []struct {
		field string
		is    uuid.UUID
		given Optional[uuid.UUID]
	}{{"partnerId", row.PartnerID, body.PartnerID}, {"offerId", row.OfferID, body.OfferID}, {"eventId", row.EventID, body.EventID}} {
		if one.given.or(one.is) != one.is {
			c.add(one.field, "cannot be changed: create another custom payout")
		}
	}
	return c.err()
}

// refusePrivate refuses a new version for a goal that has become private, unless it ends there.
func refusePrivate(ctx context.Context, tx pgx.Tx, row dbgen.PartnerPayout) error {
	offer, err := offerNamed(ctx, tx, row.OfferID)
	if err != nil || offer == nil {
		return err
	}
	if event := offer.EventByID(row.EventID); event != nil && event.IsPrivate && !row.IsDeleted {
		return problem.BadField("eventId", "is a private goal, which pays nothing (rule 39)")
	}
	return nil
}

// clockSkew is how far behind ours a client's clock may be before its "now" is the past.
const clockSkew = time.Minute

// changePartnerPayout applies a body to the newest version.
func changePartnerPayout(row *dbgen.PartnerPayout, body partnerPayoutBody, at time.Time) error {
	var c checks
	if body.Flat.given {
		row.FlatMicros = c.decimal("flat", body.Flat.value)
	}
	if body.Percent.given {
		row.PercentMicros = c.decimal("percent", body.Percent.value)
	}
	row.IsDeleted = body.Status.or(payoutStatus(*row)) == payoutDeleted
	if start := body.StartsAt.value; start != nil && !start.Equal(row.StartsAt) {
		row.StartsAt = start.UTC().Truncate(time.Microsecond)
		if row.StartsAt.Before(at.Add(-clockSkew)) {
			c.add("startsAt", "must not be in the past (rule 68)")
		}
	}
	if figure := (domain.Figure{Flat: row.FlatMicros, Percent: row.PercentMicros}); !row.IsDeleted && len(c.errs) == 0 {
		c.errs = append(c.errs, figure.Check("")...)
	}
	return c.err()
}

// insertPartnerPayout writes a version. A start that has gone by is now: no change reaches back
// (rule 68).
func insertPartnerPayout(ctx context.Context, tx pgx.Tx, row *dbgen.PartnerPayout, by string, at time.Time) error {
	row.CreatedBy, row.CreatedAt = by, at
	if row.StartsAt.Before(at) {
		row.StartsAt = at
	}
	return dbgen.New().InsertPartnerPayout(ctx, tx, dbgen.InsertPartnerPayoutParams(*row))
}

func samePayout(a, b dbgen.PartnerPayout) bool {
	return a.IsDeleted == b.IsDeleted && a.StartsAt.Equal(b.StartsAt) && sameMicros(a.FlatMicros, b.FlatMicros) &&
		sameMicros(a.PercentMicros, b.PercentMicros)
}

func sameMicros(a, b *domain.Micros) bool {
	return a == b || a != nil && b != nil && *a == *b
}

func payoutStatus(row dbgen.PartnerPayout) string {
	if row.IsDeleted {
		return payoutDeleted
	}
	return payoutActive
}

func payoutTermsOf(row dbgen.PartnerPayout) PayoutTerms {
	return PayoutTerms{
		Version: row.Version, Status: payoutStatus(row), StartsAt: row.StartsAt.UTC(),
		FigureBody: figureBodyOf(domain.Figure{Flat: row.FlatMicros, Percent: row.PercentMicros}),
	}
}

func partnerPayoutDocumentOf(row dbgen.PartnerPayout) PartnerPayoutDocument {
	return PartnerPayoutDocument{
		ID: row.ID, PartnerID: row.PartnerID, OfferID: row.OfferID, EventID: row.EventID, PayoutTerms: payoutTermsOf(row),
		CreatedAt: row.CreatedAt.UTC(), CreatedBy: row.CreatedBy,
	}
}

// partnerPayoutOf shows a custom payout from its versions, newest first.
func partnerPayoutOf(rows []dbgen.PartnerPayout) partnerPayoutHistory {
	history := partnerPayoutHistory{PartnerPayoutDocument: partnerPayoutDocumentOf(rows[0]), Versions: make([]payoutVersion, len(rows))}
	for i, row := range rows {
		history.Versions[i] = payoutVersion{PayoutTerms: payoutTermsOf(row), CreatedAt: row.CreatedAt.UTC(), CreatedBy: row.CreatedBy}
	}
	return history
}

const partnerPayoutColumns = "p.tenant_id, p.id, p.version, p.partner_id, p.offer_id, p.event_id, p.flat_micros, p.percent_micros, p.is_deleted, p.starts_at, p.created_at, p.created_by"

// newestPayout leaves one row of each of the tenant's custom payouts.
const newestPayout = `p.tenant_id = current_tenant()
  AND NOT EXISTS (SELECT 1 FROM partner_payouts n WHERE n.tenant_id = p.tenant_id AND n.id = p.id AND n.version = p.version + 1)`

var partnerPayoutListing = listing[PartnerPayoutDocument]{
	from: "partner_payouts p", columns: partnerPayoutColumns, where: newestPayout,
	fields: map[string]listField{
		"id": {column: "p.id", kind: fieldUUID}, "partnerId": {column: "p.partner_id", kind: fieldUUID},
		"offerId": {column: "p.offer_id", kind: fieldUUID}, fieldEventID: {column: "p.event_id", kind: fieldUUID},
		"startsAt": {column: "p.starts_at", kind: fieldTime}, "createdAt": {column: "p.created_at", kind: fieldTime},
		"status": {column: "CASE WHEN p.is_deleted THEN 'deleted' ELSE 'active' END"},
	},
	order: "id", id: "p.id",
	scan: func(row pgx.CollectableRow) (PartnerPayoutDocument, error) {
		payout, err := pgx.RowToStructByPos[dbgen.PartnerPayout](row)
		return partnerPayoutDocumentOf(payout), err
	},
}

func (s *Server) listPartnerPayouts(ctx context.Context, in *ListInput) (*pageOutput[PartnerPayoutDocument], error) {
	return listIn(ctx, s, partnerPayoutListing, *in)
}

// endCustomPayouts ends the custom payouts of goals that become private: they pay nothing, and
// nothing comes back when they are opened again (rule 39). Of a shared offer those of the publisher end,
// whose partners they are for, whichever side makes the goal private.
func (s *Server) endCustomPayouts(ctx context.Context, tx pgx.Tx, before, after *domain.Offer, share *activities.Share) error {
	var closed []uuid.UUID
	for i := range after.Events {
		event := &after.Events[i]
		if was := before.EventByID(event.ID); event.IsPrivate && was != nil && !was.IsPrivate {
			closed = append(closed, event.ID)
		}
	}
	if len(closed) == 0 {
		return nil
	}
	p := principal(ctx)
	if share == nil || share.Side == domain.SidePublisher {
		return s.endPayoutsOf(ctx, tx, p.TenantID, p.Actor, closed)
	}
	by, err := actorInWords(ctx, tx)
	if err != nil {
		return err
	}
	return db.As(ctx, tx, share.PublisherTenantID, func() error {
		return s.endPayoutsOf(ctx, tx, share.PublisherTenantID, share.By(by), closed)
	})
}

func (s *Server) endPayoutsOf(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, by string, events []uuid.UUID) error {
	rows, err := dbgen.New().PartnerPayoutsOfEvents(ctx, tx, tenantID, events)
	if err != nil {
		return err
	}
	for _, row := range rows {
		was, at := row, s.now()
		if row.IsDeleted && !row.StartsAt.After(at) { // one that ends later ends now
			continue
		}
		row.IsDeleted, row.StartsAt = true, at
		row.Version++
		if err := insertPartnerPayout(ctx, tx, &row, by, at); err != nil {
			return err
		}
		err := s.auditBy(ctx, tx, tenantID, by, "update", "partner payout", row.ID.String(), partnerPayoutDocumentOf(was), partnerPayoutDocumentOf(row))
		if err != nil {
			return err
		}
	}
	return nil
}
