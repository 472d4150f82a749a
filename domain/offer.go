package domain

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// OfferType says whether an offer has one goal or a list of events.
type OfferType string

// ConversionType says how revenue and reward are meant: figures, or percent of the sale.
type ConversionType string

// BudgetType says over which period the budget counts.
type BudgetType string

// RewardType says who decides a SingleEvent offer's conversions.
type RewardType string

// OverCapPolicy says what becomes of an earlier click's conversion at the cap (rule 31).
type OverCapPolicy string

// RecordAs says whether a goal makes conversions or only counts (rule 70).
type RecordAs string

// GoalStatus of an event; a deleted one keeps its history (rule 69).
type GoalStatus string

// The values of the enums above, as the offer document spells them.
const (
	OfferTypeSingleEvent   OfferType      = "SingleEvent"
	OfferTypeMultiEvent    OfferType      = "MultiEvent"
	ConversionTypeFlatRate ConversionType = "FlatRate"
	ConversionTypeRevShare ConversionType = "RevShare"
	BudgetTypeDaily        BudgetType     = "Daily"
	BudgetTypeTotal        BudgetType     = "Total"
	RewardTypeAutomatic    RewardType     = "Automatic"
	RewardTypeManual       RewardType     = "Manual"
	OverCapPolicyReject    OverCapPolicy  = "reject"
	OverCapPolicyPending   OverCapPolicy  = "pending"
	RecordAsConversion     RecordAs       = "conversion"
	RecordAsClick          RecordAs       = "click"
	GoalStatusActive       GoalStatus     = "active"
	GoalStatusDeleted      GoalStatus     = "deleted"
)

// Caps are the four conversion limits of an offer (SingleEvent), an event or a partner; nil is
// none (rule 34). JSON names are those of the offer document.
type Caps struct {
	Daily   *int64 `json:"dailyCap,omitempty"`
	Weekly  *int64 `json:"weeklyCap,omitempty"`
	Monthly *int64 `json:"monthlyCap,omitempty"`
	AllTime *int64 `json:"allTimeCap,omitempty"`
}

// Creative is one picture or video of an offer.
type Creative struct {
	Order    int     `json:"order"`
	URL      string  `json:"url"`
	Metadata *string `json:"metadata,omitempty"`
}

// CostDatum tells Singular or AppsFlyer which app the cost belongs to.
type CostDatum struct {
	CostModel string `json:"costModel"`
	AppName   string `json:"appName"`
	StoreID   string `json:"storeId"`
}

// GoalSettings are the settings beyond the source's table that a goal carries: the offer itself
// for SingleEvent, each event for MultiEvent.
type GoalSettings struct {
	Slug              string     `json:"slug"`
	IsPrivate         bool       `json:"isPrivate"`
	IsEndPoint        bool       `json:"isEndPoint"`
	RequiresApproval  bool       `json:"requiresApproval"`
	OncePerSession    bool       `json:"oncePerSession"`
	RecordAs          RecordAs   `json:"recordAs"`
	Status            GoalStatus `json:"status"`
	Reference         string     `json:"reference"`
	Payout            *Micros    `json:"payout"`
	PayoutStructureID *uuid.UUID `json:"payoutStructureId"`
	// DedupeSeconds, in Micros of a second, tells a network retry from a repeat without a
	// conversion id (rule 7): use Dedupe.
	DedupeSeconds Micros `json:"dedupeSeconds"`
	// PayoutTiers and RevenueTiers: figure by tier id.
	PayoutTiers  map[string]Micros `json:"payoutTiers,omitempty"`
	RevenueTiers map[string]Micros `json:"revenueTiers,omitempty"`
}

// Event is one goal of an offer. A SingleEvent offer has exactly one, made from the offer's own
// fields when the document is read, so that every rule sees events only.
type Event struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
	// EventID is the advertiser's name for it; empty on a SingleEvent offer.
	EventID         string `json:"eventId"`
	ShowOnOfferWall bool   `json:"showOnOfferWall"`
	DisplayOrder    int    `json:"displayOrder"`
	// SequenceNumber orders completion; nil is independent (rule 11).
	SequenceNumber *int `json:"sequenceNumber"`
	// MinTimeFromPreviousEvent in Micros of an hour (rule 15).
	MinTimeFromPreviousEvent *Micros `json:"minTimeFromPreviousEvent"`
	// DeadlineDays in Micros of a day from the click (rule 18).
	DeadlineDays *Micros `json:"deadlineDays"`
	// PendingTime in Micros of a day (rules 21, 22).
	PendingTime *Micros `json:"pendingTime"`
	HasRevenue  bool    `json:"hasRevenue"`
	// Revenue in money, or in percent when the offer is RevShare.
	Revenue         *Micros `json:"revenue"`
	HasReward       bool    `json:"hasReward"`
	UseDefaultRatio bool    `json:"useDefaultRatio"`
	// Reward in points, or in percent when the offer is RevShare.
	Reward *Micros `json:"reward"`
	Caps
	AllowRepetitions bool `json:"allowRepetitions"`
	GoalSettings
}

