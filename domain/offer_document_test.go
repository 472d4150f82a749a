package domain

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

var documentAdvertiser = uuid.MustParse("3fa85f64-5717-4562-b3fc-2c963f66afa6")

func everyone() uuid.UUID { return LookupID("ages", "everyone") }

// documentTerms are a publisher's with goals on and ten points to a unit of revenue.
func documentTerms() OfferTerms {
	ratio := Micros(10 * MicrosPerUnit)
	return OfferTerms{
		RewardRatio: &ratio, GoalsEnabled: true,
		Sanitize:         strings.TrimSpace,
		AdvertiserExists: func(id uuid.UUID) bool { return id == documentAdvertiser },
	}
}

func singleDocument() map[string]any {
	return map[string]any{
		"trackingSystemLink": "https://advertiser.example/track?sub1={gk_click_id}", "trackingSystem": "appsflyer",
		"name": "SiriusXM", "headline": "Get 3 months", "offerDetails": "<b>Play</b>",
		"creatives": []any{map[string]any{"order": 1, "url": "https://cdn.example/a.png", "metadata": "banner"}},
		"offerType": "SingleEvent", "conversionType": "FlatRate", "advertiserId": documentAdvertiser,
		"isPaused": false, "budgetType": "Daily", "budget": 1000, "launchDate": "2025-02-27T23:00:00Z",
		"ageId": everyone(), "categoryIds": []any{}, "countryIds": []any{"US", "can", "276"},
		"revenue": 30, "reward": "10.5", "rewardType": "Automatic", "pendingTime": 0.5,
		"initialEpc": "5", "isEpcLocked": false,
	}
}

func eventDocument(name string, order int) map[string]any {
	return map[string]any{
		"name": name, "showOnOfferWall": true, "eventId": name, "displayOrder": order, "sequenceNumber": order,
		"pendingTime": 0, "hasRevenue": true, "revenue": 5, "hasReward": true, "useDefaultRatio": false, "reward": 2,
	}
}

func multiDocument() map[string]any {
	doc := singleDocument()
	for _, name := range []string{"revenue", "reward", "rewardType", "pendingTime"} {
		delete(doc, name)
	}
	doc["offerType"] = "MultiEvent"
	doc["offerEvents"] = []any{eventDocument("Install", 1), eventDocument("Level 7", 2)}
	return doc
}

// changed sets a field by path, `offerEvents.1.revenue` style with the event's index; the value
// absent deletes it.
type absentValue struct{}

var absent = absentValue{}

func changed(doc map[string]any, field string, value any) map[string]any {
	at := doc
	if rest, found := strings.CutPrefix(field, "offerEvents["); found {
		at = doc["offerEvents"].([]any)[rest[0]-'0'].(map[string]any)
		field = rest[3:]
	}
	if value == absent {
		delete(at, field)
	} else {
		at[field] = value
	}
	return doc
}

func parseMap(t testing.TB, doc map[string]any, terms OfferTerms) (Offer, []string, FieldErrors) {
	t.Helper()
	raw, err := json.Marshal(doc)
	require.NoError(t, err)
	return ParseOffer(raw, terms)
}

func mustParse(t testing.TB, doc map[string]any, terms OfferTerms) Offer {
	t.Helper()
	offer, _, errs := parseMap(t, doc, terms)
	require.NoError(t, errs.Err())
	return offer
}

func errorFields(errs FieldErrors) []string {
	fields := make([]string, len(errs))
	for i, e := range errs {
		fields[i] = e.Field
	}
	return fields
}

func TestParseOfferReadsASingleEventOffer(t *testing.T) {
	offer, warnings, errs := parseMap(t, singleDocument(), documentTerms())
	require.NoError(t, errs.Err())
	require.Empty(t, warnings)
	require.Equal(t, "AppsFlyer", offer.TrackingSystem)
	require.Equal(t, []string{"US", "CA", "DE"}, offer.Targeting.Countries)
	require.Equal(t, Micros(5*MicrosPerUnit), offer.InitialEPC)
	require.Equal(t, time.Date(2025, 2, 27, 23, 0, 0, 0, time.UTC), offer.LaunchAt)
	require.Equal(t, 30*24*time.Hour, offer.SessionDays.Days())
	require.Equal(t, time.Hour, offer.Grace())

	require.Len(t, offer.Events, 1)
	event := offer.Events[0]
	require.NotEqual(t, uuid.Nil, event.ID)
	require.Equal(t, "siriusxm", event.Slug)
	require.Equal(t, Micros(30*MicrosPerUnit), *event.Revenue)
	require.Equal(t, Micros(10_500_000), *event.Reward)
	require.Equal(t, 12*time.Hour, event.PendingTime.Days())
	require.Equal(t, 10*time.Second, event.Dedupe())
	require.True(t, event.HasRevenue && event.HasReward && event.ShowOnOfferWall)
}

