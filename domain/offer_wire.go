package domain

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// OfferDocument is an offer in the wire form of its create document: what ParseOffer reads, with
// money, points and percent as decimal strings and durations as numbers. Fields of the other
// offer type are left out. Read back with the offer as terms.Previous it gives the same offer.
type OfferDocument struct {
	ID      uuid.UUID `json:"id"`
	Version int64     `json:"version"`
	// GoalID is the default goal's id; in answers only.
	GoalID uuid.UUID `json:"goalId"`

	TrackingSystemLink     string          `json:"trackingSystemLink"`
	TrackingSystem         string          `json:"trackingSystem"`
	ShouldSendCostData     bool            `json:"shouldSendCostData"`
	CostData               []CostDatum     `json:"costData"`
	Name                   string          `json:"name"`
	AdvertiserCampaignName string          `json:"advertiserCampaignName"`
	Headline               string          `json:"headline"`
	ShortDescription       string          `json:"shortDescription"`
	KeyPoints              string          `json:"keyPoints"`
	OfferDetails           string          `json:"offerDetails"`
	TermsAndDisclaimers    string          `json:"termsAndDisclaimers"`
	Creatives              []Creative      `json:"creatives"`
	OfferType              OfferType       `json:"offerType"`
	ConversionType         ConversionType  `json:"conversionType"`
	AdvertiserID           uuid.UUID       `json:"advertiserId"`
	IsFeatured             bool            `json:"isFeatured"`
	IsPaused               bool            `json:"isPaused"`
	RewardType             RewardType      `json:"rewardType"`
	OfferEvents            []EventDocument `json:"offerEvents,omitempty"`
	*SingleEventDocument                   // nil on MultiEvent
	BudgetType             BudgetType      `json:"budgetType"`
	Budget                 string          `json:"budget"`
	LaunchDate             time.Time       `json:"launchDate"`
	ExpirationDate         *time.Time      `json:"expirationDate"`
	TargetingDocument                      // flat in the document
	InitialEPC             string          `json:"initialEpc"`
	IsEPCLocked            bool            `json:"isEpcLocked"`
	SettingsDocument                       // flat in the document
}

// TargetingDocument holds the targeting fields: codes and names rather than ids where there are
// both.
type TargetingDocument struct {
	AgeID                uuid.UUID   `json:"ageId"`
	CategoryIDs          []uuid.UUID `json:"categoryIds"`
	CountryIDs           []string    `json:"countryIds"`
	StateIDs             []string    `json:"stateIds"`
	ZipCodes             []string    `json:"zipCodes"`
	GenderIDs            []string    `json:"genderIds"`
	PlacementIDs         []uuid.UUID `json:"placementIds"`
	ShowForUnknownGender bool        `json:"showForUnknownGender"`
	DeviceType           []string    `json:"deviceType"`
}

// SettingsDocument holds the offer's settings beyond the source's table.
type SettingsDocument struct {
	EnforceEncryptedTracking    bool          `json:"enforceEncryptedTracking"`
	SessionDays                 json.Number   `json:"sessionDays"`
	OutOfOrderGraceMinutes      json.Number   `json:"outOfOrderGraceMinutes"`
	TrustCompletionTime         bool          `json:"trustCompletionTime"`
	TrustAdvertiserStatus       bool          `json:"trustAdvertiserStatus"`
	OverCapPolicy               OverCapPolicy `json:"overCapPolicy"`
	FallbackURL                 string        `json:"fallbackUrl"`
	MinClickToConversionSeconds json.Number   `json:"minClickToConversionSeconds"`
}

// GoalDocument holds a goal's settings beyond the source's table, but for its status, which an
// offer's own status would hide.
type GoalDocument struct {
	Slug              string            `json:"slug"`
	IsPrivate         bool              `json:"isPrivate"`
	IsEndPoint        bool              `json:"isEndPoint"`
	RequiresApproval  bool              `json:"requiresApproval"`
	OncePerSession    bool              `json:"oncePerSession"`
	RecordAs          RecordAs          `json:"recordAs"`
	Reference         string            `json:"reference"`
	Payout            *string           `json:"payout"`
	PayoutStructureID *uuid.UUID        `json:"payoutStructureId"`
	PayoutTiers       map[string]string `json:"payoutTiers,omitempty"`
	RevenueTiers      map[string]string `json:"revenueTiers,omitempty"`
	DedupeSeconds     json.Number       `json:"dedupeSeconds"`
}