// Offer is one version of an offer document, read, validated and normalised. Its JSON form is
// what the database keeps; the wire form of the API is made from it.
type Offer struct {
	ID           uuid.UUID `json:"id"`
	TenantID     uuid.UUID `json:"tenantId"`
	Version      int64     `json:"version"`
	AdvertiserID uuid.UUID `json:"advertiserId"`

	TrackingSystemLink string      `json:"trackingSystemLink"`
	TrackingSystem     string      `json:"trackingSystem"`
	ShouldSendCostData bool        `json:"shouldSendCostData"`
	CostData           []CostDatum `json:"costData,omitempty"`

	Name                   string     `json:"name"`
	AdvertiserCampaignName string     `json:"advertiserCampaignName"`
	Headline               string     `json:"headline"`
	ShortDescription       string     `json:"shortDescription"`
	KeyPoints              string     `json:"keyPoints"`
	OfferDetails           string     `json:"offerDetails"`
	TermsAndDisclaimers    string     `json:"termsAndDisclaimers"`
	Creatives              []Creative `json:"creatives"`

	OfferType      OfferType      `json:"offerType"`
	ConversionType ConversionType `json:"conversionType"`
	IsFeatured     bool           `json:"isFeatured"`
	IsPaused       bool           `json:"isPaused"`
	// IsRequested says that it is shared with a publisher who has yet to accept it (rule 55).
	IsRequested bool `json:"isRequested,omitempty"`
	// RewardType is asked for on SingleEvent; a MultiEvent offer is Automatic unless it says
	// otherwise, whereupon it holds for each of its events (rule 22).
	RewardType RewardType `json:"rewardType"`
	Events     []Event    `json:"events"`

	BudgetType BudgetType `json:"budgetType"`
	Budget     Micros     `json:"budget"`
	LaunchAt   time.Time  `json:"launchAt"`
	ExpiresAt  *time.Time `json:"expiresAt"`
	Targeting  Targeting  `json:"targeting"`

	InitialEPC  Micros `json:"initialEpc"`
	IsEPCLocked bool   `json:"isEpcLocked"`

	EnforceEncryptedTracking bool `json:"enforceEncryptedTracking"`
	// SessionDays in Micros of a day: the window where no deadline is set (rule 18).
	SessionDays Micros `json:"sessionDays"`
	// OutOfOrderGraceMinutes in Micros of a minute (rule 14).
	OutOfOrderGraceMinutes Micros `json:"outOfOrderGraceMinutes"`
	TrustCompletionTime    bool   `json:"trustCompletionTime"`
	// TrustAdvertiserStatus believes verdicts of whoever posts (rule 77).
	TrustAdvertiserStatus bool          `json:"trustAdvertiserStatus"`
	OverCapPolicy         OverCapPolicy `json:"overCapPolicy"`
	FallbackURL           string        `json:"fallbackUrl"`
	// MinClickToConversionSeconds in Micros of a second (rule 47): use MinClickToConversion.
	MinClickToConversionSeconds Micros `json:"minClickToConversionSeconds"`
}

// Targeting says who may see and click an offer; an empty list is everyone (rule 45).
type Targeting struct {
	AgeID       uuid.UUID   `json:"ageId"`
	MinAge      *int        `json:"minAge"`
	MaxAge      *int        `json:"maxAge"`
	CategoryIDs []uuid.UUID `json:"categoryIds"`
	// Countries are ISO 3166-1 alpha-2, upper case.
	Countries []string `json:"countries"`
	// States are ISO 3166-2, upper case.
	States   []string `json:"states"`
	ZipCodes []string `json:"zipCodes"`
	// Genders are names as in the lookup, lower case.
	Genders              []string    `json:"genders"`
	ShowForUnknownGender bool        `json:"showForUnknownGender"`
	PlacementIDs         []uuid.UUID `json:"placementIds"`
	// Devices are IOS, Android, MacOS, Browser; All is the empty list.
	Devices []string `json:"devices"`
}

