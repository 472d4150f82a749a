package domain

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// FieldError is one refusal of an offer document. Field is the path of the field as the document
// spells it, `offerEvents[2].revenue`; `body` is the document as a whole.
type FieldError struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// FieldErrors are all refusals of one document, in the order in which they were found. An empty
// list is no error: use Err where an error value is wanted.
type FieldErrors []FieldError

// Error joins the refusals to one line.
func (e FieldErrors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Field + ": " + one.Reason
	}
	return strings.Join(lines, "; ")
}

// Err is the list as an error, nil when it is empty.
func (e FieldErrors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// AgeRange is inclusive at both ends; nil is unbounded (rule 45).
type AgeRange struct{ Min, Max *int }

// OfferTerms is what the reading of an offer document needs to know beyond the document. The
// functions are look-ups in what the caller has loaded; a nil one of those that end in Exists
// accepts everything.
type OfferTerms struct {
	// RewardRatio is the tenant's ratio of points to revenue (rule 36); nil: it has none.
	RewardRatio *Micros
	// GoalsEnabled false makes every goal but the default one a warning, and keeps those of Previous
	// that were hidden (rule 69).
	GoalsEnabled bool
	// Previous is the version that a replacement replaces; nil when the offer is made. Offer,
	// tenant and version number are taken over from it (the caller counts the version up), and
	// events keep their ids and slugs.
	Previous *Offer
	// At is the instant of an edit by somebody whom Previous was shown, to whose status then the
	// document's is held. Zero when an offer is made, or comes from a feed: nobody was shown one.
	At time.Time
	// Shared says that the offer is one of the Exchange, and Previous its current version: what stands
	// there is known whichever side reads it, the ids of events are ours alone, and revenue is one
	// figure without tiers (rule 57).
	Shared bool
	// DestinationSchemes are those that the tenant lists for destinations (rule 73).
	DestinationSchemes []string
	// NoCountries says why nothing tells the country of an address, NoStates why nothing tells its state or
	// postal code; "" where something does. An offer that asks for them is warned of it.
	NoCountries, NoStates string
	// NewID mints the ids of events; nil is uuid.New.
	NewID func() uuid.UUID
	// Sanitize cleans keyPoints and offerDetails; it must be idempotent. nil escapes all markup.
	Sanitize func(html string) string
	// Age finds a tenant's own age range; the built-in ones are known without it.
	Age func(id uuid.UUID) (AgeRange, bool)
	// CategoryKnown finds a tenant's own category; the built-in ones are known without it.
	CategoryKnown         func(id uuid.UUID) bool
	AdvertiserExists      func(id uuid.UUID) bool
	PlacementExists       func(id uuid.UUID) bool
	PayoutStructureExists func(id uuid.UUID) bool
	TierExists            func(id uuid.UUID) bool
}

// ParseOffer reads, validates and normalises the create document of an offer: POST and PUT of
// the offer routes, and one item of a bulk import. Names are matched without regard to case;
// unknown fields are ignored and listed in the warnings by path. All refusals are reported at
// once; where there is any, the offer is the zero value. Without terms.Previous the caller sets
// ID, TenantID and Version.
func ParseOffer(doc []byte, terms OfferTerms) (Offer, []string, FieldErrors) {
	r := newDocReader(terms)
	root, err := parseDocNode(doc)
	if err != nil {
		return Offer{}, nil, FieldErrors{{Field: "body", Reason: err.Error()}}
	}
	return r.whole(root)
}

func newDocReader(terms OfferTerms) *docReader {
	if terms.Shared {
		terms = terms.knowing(terms.Previous)
	}
	return &docReader{terms: terms}
}

// whole reads an offer from its document.
func (r *docReader) whole(root docNode) (Offer, []string, FieldErrors) {
	offer := r.offer(root)
	if len(r.errs) > 0 {
		return Offer{}, r.warnings, r.errs
	}
	slices.SortStableFunc(offer.Events, func(a, b Event) int { return a.DisplayOrder - b.DisplayOrder })
	return offer, r.warnings, nil
}

// Limits of an offer document: generous for people, and small enough that neither a number nor a
// row runs over.
const (
	maxTitle        = 255
	maxLine         = 1_000
	maxProse        = 20_000
	maxMarkup       = 50_000
	maxCreatives    = 50
	maxCostData     = 50
	maxEvents       = 200
	maxTiers        = 100
	maxTargets      = 6_000
	maxZipCodes     = 20_000
	maxZipCode      = 16
	maxOrder        = 10_000
	maxCap          = 1_000_000_000
	maxGraceMinutes = 10_080
	// DefaultSessionDays is rule 18's window where neither offer nor event says.
	DefaultSessionDays Micros = 30 * MicrosPerUnit
	// DefaultGraceMinutes is rule 14's.
	DefaultGraceMinutes Micros = 60 * MicrosPerUnit
	// DefaultDedupeSeconds is rule 7's.
	DefaultDedupeSeconds Micros = 10 * MicrosPerUnit
)

var (
	rangeMoney   = docRange{0, 1_000_000_000 * MicrosPerUnit}
	rangeBudget  = docRange{1, 999_999_999_999 * MicrosPerUnit}
	rangePercent = docRange{0, 100 * MicrosPerUnit}
	// Points are worth what the tenant likes, so a share in points may be far above 100 %.
	rangePointsPercent = docRange{0, 1_000_000 * MicrosPerUnit}
	rangeDays          = docRange{0, 3_650 * MicrosPerUnit}
	rangeHours         = docRange{0, 24 * 3_650 * MicrosPerUnit}
	// A window of nothing would refuse every conversion: null is how to say "none".
	rangeWindow  = docRange{1, 3_650 * MicrosPerUnit}
	rangeGrace   = docRange{0, maxGraceMinutes * MicrosPerUnit}
	rangeSeconds = docRange{0, 30 * 86_400 * MicrosPerUnit}
)

// answerFields are what answers add to the document: no warning when they come back.
var answerFields = []string{
	"id", "version", "tenantId", "redirectLink", "counters", "warnings", "goalId", "status", "createdAt", "updatedAt",
	"side", "partnershipId", proposeField,
}

func (r *docReader) offer(root docNode) Offer {
	f := r.fields("", root)
	o := Offer{AdvertiserID: uuid.Nil}
	if p := r.terms.Previous; p != nil {
		o.ID, o.TenantID, o.Version = p.ID, p.TenantID, p.Version
	}
	o.AdvertiserID, _ = f.id("advertiserId", true, r.terms.AdvertiserExists)
	f.texts(&o)
	f.tracking(&o)
	f.creatives(&o)
	o.OfferType = OfferType(f.word("offerType", true,
		[]string{string(OfferTypeSingleEvent), string(OfferTypeMultiEvent)}))
	o.ConversionType = ConversionType(f.word("conversionType", true,
		[]string{string(ConversionTypeFlatRate), string(ConversionTypeRevShare)}))
	o.IsFeatured = f.flag("isFeatured", false)
	o.IsPaused = f.flag("isPaused", true)
	f.goals(&o)
	f.budgetAndDates(&o)
	o.Targeting = f.targeting()
	f.settings(&o)
	f.ownStatus(&o)
	f.rest(answerFields...)
	return o
}

func (f *docFields) texts(o *Offer) {
	o.Name = f.text("name", true, maxTitle)
	o.Headline = f.text("headline", true, maxLine)
	o.ShortDescription = f.prose("shortDescription", false, maxProse)
	o.KeyPoints = f.markup("keyPoints", false, maxMarkup)
	o.OfferDetails = f.markup("offerDetails", true, maxMarkup)
	o.TermsAndDisclaimers = f.prose("termsAndDisclaimers", false, maxProse)
}

func (f *docFields) tracking(o *Offer) {
	o.TrackingSystemLink = f.destination("trackingSystemLink", true, f.before().TrackingSystemLink)
	if o.TrackingSystemLink != "" {
		for _, warning := range LintLink(o.TrackingSystemLink) {
			f.warn(f.at("trackingSystemLink"), "%s", warning)
		}
	}
	o.TrackingSystem = f.word("trackingSystem", true, TrackingSystems())
	o.ShouldSendCostData = f.flag("shouldSendCostData", false)
	o.AdvertiserCampaignName = f.text("advertiserCampaignName", o.ShouldSendCostData, maxTitle)
	least := 0
	if o.ShouldSendCostData {
		least = 1
	}
	for _, item := range f.list("costData", o.ShouldSendCostData, least, maxCostData) {
		c := f.fields(item.path, item.docNode)
		o.CostData = append(o.CostData, CostDatum{
			CostModel: c.word("costModel", o.ShouldSendCostData, []string{"CPI", "CPA"}),
			AppName:   c.text("appName", o.ShouldSendCostData, maxTitle),
			StoreID:   c.text("storeId", o.ShouldSendCostData, maxTitle),
		})
		c.rest()
	}
	if s := o.TrackingSystem; o.ShouldSendCostData && s != "" && s != "Singular" && s != "AppsFlyer" {
		f.warn(f.at("shouldSendCostData"), "cost data goes to Singular and AppsFlyer only")
	}
}

func (f *docFields) creatives(o *Offer) {
	orders := map[int]bool{}
	for _, item := range f.list("creatives", true, 1, maxCreatives) {
		c := f.fields(item.path, item.docNode)
		creative := Creative{URL: c.url("url", true, false)}
		if order := c.integer("order", true, 0, maxOrder); order != nil {
			creative.Order = int(*order)
			if orders[creative.Order] {
				c.warn(c.at("order"), "is also used by another creative")
			}
			orders[creative.Order] = true
		}
		if node, ok := c.optional("metadata"); ok {
			if text, ok := c.plain(c.at("metadata"), node, maxProse, true); ok {
				creative.Metadata = &text
			}
		}
		c.rest()
		o.Creatives = append(o.Creatives, creative)
	}
	slices.SortStableFunc(o.Creatives, func(a, b Creative) int { return a.Order - b.Order })
}

func (f *docFields) budgetAndDates(o *Offer) {
	o.BudgetType = BudgetType(f.word("budgetType", true, []string{string(BudgetTypeDaily), string(BudgetTypeTotal)}))
	if budget := f.number("budget", true, rangeBudget); budget != nil {
		o.Budget = *budget
	}
	if at := f.instant("launchDate", true); at != nil {
		o.LaunchAt = *at
	}
	o.ExpiresAt = f.instant("expirationDate", false)
	if o.ExpiresAt != nil && !o.LaunchAt.IsZero() && !o.ExpiresAt.After(o.LaunchAt) {
		f.fail(f.at("expirationDate"), "must be after launchDate")
	}
	for i := range o.Events {
		if e := &o.Events[i]; o.ConversionType == ConversionTypeFlatRate && o.Budget > 0 &&
			e.HasRevenue && e.Revenue != nil && *e.Revenue > o.Budget {
			f.warn(f.at("budget"), "is less than the revenue of one conversion of %q, so none can succeed", e.Name)
		}
	}
}

func (f *docFields) settings(o *Offer) {
	if epc := f.number("initialEpc", true, rangeMoney); epc != nil {
		o.InitialEPC = *epc
	}
	o.IsEPCLocked = f.flag("isEpcLocked", true)
	o.EnforceEncryptedTracking = f.flag("enforceEncryptedTracking", false)
	o.SessionDays = f.numberOr("sessionDays", DefaultSessionDays, rangeWindow)
	o.OutOfOrderGraceMinutes = f.numberOr("outOfOrderGraceMinutes", DefaultGraceMinutes, rangeGrace)
	o.TrustCompletionTime = f.flag("trustCompletionTime", false)
	o.TrustAdvertiserStatus = f.flag("trustAdvertiserStatus", false)
	o.OverCapPolicy = OverCapPolicyReject
	policies := []string{string(OverCapPolicyReject), string(OverCapPolicyPending)}
	if policy := f.word("overCapPolicy", false, policies); policy != "" {
		o.OverCapPolicy = OverCapPolicy(policy)
	}
	o.FallbackURL = f.destination("fallbackUrl", false, f.before().FallbackURL)
	o.MinClickToConversionSeconds = f.numberOr("minClickToConversionSeconds", 0, rangeSeconds)
}