// CapsDocument holds the four caps; null is none.
type CapsDocument struct {
	DailyCap   *int64 `json:"dailyCap"`
	WeeklyCap  *int64 `json:"weeklyCap"`
	MonthlyCap *int64 `json:"monthlyCap"`
	AllTimeCap *int64 `json:"allTimeCap"`
}

// SingleEventDocument holds what a SingleEvent offer says of its only goal.
type SingleEventDocument struct {
	Revenue          *string      `json:"revenue"`
	Reward           *string      `json:"reward"`
	PendingTime      *json.Number `json:"pendingTime"`
	AllowRepetitions bool         `json:"allowRepetitions"`
	GoalStatus       GoalStatus   `json:"goalStatus"`
	CapsDocument
	GoalDocument
}

// EventDocument is one event of a MultiEvent offer.
type EventDocument struct {
	ID                       uuid.UUID    `json:"id"`
	Name                     string       `json:"name"`
	ShowOnOfferWall          bool         `json:"showOnOfferWall"`
	EventID                  string       `json:"eventId"`
	DisplayOrder             int          `json:"displayOrder"`
	SequenceNumber           *int         `json:"sequenceNumber"`
	MinTimeFromPreviousEvent *json.Number `json:"minTimeFromPreviousEvent"`
	DeadlineDays             *json.Number `json:"deadlineDays"`
	PendingTime              *json.Number `json:"pendingTime"`
	HasRevenue               bool         `json:"hasRevenue"`
	Revenue                  *string      `json:"revenue"`
	HasReward                bool         `json:"hasReward"`
	UseDefaultRatio          bool         `json:"useDefaultRatio"`
	Reward                   *string      `json:"reward"`
	AllowRepetitions         bool         `json:"allowRepetitions"`
	Status                   GoalStatus   `json:"status"`
	CapsDocument
	GoalDocument
}

// Document is the offer in wire form. It shares the offer's lists: neither may be changed while
// the other is in use.
func (o Offer) Document() OfferDocument {
	d := OfferDocument{
		ID: o.ID, Version: o.Version, AdvertiserID: o.AdvertiserID,
		TrackingSystemLink: o.TrackingSystemLink, TrackingSystem: o.TrackingSystem,
		ShouldSendCostData: o.ShouldSendCostData, CostData: filled(o.CostData),
		Name: o.Name, AdvertiserCampaignName: o.AdvertiserCampaignName, Headline: o.Headline,
		ShortDescription: o.ShortDescription, KeyPoints: o.KeyPoints, OfferDetails: o.OfferDetails,
		TermsAndDisclaimers: o.TermsAndDisclaimers, Creatives: filled(o.Creatives),
		OfferType: o.OfferType, ConversionType: o.ConversionType, IsFeatured: o.IsFeatured,
		IsPaused: o.IsPaused, RewardType: o.RewardType, BudgetType: o.BudgetType, Budget: o.Budget.String(),
		LaunchDate: o.LaunchAt, ExpirationDate: o.ExpiresAt, TargetingDocument: o.Targeting.document(),
		InitialEPC: o.InitialEPC.String(), IsEPCLocked: o.IsEPCLocked,
		SettingsDocument: SettingsDocument{
			EnforceEncryptedTracking:    o.EnforceEncryptedTracking,
			SessionDays:                 o.SessionDays.number(),
			OutOfOrderGraceMinutes:      o.OutOfOrderGraceMinutes.number(),
			TrustCompletionTime:         o.TrustCompletionTime,
			TrustAdvertiserStatus:       o.TrustAdvertiserStatus,
			OverCapPolicy:               o.OverCapPolicy,
			FallbackURL:                 o.FallbackURL,
			MinClickToConversionSeconds: o.MinClickToConversionSeconds.number(),
		},
	}
	if goal := o.DefaultEvent(); goal != nil {
		d.GoalID = goal.ID
		if o.OfferType == OfferTypeSingleEvent {
			d.SingleEventDocument = goal.single()
		}
	}
	if o.OfferType == OfferTypeMultiEvent {
		for i := range o.Events {
			d.OfferEvents = append(d.OfferEvents, o.Events[i].document())
		}
	}
	return d
}