// Durations of an offer document, from Micros of their unit. They are exact: a millionth of the
// unit is a whole number of nanoseconds.

// Days is m days.
func (m Micros) Days() time.Duration { return time.Duration(m) * (24 * time.Hour / MicrosPerUnit) }

// Hours is m hours.
func (m Micros) Hours() time.Duration { return time.Duration(m) * (time.Hour / MicrosPerUnit) }

// Minutes is m minutes.
func (m Micros) Minutes() time.Duration { return time.Duration(m) * (time.Minute / MicrosPerUnit) }

// Seconds is m seconds.
func (m Micros) Seconds() time.Duration { return time.Duration(m) * (time.Second / MicrosPerUnit) }

// EventByID finds an event by our id; nil when the offer has none such.
func (o *Offer) EventByID(id uuid.UUID) *Event {
	for i := range o.Events {
		if o.Events[i].ID == id {
			return &o.Events[i]
		}
	}
	return nil
}

// DefaultEvent is the default goal: a SingleEvent offer's only one, else the active event that is
// shown first (the first of all when none is active); nil only for an offer without events.
func (o *Offer) DefaultEvent() *Event {
	var first, active *Event
	for i := range o.Events {
		e := &o.Events[i]
		if first == nil || e.DisplayOrder < first.DisplayOrder {
			first = e
		}
		if e.Status != GoalStatusDeleted && (active == nil || e.DisplayOrder < active.DisplayOrder) {
			active = e
		}
	}
	if active != nil {
		return active
	}
	return first
}

// EventBySlug finds an event by its goal name, in any case (rule 62).
func (o *Offer) EventBySlug(slug string) *Event {
	for i := range o.Events {
		if strings.EqualFold(o.Events[i].Slug, slug) {
			return &o.Events[i]
		}
	}
	return nil
}

// EventByName finds an event by the advertiser's name, byte for byte (rule 3) but for the blanks around
// it (rule 71): offers that were saved before they were left out may have some, and then even two events
// that nothing else tells apart.
func (o *Offer) EventByName(eventID string) *Event {
	trimmed := TrimBlanks(eventID)
	var found *Event
	for i := range o.Events {
		switch e := &o.Events[i]; {
		case e.EventID == eventID:
			return e
		case found == nil && TrimBlanks(e.EventID) == trimmed:
			found = e
		}
	}
	return found
}

// Window is how long after the click an event may be completed (rule 18).
func (o *Offer) Window(e *Event) time.Duration {
	if e.DeadlineDays != nil {
		return e.DeadlineDays.Days()
	}
	return o.SessionDays.Days()
}

// Grace is how long an early event is held (rule 14).
func (o *Offer) Grace() time.Duration { return o.OutOfOrderGraceMinutes.Minutes() }

// Dedupe is the window of rule 7.
func (e *Event) Dedupe() time.Duration { return e.DedupeSeconds.Seconds() }

// MinClickToConversion is the shortest time from click to conversion that is believed (rule 47);
// zero: not checked.
func (o *Offer) MinClickToConversion() time.Duration { return o.MinClickToConversionSeconds.Seconds() }

// The three statuses of an offer, as answers spell them.
const (
	OfferStatusActive  = "Active"
	OfferStatusPending = "Pending"
	OfferStatusExpired = "Expired"
)

// Status is Expired from the expiration on, else Pending while paused, before the launch or until its
// publisher accepts it, else Active. New clicks convert on an Active offer only (rules 20, 46).
func (o *Offer) Status(now time.Time) string {
	switch {
	case o.ExpiresAt != nil && !now.Before(*o.ExpiresAt):
		return OfferStatusExpired
	case o.IsPaused, o.IsRequested, now.Before(o.LaunchAt):
		return OfferStatusPending
	default:
		return OfferStatusActive
	}
}

// LateProof is how long after the window a postback may still prove timely completion (rule 19).
const LateProof = 7 * 24 * time.Hour

// SessionEnd is when nothing more can come of a click: the longest window, the late proof of
// rule 19 and the grace of rule 14.
func (o *Offer) SessionEnd(click time.Time) time.Time {
	longest := o.SessionDays.Days()
	for i := range o.Events {
		longest = max(longest, o.Window(&o.Events[i]))
	}
	return click.Add(longest + LateProof + o.Grace())
}
