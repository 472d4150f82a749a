package api

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// anyAdvertiser stands in a preset's postback URL until an offer tells whose it is.
const anyAdvertiser = "{advertiserKey}"

type trackingSystemInput struct {
	Name    string    `path:"name" doc:"One of lookups/trackingSystems, not case-sensitive."`
	OfferID uuid.UUID `query:"offerId" format:"uuid" doc:"Fills in this offer's link, its advertiser's address and its events."`
}

type trackingSystemOutput struct{ Body trackingSystemDocument }

// trackingSystemDocument is a preset as whoever sets a provider up needs it.
type trackingSystemDocument struct {
	Name           string              `json:"name"`
	ClickParameter string              `json:"clickParameter" doc:"The parameter of the provider's links that carries the click id."`
	TrackingLink   string              `json:"trackingLink" doc:"A destination for trackingSystemLink: the offer's own with the click id inserted, or an example with the parts to replace in capitals."`
	PostbackURL    string              `json:"postbackUrl" doc:"URL to copy into the provider's console, with the provider's macros, and the advertiser's key if the token may see it. Not escaped, since macros are as the provider expects them."`
	InstallURL     string              `json:"installPostbackUrl,omitempty" doc:"The URL for installs, if the provider's macro does not give their event name; omitted if it does, or if the offer has no install event."`
	Method         string              `json:"method"`
	Parameters     []trackingParameter `json:"parameters" doc:"Our parameters and the provider's macros for them."`
	PerEvent       bool                `json:"perEvent" doc:"Whether the provider has a URL for each event; if not, its macro must give the event's eventId."`
	Certainty      domain.Certainty    `json:"certainty" enum:"documented,reported,unconfirmed" doc:"How the names are known: from the provider's documentation, from third parties, or unconfirmed."`
	Notes          string              `json:"notes"`
	Rejections     *rejectionPostback  `json:"rejections,omitempty" doc:"How the provider posts its rejections, for example of fraud; omitted if unknown."`
	RedirectLink   string              `json:"redirectLink,omitempty" doc:"The offer's own tracking link for members."`
	Events         []trackingEvent     `json:"events,omitempty" doc:"The offer's events, each with its URL."`
}

// rejectionPostback maps a provider's reject reasons onto a verdict (rule 77).
type rejectionPostback struct {
	InstallURL  string           `json:"installPostbackUrl,omitempty" doc:"The URL for installs, if the provider's macro does not give their event name."`
	PostbackURL string           `json:"postbackUrl" doc:"The provider's URL for rejections: whatever the reason, the conversion is rejected or reversed."`
	ReasonMacro string           `json:"reasonMacro,omitempty" doc:"The provider's macro for its reason, which is stored in cnv_sub_5."`
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
	RejectionURL string    `json:"rejectionPostbackUrl,omitempty" doc:"The URL for rejections of this event."`
}

// getTrackingSystem shows an attribution provider's preset, filled in for an offer when one is named.
func (s *Server) getTrackingSystem(ctx context.Context, in *trackingSystemInput) (*trackingSystemOutput, error) {
	system, ok := domain.TrackingSystemByName(in.Name)
	if !ok {
		return nil, problem.NotFound()
	}
	out := &trackingSystemOutput{Body: trackingSystemDocument{
		Name: system.Name, ClickParameter: system.ClickParameter, TrackingLink: system.TrackingLink(""), Method: get,
		PerEvent: system.PerEvent, Certainty: system.Certainty, Notes: system.Advice(),
	}}
	out.Body.fillURLs(system, domain.PostbackForm{Address: s.postbackURL(anyAdvertiser)}, domain.InstallEventID)
	if in.OfferID == uuid.Nil {
		return out, nil
	}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return s.fillPreset(ctx, tx, &out.Body, system, in.OfferID)
	})
}

// fillURLs fills in what is copied into the provider's console. install is the install's event id, "" where the
// offer has none.
func (d *trackingSystemDocument) fillURLs(system domain.TrackingSystem, form domain.PostbackForm, install string) {
	d.PostbackURL, d.InstallURL, d.Parameters = system.PostbackURL(form), "", []trackingParameter{}
	for _, m := range system.MacrosFor(form) {
		d.Parameters = append(d.Parameters, trackingParameter{m.Parameter, m.Macro})
	}
	if system.Rejection != nil {
		d.Rejections = &rejectionPostback{
			PostbackURL: system.RejectionURL(form), ReasonMacro: system.Rejection.ReasonMacro, Certainty: system.Rejection.Certainty,
		}
	}
	if system.Installs != "" && install != "" {
		form.EventID = install
		d.InstallURL = system.PostbackURL(form)
		if d.Rejections != nil {
			d.Rejections.InstallURL = system.RejectionURL(form)
		}
	}
}

// fillPreset fills in an offer. Its advertiser may be another tenant's, who sends the postbacks then
// and is not shown (rule 59).
func (s *Server) fillPreset(ctx context.Context, tx pgx.Tx, doc *trackingSystemDocument, system domain.TrackingSystem, offerID uuid.UUID) error {
	tenantID, queries := principal(ctx).TenantID, dbgen.New()
	offer, err := currentOffer(ctx, tx, offerID)
	var refused *problem.Problem
	if errors.As(err, &refused) {
		return problem.BadField("offerId", "no offer has this id")
	}
	if err != nil {
		return err
	}
	form := domain.PostbackForm{Address: s.postbackURL(anyAdvertiser), WithoutMoney: offer.ConversionType == domain.ConversionTypeFlatRate}
	advertiser, err := queries.GetAdvertiser(ctx, tx, tenantID, offer.AdvertiserID)
	switch {
	case err == nil && advertiser.ExchangeTenantID == nil:
		form.WithToken = advertiser.SecurityTokenHash != nil
		if advertiser.SigningSecretSealed != nil {
			doc.Notes = "The postbacks of this advertiser must be signed, which " + system.Name +
				" cannot do: they will be refused. Remove the signing secret and use a token or an IP allowlist. " + doc.Notes
		}
		if url := s.postbackURLOf(&advertiser); url != "" && seesKeys(ctx) {
			form.Address = url
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
	if offer.OfferType == domain.OfferTypeSingleEvent {
		doc.fillURLs(system, form, domain.InstallEventID)
		return nil
	}
	install := ""
	for i := range offer.Events {
		event, form := &offer.Events[i], form
		if event.Status == domain.GoalStatusDeleted {
			continue
		}
		if event.IsInstall() && install == "" {
			install = event.EventID
		}
		if system.NamesEvent(event) {
			form.EventID = event.EventID
		}
		doc.Events = append(doc.Events, trackingEvent{
			ID: event.ID, EventID: event.EventID, Name: event.Name, PostbackURL: system.PostbackURL(form), RejectionURL: system.RejectionURL(form),
		})
	}
	doc.fillURLs(system, form, install)
	return nil
}