// MarshalDocument is the wire form as JSON.
func (o Offer) MarshalDocument() ([]byte, error) { return json.Marshal(o.Document()) }

func (t Targeting) document() TargetingDocument {
	d := TargetingDocument{
		AgeID: t.AgeID, CategoryIDs: filled(t.CategoryIDs), CountryIDs: filled(t.Countries),
		StateIDs: filled(t.States), ZipCodes: filled(t.ZipCodes), GenderIDs: filled(t.Genders),
		PlacementIDs: filled(t.PlacementIDs), ShowForUnknownGender: t.ShowForUnknownGender,
		DeviceType: t.Devices,
	}
	if len(d.DeviceType) == 0 {
		d.DeviceType = []string{deviceAll}
	}
	return d
}

func (e *Event) single() *SingleEventDocument {
	return &SingleEventDocument{
		Revenue: e.Revenue.text(), Reward: e.Reward.text(), PendingTime: e.PendingTime.OptionalNumber(),
		AllowRepetitions: e.AllowRepetitions, GoalStatus: e.Status,
		CapsDocument: e.Caps.document(), GoalDocument: e.goalDocument(),
	}
}

func (e *Event) document() EventDocument {
	return EventDocument{
		ID: e.ID, Name: e.Name, ShowOnOfferWall: e.ShowOnOfferWall, EventID: e.EventID,
		DisplayOrder: e.DisplayOrder, SequenceNumber: e.SequenceNumber,
		MinTimeFromPreviousEvent: e.MinTimeFromPreviousEvent.OptionalNumber(),
		DeadlineDays:             e.DeadlineDays.OptionalNumber(), PendingTime: e.PendingTime.OptionalNumber(),
		HasRevenue: e.HasRevenue, Revenue: e.Revenue.text(), HasReward: e.HasReward,
		UseDefaultRatio: e.UseDefaultRatio, Reward: e.Reward.text(), AllowRepetitions: e.AllowRepetitions,
		Status: e.Status, CapsDocument: e.Caps.document(), GoalDocument: e.goalDocument(),
	}
}

func (c Caps) document() CapsDocument {
	return CapsDocument{DailyCap: c.Daily, WeeklyCap: c.Weekly, MonthlyCap: c.Monthly, AllTimeCap: c.AllTime}
}

func (g *GoalSettings) goalDocument() GoalDocument {
	return GoalDocument{
		Slug: g.Slug, IsPrivate: g.IsPrivate, IsEndPoint: g.IsEndPoint, RequiresApproval: g.RequiresApproval,
		OncePerSession: g.OncePerSession, RecordAs: g.RecordAs, Reference: g.Reference,
		Payout: g.Payout.text(), PayoutStructureID: g.PayoutStructureID,
		PayoutTiers: tierTexts(g.PayoutTiers), RevenueTiers: tierTexts(g.RevenueTiers),
		DedupeSeconds: g.DedupeSeconds.number(),
	}
}

func tierTexts(tiers map[string]Micros) map[string]string {
	texts := make(map[string]string, len(tiers))
	for id, figure := range tiers {
		texts[id] = figure.String()
	}
	return texts
}

// text is money, points or percent in an answer; nil stays nil.
func (m *Micros) text() *string {
	if m == nil {
		return nil
	}
	text := m.String()
	return &text
}

// number is a duration in an answer.
func (m Micros) number() json.Number { return json.Number(shortDecimal(m)) }

// OptionalNumber is how documents spell a number that is no money; nil for none.
func (m *Micros) OptionalNumber() *json.Number {
	if m == nil {
		return nil
	}
	number := m.number()
	return &number
}

// filled is never nil, so that an empty list is [] and not null.
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
