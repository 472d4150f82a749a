package delivery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// endpoint is where messages go: the tenant's callback endpoint, a partner's postback, or the mail server. All that
// is between the event and the request (queues, retries, breaker, log) knows no difference.
type endpoint dbgen.EndpointsRow

func (e *endpoint) isPartner() bool { return e.Kind == kindPartner }

func (e *endpoint) wants(event domain.StatusEvent) bool {
	if e.isPartner() {
		return domain.PartnerWantsEvent(e.Events, event)
	}
	return domain.WantsEvent(e.Events, event)
}

// closed says why nothing may be sent to it, or "".
func (e *endpoint) closed() string {
	switch {
	case e.Kind == kindEmail && e.Status != endpointActive:
		return errorNoMail
	case e.DisabledAt != nil:
		return errorDisabled
	case e.Status != endpointActive:
		return errorPaused
	default:
		return ""
	}
}

// endpointOf is where a delivery goes. That of a notice is the mail server.
func (d *Deliveries) endpointOf(ctx context.Context, tx pgx.Tx, row *dbgen.Delivery) (endpoint, error) {
	if row.Kind == kindEmail {
		return d.mailEndpoint(row.EndpointID), nil
	}
	return endpointByID(ctx, tx, row.TenantID, row.EndpointID)
}

func endpointByID(ctx context.Context, tx pgx.Tx, tenantID, id uuid.UUID) (endpoint, error) {
	rows, err := queries.Endpoints(ctx, tx, dbgen.EndpointsParams{TenantID: tenantID, ID: &id})
	if err == nil && len(rows) == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return endpoint{}, err
	}
	return endpoint(rows[0]), nil
}

// endpointsOf are all that hear of a conversion's event, in one look-up and one order: the callback
// endpoint, and the partner's global and event's postbacks, both (rule 54). Events of tests stay
// with the tenant.
func endpointsOf(ctx context.Context, tx pgx.Tx, event *stream.ConversionEvent) ([]endpoint, error) {
	var whose struct {
		PartnerID    *uuid.UUID `json:"partnerId"`
		OfferEventID *uuid.UUID `json:"offerEventId"`
	}
	if err := json.Unmarshal(event.Conversion, &whose); err != nil {
		return nil, err
	}
	if event.IsTest {
		whose.PartnerID = nil
	}
	rows, err := queries.Endpoints(ctx, tx, dbgen.EndpointsParams{
		TenantID: event.TenantID, PartnerID: whose.PartnerID, EventID: whose.OfferEventID,
	})
	endpoints := make([]endpoint, len(rows))
	for i, row := range rows {
		endpoints[i] = endpoint(row)
	}
	// Two events of one conversion lock their queues in the same order.
	slices.SortFunc(endpoints, func(a, b endpoint) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return endpoints, err
}

// PartnerMacros are what a partner's macros stand for in the event of a conversion, with the status
// that the event is of; nil where it has no partner. ok is false where partners may not hear of it (rules
// 54, 66, 69).
func PartnerMacros(ctx context.Context, tx pgx.Tx, tenantID, conversionID uuid.UUID, status domain.Status) (values map[string]string, ok bool, err error) {
	row, err := queries.PartnerNewsOf(ctx, tx, tenantID, conversionID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	c := &row.Conversion
	event := domain.PartnerConversion{
		ConversionID: c.ID, ClickID: c.ClickID, OfferID: c.OfferID, OfferName: row.OfferName, AdvertiserID: c.AdvertiserID,
		PubClickID: row.PubClickID, PubSubs: row.PubSubs, Source: row.Source, EventID: c.CnvEventID, Amount: c.CnvAmount,
		Payout: c.PayoutMicros, Currency: c.Currency, Status: status,
	}
	var offer domain.Offer
	if err := errors.Join(json.Unmarshal(row.Event, &event.Event), json.Unmarshal(row.OfferNow, &offer)); err != nil {
		return nil, false, err
	}
	if c.PartnerID == nil {
		return nil, false, nil
	}
	event.PartnerID, event.Event.ID = *c.PartnerID, c.EventID
	if c.PubMemberID != nil {
		event.PubMemberID = *c.PubMemberID
	}
	return event.Macros(), !domain.HiddenFromPartners(event.Event.IsPrivate, &offer, c.EventID, row.GoalsEnabled), nil
}
