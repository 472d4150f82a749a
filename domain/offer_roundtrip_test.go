package domain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func drawUUID(t *rapid.T, name string) uuid.UUID {
	id, err := uuid.FromBytes(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name))
	if err != nil || id == uuid.Nil {
		t.Skip("no id")
	}
	return id
}

func drawWords(t *rapid.T, name string) string {
	return strings.TrimSpace(rapid.StringMatching(`[A-Za-zäöü<>&"'0-9 .!]{1,30}`).
		Filter(func(s string) bool { return strings.TrimSpace(s) != "" }).Draw(t, name))
}

// drawMicros draws from a range, its ends and zero more often than chance would.
func drawMicros(t *rapid.T, name string, bounds docRange) Micros {
	return rapid.OneOf(
		rapid.Just(bounds.min), rapid.Just(bounds.max),
		rapid.Custom(func(t *rapid.T) Micros {
			return Micros(rapid.Int64Range(int64(bounds.min), int64(bounds.max)).Draw(t, "m"))
		}),
	).Draw(t, name)
}

func drawOptional[T any](t *rapid.T, name string, draw func() T) *T {
	if rapid.Bool().Draw(t, name+"?") {
		value := draw()
		return &value
	}
	return nil
}

func drawCaps(t *rapid.T) Caps {
	one := func(name string) *int64 {
		return drawOptional(t, name, func() int64 { return rapid.Int64Range(1, maxCap).Draw(t, name) })
	}
	return Caps{Daily: one("daily"), Weekly: one("weekly"), Monthly: one("monthly"), AllTime: one("all")}
}

func drawGoal(t *rapid.T, kind ConversionType, order int) GoalSettings {
	g := GoalSettings{
		Slug:             fmt.Sprintf("goal-%d", order),
		RequiresApproval: rapid.Bool().Draw(t, "approval"), OncePerSession: rapid.Bool().Draw(t, "once"),
		IsEndPoint:    order > 1 && rapid.Bool().Draw(t, "end"),
		RecordAs:      rapid.SampledFrom([]RecordAs{RecordAsConversion, RecordAsClick}).Draw(t, "as"),
		Status:        GoalStatusActive,
		Reference:     drawWords(t, "ref"),
		DedupeSeconds: drawMicros(t, "dedupe", rangeSeconds),
		IsPrivate:     rapid.Bool().Draw(t, "private"),
	}
	if order > 1 && rapid.Bool().Draw(t, "deleted") {
		g.Status = GoalStatusDeleted
	}
	if !g.IsPrivate {
		g.Payout = drawOptional(t, "payout", func() Micros { return drawMicros(t, "payout", revenueRange(kind)) })
		g.PayoutStructureID = drawOptional(t, "structure", func() uuid.UUID { return drawUUID(t, "structure") })
	}
	if rapid.Bool().Draw(t, "tiers") {
		g.RevenueTiers = map[string]Micros{drawUUID(t, "tier").String(): drawMicros(t, "tier figure", revenueRange(kind))}
	}
	return g
}

func drawEvent(t *rapid.T, kind ConversionType, order int) Event {
	days := func(name string, bounds docRange) *Micros {
		return drawOptional(t, name, func() Micros { return drawMicros(t, name, bounds) })
	}
	revenue, reward := drawMicros(t, "revenue", revenueRange(kind)), drawMicros(t, "reward", rewardRange(kind))
	return Event{
		ID: drawUUID(t, "event"), Name: drawWords(t, "event name"), EventID: fmt.Sprintf("%s %d", drawWords(t, "eventId"), order),
		ShowOnOfferWall: rapid.Bool().Draw(t, "show"), DisplayOrder: order,
		SequenceNumber: drawOptional(t, "sequence", func() int { return rapid.IntRange(0, maxOrder).Draw(t, "sequence") }),
		DeadlineDays:   days("deadline", rangeWindow), MinTimeFromPreviousEvent: days("gap", rangeHours),
		PendingTime: days("pending", rangeDays),
		HasRevenue:  rapid.Bool().Draw(t, "has revenue"), Revenue: &revenue,
		HasReward: rapid.Bool().Draw(t, "has reward"), Reward: &reward,
		Caps: drawCaps(t), AllowRepetitions: rapid.Bool().Draw(t, "repeats"), GoalSettings: drawGoal(t, kind, order),
	}
}

func drawEvents(t *rapid.T, o *Offer) {
	if o.OfferType == OfferTypeMultiEvent {
		for order := range rapid.IntRange(1, 4).Draw(t, "events") {
			o.Events = append(o.Events, drawEvent(t, o.ConversionType, order+1))
		}
		return
	}
	e := drawEvent(t, o.ConversionType, 1)
	e.Name, e.EventID, e.SequenceNumber, e.DeadlineDays, e.MinTimeFromPreviousEvent = o.Name, "", nil, nil, nil
	e.ShowOnOfferWall, e.HasRevenue, e.HasReward = true, true, true
	if e.PendingTime == nil {
		e.PendingTime = new(Micros)
	}
	o.Events = []Event{e}
}

