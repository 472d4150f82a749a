package api

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// anyAdvertiser stands in a preset's postback URL until an offer tells whose it is.
const anyAdvertiser = "{advertiserKey}"

type trackingSystemInput struct {
	Name    string    `path:"name" doc:"One of lookups/trackingSystems, in any case."`
	OfferID uuid.UUID `query:"offerId" format:"uuid" doc:"Fills in the offer's link, its advertiser's address and its events."`
}

type trackingSystemOutput struct{ Body trackingSystemDocument }

// trackingSystemDocument is a preset as whoever sets a provider up needs it.
type trackingSystemDocument struct {
	Name           string              `json:"name"`
	ClickParameter string              `json:"clickParameter" doc:"The parameter of the provider's links that carries the click id."`
	TrackingLink   string              `json:"trackingLink" doc:"A destination as an offer takes it: the offer's own with the click id in its place, or an example; what is to be replaced is in capitals."`
	PostbackURL    string              `json:"postbackUrl" doc:"To copy into the provider's console, with the advertiser's key where the token may see it, its own macros in their places. Not escaped: macros are as the provider wants them."`
	Method         string              `json:"method"`
	Parameters     []trackingParameter `json:"parameters" doc:"Our parameters, and the provider's macros that fill them."`
	PerEvent       bool                `json:"perEvent" doc:"Whether the provider takes a URL for each event; else its macro names the event, and must give the event's eventId."`
	Certainty      domain.Certainty    `json:"certainty" enum:"documented,reported,unconfirmed" doc:"How the names are known: from the provider's documentation, from others', or not for sure."`
	Notes          string              `json:"notes"`
	Rejections     *rejectionPostback  `json:"rejections,omitempty" doc:"How the provider posts what it has rejected, as fraud for instance; left out where that is not known of it."`
	RedirectLink   string              `json:"redirectLink,omitempty" doc:"The offer's own link, which members click."`
	Events         []trackingEvent     `json:"events,omitempty" doc:"The offer's events, with the URL for each."`
}

// rejectionPostback maps a provider's reject reasons onto a verdict (rule 77).
type rejectionPostback struct {
	PostbackURL string           `json:"postbackUrl" doc:"To set where the provider posts what it rejects: whatever its reason, the conversion is rejected or taken back."`
	ReasonMacro string           `json:"reasonMacro,omitempty" doc:"The provider's macro of its reason, which is kept in cnv_sub_5."`
	Certainty   domain.Certainty `json:"certainty" enum:"documented,reported,unconfirmed" doc:"How this is known."`
}

type trackingParameter struct {
	Name  string `json:"name"`
	Macro string `json:"macro"`
}

type trackingEvent struct {
	ID           uuid.UUID `json:"id"`
	EventID      string    `json:"eventId"`
	Name         string    `json:"name"`
	PostbackURL  string    `json:"postbackUrl"`
	RejectionURL string    `json:"rejectionPostbackUrl,omitempty" doc:"For what the provider rejects of this event."`
}

// getTrackingSystem shows an attribution provider's preset, filled in for an offer when one is named.
func (s *Server) getTrackingSystem(ctx context.Context, in *trackingSystemInput) (*trackingSystemOutput, error) {
	system, ok := domain.TrackingSystemByName(in.Name)
	if !ok {
		return nil, notFound()
	}
	out := &trackingSystemOutput{Body: trackingSystemDocument{
		Name: system.Name, ClickParameter: system.ClickParameter, TrackingLink: system.TrackingLink(""), Method: get,
		PostbackURL: system.PostbackURL(s.postbackURL(anyAdvertiser), "", false), Parameters: []trackingParameter{},
		PerEvent: system.PerEvent, Certainty: system.Certainty, Notes: system.Advice(),
	}}
	for _, m := range system.Macros {
		out.Body.Parameters = append(out.Body.Parameters, trackingParameter{m.Parameter, m.Macro})
	}
	if system.Rejection != nil {
		out.Body.Rejections = &rejectionPostback{
			PostbackURL: system.RejectionURL(s.postbackURL(anyAdvertiser), "", false), ReasonMacro: system.Rejection.ReasonMacro, Certainty: system.Rejection.Certainty,
		}
	}
	if in.OfferID == uuid.Nil {
		return out, nil
	}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return s.fillPreset(ctx, tx, &out.Body, system, in.OfferID)
	})
}

// fillPreset fills in an offer. Its advertiser may be another tenant's, who sends the postbacks then
// and is not shown (rule 59).
func (s *Server) fillPreset(ctx context.Context, tx pgx.Tx, doc *trackingSystemDocument, system domain.TrackingSystem, offerID uuid.UUID) error {
	tenantID, queries := principal(ctx).TenantID, dbgen.New()
	offer, err := currentOffer(ctx, tx, offerID)
	var problem *Problem
	if errors.As(err, &problem) {
		return badField("offerId", "there is no such offer")
	}
	if err != nil {
		return err
	}
	address, withToken := s.postbackURL(anyAdvertiser), false
	advertiser, err := queries.GetAdvertiser(ctx, tx, tenantID, offer.AdvertiserID)
	switch {
	case err == nil && advertiser.ExchangeTenantID == nil:
		withToken = advertiser.SecurityTokenHash != nil
		if url := s.postbackURLOf(&advertiser); url != "" && seesKeys(ctx) {
			address = url
		}
	case err != nil && !errors.Is(err, pgx.ErrNoRows):
		return err
	}
	link, err := queries.ShownLink(ctx, tx, tenantID, offerID)
	switch {
	case err == nil:
		doc.RedirectLink = s.linkURL(link)
	case !errors.Is(err, pgx.ErrNoRows):
		return err
	}
	doc.TrackingLink = system.TrackingLink(offer.TrackingSystemLink)
	doc.PostbackURL = system.PostbackURL(address, "", withToken)
	if doc.Rejections != nil {
		doc.Rejections.PostbackURL = system.RejectionURL(address, "", withToken)
	}
	if offer.OfferType == domain.OfferTypeSingleEvent {
		return nil
	}
	for i := range offer.Events {
		event := &offer.Events[i]
		if event.Status == domain.GoalStatusDeleted {
			continue
		}
		shown := trackingEvent{
			ID: event.ID, EventID: event.EventID, Name: event.Name,
			PostbackURL: doc.PostbackURL, RejectionURL: system.RejectionURL(address, "", withToken),
		}
		if system.PerEvent {
			shown.PostbackURL = system.PostbackURL(address, event.EventID, withToken)
			shown.RejectionURL = system.RejectionURL(address, event.EventID, withToken)
		}
		doc.Events = append(doc.Events, shown)
	}
	return nil
}
