package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/domain"
)

// advertiserOffer is an offer as its advertiser sees it: what it asked for and what it pays. Nothing of
// what the tenant pays on: no reward, no ratio, no payout; nothing of the wall: no EPC, no placements.
type advertiserOffer struct {
	ID                          uuid.UUID             `json:"id"`
	Version                     int64                 `json:"version"`
	Name                        string                `json:"name"`
	Status                      string                `json:"status" enum:"Active,Pending,Expired"`
	IsPaused                    bool                  `json:"isPaused"`
	Headline                    string                `json:"headline"`
	ShortDescription            string                `json:"shortDescription"`
	KeyPoints                   string                `json:"keyPoints"`
	OfferDetails                string                `json:"offerDetails"`
	TermsAndDisclaimers         string                `json:"termsAndDisclaimers"`
	Creatives                   []domain.Creative     `json:"creatives"`
	TrackingSystem              string                `json:"trackingSystem"`
	TrackingSystemLink          string                `json:"trackingSystemLink"`
	ShouldSendCostData          bool                  `json:"shouldSendCostData"`
	CostData                    []domain.CostDatum    `json:"costData"`
	AdvertiserCampaignName      string                `json:"advertiserCampaignName"`
	OfferType                   domain.OfferType      `json:"offerType"`
	ConversionType              domain.ConversionType `json:"conversionType"`
	BudgetType                  domain.BudgetType     `json:"budgetType"`
	Budget                      string                `json:"budget" doc:"Cap on the cost of live conversions."`
	BudgetSpent                 string                `json:"budgetSpent"`
	LaunchDate                  time.Time             `json:"launchDate"`
	ExpirationDate              *time.Time            `json:"expirationDate"`
	MinAge                      *int                  `json:"minAge"`
	MaxAge                      *int                  `json:"maxAge"`
	CountryIDs                  []string              `json:"countryIds"`
	StateIDs                    []string              `json:"stateIds"`
	ZipCodes                    []string              `json:"zipCodes"`
	GenderIDs                   []string              `json:"genderIds"`
	ShowForUnknownGender        bool                  `json:"showForUnknownGender"`
	DeviceType                  []string              `json:"deviceType"`
	EnforceEncryptedTracking    bool                  `json:"enforceEncryptedTracking"`
	SessionDays                 json.Number           `json:"sessionDays"`
	OutOfOrderGraceMinutes      json.Number           `json:"outOfOrderGraceMinutes"`
	TrustCompletionTime         bool                  `json:"trustCompletionTime"`
	MinClickToConversionSeconds json.Number           `json:"minClickToConversionSeconds"`
	Events                      []advertiserEvent     `json:"events" doc:"A SingleEvent offer has one."`
}

// advertiserEvent is an event as the offer's advertiser sees it.
type advertiserEvent struct {
	ID                       uuid.UUID         `json:"id"`
	Name                     string            `json:"name"`
	EventID                  string            `json:"eventId" doc:"The required value of cnv_event_id."`
	Slug                     string            `json:"slug"`
	DisplayOrder             int               `json:"displayOrder"`
	SequenceNumber           *int              `json:"sequenceNumber"`
	MinTimeFromPreviousEvent *json.Number      `json:"minTimeFromPreviousEvent"`
	DeadlineDays             *json.Number      `json:"deadlineDays"`
	PendingTime              *json.Number      `json:"pendingTime"`
	Cost                     *string           `json:"cost" doc:"Money, or percent of the sale if conversionType is RevShare; null if there is no cost."`
	AllowRepetitions         bool              `json:"allowRepetitions"`
	RequiresApproval         bool              `json:"requiresApproval"`
	IsEndPoint               bool              `json:"isEndPoint"`
	RecordAs                 domain.RecordAs   `json:"recordAs"`
	Status                   domain.GoalStatus `json:"status"`
	domain.CapsDocument
}

type advertiserOfferOutput struct{ Body advertiserOffer }

// advertiserOfferListing shows the offers of the advertiser $2.
func (s *Server) advertiserOfferListing() listing[offerView] {
	l := s.offerListing()
	l.where = "$1::timestamptz IS NOT NULL AND o.advertiser_id = $2"
	for _, name := range []string{"advertiserId", "side", "partnershipId"} {
		l.fields = without(l.fields, name)
	}
	return l
}