func drawTargeting(t *rapid.T) Targeting {
	ages, _ := Lookup("ages")
	categories, _ := Lookup("categories")
	age := rapid.SampledFrom(ages).Draw(t, "age")
	codes := func(kind string) []string {
		items, _ := Lookup(kind)
		list := []string{}
		for _, item := range rapid.SliceOfNDistinct(rapid.SampledFrom(items), 0, 3, func(i LookupItem) string { return i.Code }).Draw(t, kind) {
			list = append(list, item.Code)
		}
		return list
	}
	devices := rapid.SliceOfNDistinct(rapid.SampledFrom(deviceTypes[:4]), 0, 4, rapid.ID[string]).Draw(t, "devices")
	zips := rapid.SliceOfNDistinct(rapid.StringMatching(`[0-9]{5}|[A-Z]{2}[0-9] [0-9][A-Z]{2}`), 0, 3, postalKey).Draw(t, "zips")
	return Targeting{
		AgeID: age.ID, MinAge: age.MinAge, MaxAge: age.MaxAge,
		CategoryIDs: []uuid.UUID{rapid.SampledFrom(categories).Draw(t, "category").ID},
		Countries:   codes("countries"), States: codes("states"), Genders: codes("genders"),
		ZipCodes: append([]string{}, zips...), Devices: append([]string{}, devices...),
		PlacementIDs: []uuid.UUID{drawUUID(t, "placement")}, ShowForUnknownGender: rapid.Bool().Draw(t, "unknown gender"),
	}
}

func drawOffer(t *rapid.T) Offer {
	launch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "launch")) * time.Microsecond)
	text := "metadata"
	o := Offer{
		ID: drawUUID(t, "offer"), TenantID: drawUUID(t, "tenant"), Version: rapid.Int64Range(1, 1e6).Draw(t, "version"),
		AdvertiserID: documentAdvertiser, TrackingSystemLink: "https://a.example/?c={gk_click_id}&n={gk_offer_name}#f",
		TrackingSystem:     rapid.SampledFrom(TrackingSystems()).Draw(t, "system"),
		ShouldSendCostData: rapid.Bool().Draw(t, "cost"),
		Name:               drawWords(t, "name"), AdvertiserCampaignName: drawWords(t, "campaign"), Headline: drawWords(t, "headline"),
		ShortDescription: drawWords(t, "short"), KeyPoints: drawWords(t, "points"), OfferDetails: drawWords(t, "details"),
		TermsAndDisclaimers: drawWords(t, "terms") + "\n2.",
		Creatives:           []Creative{{Order: 0, URL: "https://c.example/1"}, {Order: 1, URL: "https://c.example/2", Metadata: &text}},
		OfferType:           rapid.SampledFrom([]OfferType{OfferTypeSingleEvent, OfferTypeMultiEvent}).Draw(t, "type"),
		ConversionType:      rapid.SampledFrom([]ConversionType{ConversionTypeFlatRate, ConversionTypeRevShare}).Draw(t, "kind"),
		RewardType:          rapid.SampledFrom([]RewardType{RewardTypeAutomatic, RewardTypeManual}).Draw(t, "reward type"),
		IsFeatured:          rapid.Bool().Draw(t, "featured"), IsPaused: rapid.Bool().Draw(t, "paused"),
		BudgetType: rapid.SampledFrom([]BudgetType{BudgetTypeDaily, BudgetTypeTotal}).Draw(t, "budget type"),
		Budget:     drawMicros(t, "budget", rangeBudget), LaunchAt: launch,
		ExpiresAt:  drawOptional(t, "expires", func() time.Time { return launch.Add(time.Hour) }),
		Targeting:  drawTargeting(t),
		InitialEPC: drawMicros(t, "epc", rangeMoney), IsEPCLocked: rapid.Bool().Draw(t, "locked"),
		EnforceEncryptedTracking: rapid.Bool().Draw(t, "encrypted"), TrustCompletionTime: rapid.Bool().Draw(t, "trust"), TrustAdvertiserStatus: rapid.Bool().Draw(t, "trust verdicts"),
		SessionDays: drawMicros(t, "session", rangeWindow), OutOfOrderGraceMinutes: drawMicros(t, "grace", rangeGrace),
		OverCapPolicy: rapid.SampledFrom([]OverCapPolicy{OverCapPolicyReject, OverCapPolicyPending}).Draw(t, "policy"),
		FallbackURL:   rapid.SampledFrom([]string{"", "https://f.example/"}).Draw(t, "fallback"), MinClickToConversionSeconds: drawMicros(t, "min", rangeSeconds),
	}
	if o.ShouldSendCostData {
		o.CostData = []CostDatum{{CostModel: "CPI", AppName: "Coin Game", StoreID: "com.example.app"}}
	}
	drawEvents(t, &o)
	return o
}

func TestOfferDocumentRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offer := drawOffer(t)
		terms := documentTerms()
		terms.Previous = &offer
		doc, err := offer.MarshalDocument()
		require.NoError(t, err)
		again, warnings, errs := ParseOffer(doc, terms)
		require.NoError(t, errs.Err())
		require.Equal(t, offer, again)
		for _, warning := range warnings {
			require.NotContains(t, warning, "unknown field")
			require.NotContains(t, warning, "ignored")
		}
	})
}

func TestOfferStorageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offer := drawOffer(t)
		stored, err := json.Marshal(offer)
		require.NoError(t, err)
		var again Offer
		require.NoError(t, json.Unmarshal(stored, &again))
		require.Equal(t, offer, again)
	})
}

// The embedded caps and goal settings lie flat in the event.
func TestOfferStorageForm(t *testing.T) {
	cap := int64(3)
	stored, err := json.Marshal(Event{Caps: Caps{Weekly: &cap}, GoalSettings: GoalSettings{Slug: "s"}})
	require.NoError(t, err)
	require.Contains(t, string(stored), `"weeklyCap":3`)
	require.Contains(t, string(stored), `"slug":"s"`)
}

// Answers have money as decimal strings and durations as numbers.
func TestOfferDocumentForm(t *testing.T) {
	offer := mustParse(t, singleDocument(), documentTerms())
	raw, err := offer.MarshalDocument()
	require.NoError(t, err)
	var doc map[string]any
	require.NoError(t, json.Unmarshal(raw, &doc))
	require.Equal(t, "30.00", doc["revenue"])
	require.Equal(t, "10.50", doc["reward"])
	require.Equal(t, "1000.00", doc["budget"])
	require.Equal(t, 0.5, doc["pendingTime"])
	require.Equal(t, 30.0, doc["sessionDays"])
	require.Equal(t, []any{"All"}, doc["deviceType"])
	require.Equal(t, "2025-02-27T23:00:00Z", doc["launchDate"])
	require.NotContains(t, doc, "offerEvents")
	require.NotContains(t, doc, "status", "the offer's own status has that name")
}

// Whatever a field holds, the document is read without a panic, every refusal names a field, and
// what is accepted survives its round trip.
func TestAnyFieldMayHoldAnything(t *testing.T) {
	junk := []any{nil, true, false, 0, -1, 1.5, 1e30, "", " ", "x", "0", "1e3", "All", "Manual", "deleted", "RevShare",
		[]any{}, []any{nil}, []any{"x"}, []any{map[string]any{}}, map[string]any{}, map[string]any{"x": 1}, "\u0000", "\u2028",
		uuid.Nil, everyone(), "https://x.example/{gk_click_id}", "<b>&amp;</b>", strings.Repeat("é", 300), "9999-12-31T23:59:59.9999999Z"}
	fields := append([]string{"deviceType", "genderIds", "stateIds", "zipCodes", "placementIds", "fallbackUrl", "slug", "payoutTiers",
		"payout", "isEndPoint", "isPrivate", "dedupeSeconds", "sessionDays", "overCapPolicy", "recordAs", "status", "goalStatus",
		"offerEvents[1].id", "offerEvents[1].eventId", "offerEvents[1].slug", "offerEvents[1].displayOrder", "offerEvents[1].deadlineDays",
		"offerEvents[0].hasRevenue", "offerEvents[0].reward", "offerEvents[0].name", "offerEvents[1].status"}, capFields...)
	for field := range singleDocument() {
		fields = append(fields, field)
	}
	slices.Sort(fields)
	rapid.Check(t, func(t *rapid.T) {
		doc := multiDocument()
		if rapid.Bool().Draw(t, "single") {
			doc = singleDocument()
		}
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			field := rapid.SampledFrom(fields).Draw(t, "field")
			if list, ok := doc["offerEvents"].([]any); strings.HasPrefix(field, "offerEvents[") && (!ok || len(list) < 2) {
				continue
			}
			changed(doc, field, rapid.SampledFrom(junk).Draw(t, "value"))
		}
		raw, err := json.Marshal(doc)
		require.NoError(t, err)
		terms := documentTerms()
		terms.Sanitize = nil
		offer, _, errs := ParseOffer(raw, terms)
		for _, e := range errs {
			require.NotEmpty(t, e.Field)
			require.NotEmpty(t, e.Reason)
		}
		if len(errs) > 0 {
			return
		}
		terms.Previous = &offer
		wire, err := offer.MarshalDocument()
		require.NoError(t, err)
		again, _, errs := ParseOffer(wire, terms)
		require.NoError(t, errs.Err())
		require.Equal(t, offer, again)
	})
}