func TestParseOfferReadsAMultiEventOffer(t *testing.T) {
	doc := multiDocument()
	slices.Reverse(doc["offerEvents"].([]any))
	offer := mustParse(t, doc, documentTerms())
	require.Equal(t, []string{"Install", "Level 7"}, []string{offer.Events[0].EventID, offer.Events[1].EventID})
	require.Equal(t, "level-7", offer.Events[1].Slug)
	require.Equal(t, "Install", offer.DefaultEvent().EventID)
	require.Equal(t, RewardTypeAutomatic, offer.RewardType)
}

// Every required field of the table is refused by name when it is missing, and all at once.
func TestParseOfferNamesEveryMissingField(t *testing.T) {
	always := []string{"trackingSystemLink", "trackingSystem", "name", "headline", "offerDetails", "creatives",
		"offerType", "conversionType", "advertiserId", "isPaused", "budgetType", "budget", "launchDate", "ageId",
		"categoryIds", "countryIds", "initialEpc", "isEpcLocked"}
	single := []string{"revenue", "reward", "rewardType", "pendingTime"}
	event := []string{"name", "showOnOfferWall", "eventId", "displayOrder", "sequenceNumber", "pendingTime",
		"hasRevenue", "revenue", "hasReward", "useDefaultRatio", "reward"}

	for _, field := range slices.Concat(always, single) {
		_, _, errs := parseMap(t, changed(singleDocument(), field, absent), documentTerms())
		require.Equal(t, []string{field}, errorFields(errs))
	}
	for _, field := range event {
		field = "offerEvents[1]." + field
		_, _, errs := parseMap(t, changed(multiDocument(), field, absent), documentTerms())
		require.Equal(t, []string{field}, errorFields(errs))
	}
	_, _, errs := parseMap(t, changed(multiDocument(), "offerEvents", absent), documentTerms())
	require.Equal(t, []string{"offerEvents"}, errorFields(errs))

	_, _, errs = parseMap(t, map[string]any{"offerType": "SingleEvent"}, documentTerms())
	want := slices.Concat(always, single)
	want = slices.DeleteFunc(want, func(f string) bool { return f == "offerType" })
	require.ElementsMatch(t, want, errorFields(errs))

	_, _, errs = parseMap(t, changed(singleDocument(), "shouldSendCostData", true), documentTerms())
	require.ElementsMatch(t, []string{"advertiserCampaignName", "costData"}, errorFields(errs))
	doc := changed(singleDocument(), "shouldSendCostData", true)
	doc["advertiserCampaignName"], doc["costData"] = "c", []any{map[string]any{}}
	_, _, errs = parseMap(t, doc, documentTerms())
	require.Equal(t, []string{"costData[0].costModel", "costData[0].appName", "costData[0].storeId"}, errorFields(errs))
}