func (s *Server) listOffersForAdvertiser(ctx context.Context, in *listOffersInput) (*pageOutput[advertiserOffer], error) {
	out := &pageOutput[advertiserOffer]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		out.Body, err = s.advertiserOffers(ctx, tx, in.Product, in.ListInput)
		return err
	})
}

func (s *Server) getOfferForAdvertiser(ctx context.Context, in *offerInput) (*advertiserOfferOutput, error) {
	out := &advertiserOfferOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		found, err := s.advertiserOffers(ctx, tx, in.Product, onlyID(in.ID))
		if err == nil && len(found.Items) == 0 {
			err = problem.NotFound()
		}
		if err == nil {
			out.Body = found.Items[0]
		}
		return err
	})
}

// onlyID asks a list for one row.
func onlyID(id uuid.UUID) ListInput {
	return ListInput{PageSize: 1, filters: map[string][]string{"id": {id.String()}}}
}

func (s *Server) advertiserOffers(ctx context.Context, tx pgx.Tx, product string, in ListInput) (page[advertiserOffer], error) {
	if _, err := ownProduct(ctx, tx, product); err != nil {
		return page[advertiserOffer]{}, err
	}
	found, err := list(ctx, tx, s.now(), s.advertiserOfferListing(), in, s.now(), *principal(ctx).AdvertiserID)
	if err != nil {
		return page[advertiserOffer]{}, err
	}
	err = s.addCounters(ctx, tx, found.Items)
	return reduced(found, advertiserOfferOf), err
}

func advertiserOfferOf(view *offerView) advertiserOffer {
	d := &view.OfferDocument
	return advertiserOffer{
		ID: d.ID, Version: d.Version, Name: d.Name, Status: view.Status, IsPaused: d.IsPaused, Headline: d.Headline,
		ShortDescription: d.ShortDescription, KeyPoints: d.KeyPoints, OfferDetails: d.OfferDetails, TermsAndDisclaimers: d.TermsAndDisclaimers,
		Creatives: d.Creatives, TrackingSystem: d.TrackingSystem, TrackingSystemLink: d.TrackingSystemLink,
		ShouldSendCostData: d.ShouldSendCostData, CostData: d.CostData, AdvertiserCampaignName: d.AdvertiserCampaignName,
		OfferType: d.OfferType, ConversionType: d.ConversionType, BudgetType: d.BudgetType, Budget: d.Budget,
		BudgetSpent: view.Counters.BudgetSpent, LaunchDate: d.LaunchDate, ExpirationDate: d.ExpirationDate,
		MinAge: view.offer.Targeting.MinAge, MaxAge: view.offer.Targeting.MaxAge, CountryIDs: d.CountryIDs, StateIDs: d.StateIDs,
		ZipCodes: d.ZipCodes, GenderIDs: d.GenderIDs, ShowForUnknownGender: d.ShowForUnknownGender, DeviceType: d.DeviceType,
		EnforceEncryptedTracking: d.EnforceEncryptedTracking, SessionDays: d.SessionDays, OutOfOrderGraceMinutes: d.OutOfOrderGraceMinutes,
		TrustCompletionTime: d.TrustCompletionTime, MinClickToConversionSeconds: d.MinClickToConversionSeconds,
		Events: each(view.offer.Events, advertiserEventOf),
	}
}

func advertiserEventOf(e *domain.Event) advertiserEvent {
	event := advertiserEvent{
		ID: e.ID, Name: e.Name, EventID: e.EventID, Slug: e.Slug, DisplayOrder: e.DisplayOrder, SequenceNumber: e.SequenceNumber,
		MinTimeFromPreviousEvent: e.MinTimeFromPreviousEvent.OptionalNumber(), DeadlineDays: e.DeadlineDays.OptionalNumber(),
		PendingTime: e.PendingTime.OptionalNumber(), AllowRepetitions: e.AllowRepetitions, RequiresApproval: e.RequiresApproval,
		IsEndPoint: e.IsEndPoint, RecordAs: e.RecordAs, Status: e.Status,
		CapsDocument: domain.CapsDocument{DailyCap: e.Caps.Daily, WeeklyCap: e.Caps.Weekly, MonthlyCap: e.Caps.Monthly, AllTimeCap: e.Caps.AllTime},
	}
	if e.HasRevenue && e.Revenue != nil {
		cost := e.Revenue.String()
		event.Cost = &cost
	}
	return event
}