func TestParseOfferRefusesTheBody(t *testing.T) {
	for _, doc := range []string{"", "[]", "null", "{", `{} {}`, "{\"name\":\"\xff\"}", strings.Repeat("[", 100_000),
		`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}"} {
		_, _, errs := ParseOffer([]byte(doc), documentTerms())
		require.Equal(t, []string{"body"}, errorFields(errs), doc)
	}
}

func TestParseOfferNamesAndWarnings(t *testing.T) {
	doc := multiDocument()
	doc["HEADLINE"] = doc["headline"].(string) + " twice"
	doc["foo"], doc["Id"], doc["status"] = 1, uuid.New(), "Pending"
	doc["offerEvents"].([]any)[0].(map[string]any)["foo"] = map[string]any{"deep": true}
	doc["OFFERTYPE"] = doc["offerType"]
	delete(doc, "offerType")
	offer, warnings, errs := parseMap(t, doc, documentTerms())
	require.NoError(t, errs.Err())
	require.Equal(t, "Get 3 months", offer.Headline, "the documented spelling wins")
	require.ElementsMatch(t, []string{
		"HEADLINE: has several values and was ignored",
		"foo: unknown field, ignored", "offerEvents[0].foo: unknown field, ignored",
	}, warnings)

	raw := []byte(`{"NAME":"first","Name":"second"}`)
	root, err := parseDocNode(raw)
	require.NoError(t, err)
	value, _ := (&docReader{}).fields("", root).take("name")
	require.Equal(t, "second", value.text, "of undocumented spellings the last wins")
}

func TestParseOfferKeepsIdentity(t *testing.T) {
	first := mustParse(t, multiDocument(), documentTerms())
	first.ID, first.TenantID, first.Version = uuid.New(), uuid.New(), 3
	terms := documentTerms()
	terms.Previous = &first

	doc := changed(multiDocument(), "offerEvents[0].id", first.Events[1].ID)
	doc = changed(doc, "offerEvents[0].eventId", "Renamed")
	doc = changed(changed(doc, "offerEvents[0].name", "Renamed"), "offerEvents[1].eventId", "New")
	second := mustParse(t, doc, terms)
	require.Equal(t, first.ID, second.ID)
	require.Equal(t, first.TenantID, second.TenantID)
	require.Equal(t, int64(3), second.Version)
	require.Equal(t, first.Events[1].ID, second.Events[0].ID, "by id")
	require.Equal(t, "level-7", second.Events[0].Slug, "the goal's name in URLs outlives its title")
	require.NotContains(t, []uuid.UUID{first.Events[0].ID, first.Events[1].ID}, second.Events[1].ID)

	again := mustParse(t, multiDocument(), terms)
	require.Equal(t, first.Events[0].ID, again.Events[0].ID, "by eventId")
	require.Equal(t, first.Events[1].ID, again.Events[1].ID, "by eventId")

	single := mustParse(t, singleDocument(), documentTerms())
	terms.Previous = &single
	require.Equal(t, single.Events[0].ID, mustParse(t, changed(singleDocument(), "name", "Other"), terms).Events[0].ID)
}

func TestParseOfferReadsAllSettings(t *testing.T) {
	tier, structure := uuid.New(), uuid.New()
	doc := singleDocument()
	maps.Copy(doc, map[string]any{
		"slug": "Trial", "requiresApproval": true, "oncePerSession": true, "recordAs": "CLICK", "goalStatus": "deleted",
		"reference": "ref", "payout": 3, "payoutStructureId": structure, "payoutTiers": map[string]any{strings.ToUpper(tier.String()): "1.5"},
		"revenueTiers": map[string]any{}, "dedupeSeconds": 0.5, "enforceEncryptedTracking": true, "sessionDays": 0.001,
		"outOfOrderGraceMinutes": 0, "trustCompletionTime": true, "overCapPolicy": "Pending", "fallbackUrl": "https://x.example/",
		"minClickToConversionSeconds": 1.25, "deviceType": "iOS, android", "zipCodes": []any{"92801", " sw1a 1aa ", "SW1A1AA"},
		"genderIds": []any{"F", "male"}, "stateIds": []any{"us-ca"}, "dailyCap": 1, "allTimeCap": "12", "isFeatured": true,
	})
	offer, warnings, errs := parseMap(t, doc, documentTerms())
	require.NoError(t, errs.Err())
	require.Empty(t, warnings)
	goal := offer.Events[0]
	require.Equal(t, "trial", goal.Slug)
	require.Equal(t, RecordAsClick, goal.RecordAs)
	require.Equal(t, GoalStatusDeleted, goal.Status)
	require.Equal(t, map[string]Micros{tier.String(): 1_500_000}, goal.PayoutTiers)
	require.Nil(t, goal.RevenueTiers)
	require.Equal(t, 500*time.Millisecond, goal.Dedupe())
	require.Equal(t, 1250*time.Millisecond, offer.MinClickToConversion())
	require.Equal(t, 86_400*time.Millisecond, offer.SessionDays.Days())
	require.Zero(t, offer.Grace())
	require.Equal(t, OverCapPolicyPending, offer.OverCapPolicy)
	require.Equal(t, []string{"IOS", "Android"}, offer.Targeting.Devices)
	require.Equal(t, []string{"92801", "SW1A 1AA"}, offer.Targeting.ZipCodes)
	require.Equal(t, []string{"female", "male"}, offer.Targeting.Genders)
	require.Equal(t, []string{"US-CA"}, offer.Targeting.States)
	require.Equal(t, int64(12), *goal.AllTime)
}

// A code that comes as a number has lost its leading zeros: 00501 is New York, 501 is nowhere. It is
// refused, and the refusal names it.
func TestCodesSentAsNumbersAreRefused(t *testing.T) {
	doc := multiDocument()
	maps.Copy(doc, map[string]any{
		"zipCodes": []any{"00501", 501, json.Number("1e3")}, "countryIds": []any{"008", 840}, "stateIds": []any{6}, "genderIds": []any{1},
	})
	_, _, errs := parseMap(t, doc, documentTerms())
	reasons := map[string]string{}
	for _, e := range errs {
		reasons[e.Field] = e.Reason
	}
	for _, field := range []string{"zipCodes[1]", "zipCodes[2]", "countryIds[1]", "stateIds[0]", "genderIds[0]"} {
		require.Equal(t, mustBeText, reasons[field], field)
		delete(reasons, field)
	}
	require.Empty(t, reasons, "text is as good as ever")
}
