package domain

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Each case changes one field of a good document. refused is the field that must be named,
// empty for none.
func TestParseOfferRules(t *testing.T) {
	type change struct {
		name    string
		multi   bool
		field   string
		value   any
		refused string
	}
	same := func(name string, multi bool, field string, value any) change {
		return change{name: name, multi: multi, field: field, value: value, refused: field}
	}
	passes := func(name string, multi bool, field string, value any) change {
		return change{name: name, multi: multi, field: field, value: value}
	}
	long := strings.Repeat("x", 60_000)
	changes := []change{
		same("rule 34: a cap below one", false, "dailyCap", 0),
		same("rule 34: a negative cap", false, "weeklyCap", -1),
		same("rule 34: a fractional cap", false, "monthlyCap", 1.5),
		passes("rule 34: null is no cap", false, "allTimeCap", nil),
		same("rule 34: an offer-level cap on MultiEvent", true, "dailyCap", 5),
		passes("rule 34: a null offer-level cap on MultiEvent", true, "dailyCap", nil),
		same("rule 34: an event's cap below one", true, "offerEvents[1].allTimeCap", 0),
		passes("rule 34: an event's cap", true, "offerEvents[1].allTimeCap", 1),

		same("rule 36: hasRevenue with no value", true, "offerEvents[0].revenue", nil),
		same("rule 36: hasReward with no value", true, "offerEvents[0].reward", nil),
		passes("rule 36: the tenant's ratio", true, "offerEvents[0].useDefaultRatio", true),
		passes("rule 36: hasReward false", true, "offerEvents[0].hasReward", false),

		same("rule 11: a sequence number that is no number", true, "offerEvents[0].sequenceNumber", "first"),
		passes("rule 11: null is independent", true, "offerEvents[0].sequenceNumber", nil),
		same("rule 12: a negative sequence number", true, "offerEvents[0].sequenceNumber", -1),
		passes("rule 13: equal numbers", true, "offerEvents[0].sequenceNumber", 2),
		passes("rule 14: grace of seven days", true, "outOfOrderGraceMinutes", 10_080),
		same("rule 14: grace above seven days", true, "outOfOrderGraceMinutes", 10_080.5),
		same("rule 14: negative grace", true, "outOfOrderGraceMinutes", -1),
		passes("rule 15: fractional hours", true, "offerEvents[1].minTimeFromPreviousEvent", 0.0001),
		same("rule 15: a negative time", true, "offerEvents[1].minTimeFromPreviousEvent", -1),
		passes("rule 18: a fractional deadline", true, "offerEvents[1].deadlineDays", 0.000001),
		same("rule 18: a deadline of nothing", true, "offerEvents[1].deadlineDays", 0),
		same("rule 18: a deadline beyond all bounds", true, "offerEvents[1].deadlineDays", 3651),
		same("rule 18: a session of nothing", false, "sessionDays", 0),
		passes("rule 22: no pending period", true, "offerEvents[1].pendingTime", nil),
		same("rule 22: a reward type that is none", false, "rewardType", "Sometimes"),

		same("rule 3: eventId is unique", true, "offerEvents[1].eventId", "Install"),
		passes("rule 3: byte for byte", true, "offerEvents[1].eventId", "install"),
		same("rule 62: slugs have a form", true, "offerEvents[1].slug", "a b"),
		same("rule 63: the default goal is no end point", true, "offerEvents[0].isEndPoint", true),
		passes("rule 63: another goal is", true, "offerEvents[1].isEndPoint", true),
		same("rule 63: the only goal is no end point", false, "isEndPoint", true),
		same("display order beyond the events", true, "offerEvents[1].displayOrder", 3),
		same("display order twice", true, "offerEvents[1].displayOrder", 1),
		same("display order from one", true, "offerEvents[1].displayOrder", 0),

		same("rule 35: revenue above 100 percent", false, "revenue", 100.5),
		passes("rule 35: a reward above 100 percent", false, "reward", 5000),
		same("rule 37: seven places", false, "reward", json.Number("1.0000001")),
		passes("rule 37: an exact exponent", false, "reward", json.Number("2.5e1")),
		same("rule 37: an exponent beyond the digits", false, "reward", json.Number("1e-7")),
		same("rule 37: a huge exponent", false, "reward", json.Number("1e999999999")),
		same("money is not negative", false, "reward", "-1"),
		same("money in words", false, "reward", "ten"),

		same("a wrong type: boolean", false, "isPaused", "false"),
		same("a wrong type: string", false, "name", 7),
		same("a wrong type: list", false, "countryIds", "US"),
		same("a wrong type: object in a list", true, "offerEvents", []any{1}),
		same("null where it is required", false, "name", nil),
		same("an empty required text", false, "name", "  "),
		same("a text too long", false, "offerDetails", long),
		same("a control character", false, "headline", "a\x00b"),
		same("an unknown provider", false, "trackingSystem", "Nobody"),
		same("a foreign advertiser", false, "advertiserId", uuid.New()),
		same("no UUID", false, "ageId", "everyone"),
		same("an unknown age range", false, "ageId", uuid.New()),
		same("an unknown device", false, "deviceType", []any{"Fridge"}),
		same("budget zero", false, "budget", 0),
		same("no creative", false, "creatives", []any{}),
		same("a date that is none", false, "launchDate", "tomorrow"),
		same("an expiration before the launch", false, "expirationDate", "2025-02-27T23:00:00Z"),
		passes("an expiration in another zone", false, "expirationDate", "2025-02-28T01:00:01+02:00"),
		same("a destination without a host", false, "trackingSystemLink", "https:///x?c={gk_click_id}"),
		same("a destination that runs code", false, "trackingSystemLink", "javascript:alert({gk_click_id})"),
		same("a relative destination", false, "trackingSystemLink", "/x?c={gk_click_id}"),
		same("a macro in the host", false, "trackingSystemLink", "https://{source}.example/?c={gk_click_id}"),
		same("a user name in the destination", false, "trackingSystemLink", "https://u@h.example/?c={gk_click_id}"),
		same("a fallback that is no address", false, "fallbackUrl", "nowhere"),
	}
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			doc := singleDocument()
			if c.multi {
				doc = multiDocument()
			}
			if strings.HasPrefix(c.name, "rule 35") {
				doc["conversionType"] = "RevShare"
			}
			_, _, errs := parseMap(t, changed(doc, c.field, c.value), documentTerms())
			if c.refused == "" {
				require.NoError(t, errs.Err())
				return
			}
			require.Len(t, errs, 1)
			require.Equal(t, c.refused, strings.TrimSuffix(errs[0].Field, "[0]"))
		})
	}
}

func TestParseOfferRatioOfRule36(t *testing.T) {
	terms := documentTerms()
	terms.RewardRatio = nil
	doc := changed(multiDocument(), "offerEvents[1].useDefaultRatio", true)
	_, warnings, errs := parseMap(t, doc, terms)
	require.NoError(t, errs.Err(), "a value stands in for the missing ratio")
	require.Len(t, warnings, 1)

	_, _, errs = parseMap(t, changed(doc, "offerEvents[1].reward", nil), terms)
	require.Equal(t, []string{"offerEvents[1].reward"}, errorFields(errs))
}

func TestParseOfferZeroesPrivatePayoutsOfRule39(t *testing.T) {
	doc := changed(multiDocument(), "offerEvents[1].isPrivate", true)
	doc = changed(doc, "offerEvents[1].payout", "2.50")
	doc = changed(doc, "offerEvents[1].payoutStructureId", uuid.New())
	offer, warnings, errs := parseMap(t, doc, documentTerms())
	require.NoError(t, errs.Err())
	require.Equal(t, Micros(0), *offer.Events[1].Payout)
	require.Nil(t, offer.Events[1].PayoutStructureID)
	require.Len(t, warnings, 1)
}

func TestParseOfferWarnsWhenGoalsAreOffRule69(t *testing.T) {
	terms := documentTerms()
	terms.GoalsEnabled = false
	_, warnings, errs := parseMap(t, multiDocument(), terms)
	require.NoError(t, errs.Err())
	require.Len(t, warnings, 1)
}

func TestParseOfferMakesSlugsUniqueRule62(t *testing.T) {
	doc := changed(multiDocument(), "offerEvents[1].name", "Install!")
	offer := mustParse(t, doc, documentTerms())
	require.Equal(t, "install", offer.Events[0].Slug)
	require.Equal(t, "install-2", offer.Events[1].Slug)

	doc = changed(changed(doc, "offerEvents[0].slug", "same"), "offerEvents[1].slug", "Same")
	_, _, errs := parseMap(t, doc, documentTerms())
	require.Equal(t, []string{"offerEvents[1].slug"}, errorFields(errs))

	require.Equal(t, "ueber-level-7-erreicht", Slug("Über Level 7: erreicht?"))
	require.Empty(t, Slug("レベル"))
}

func TestParseOfferEscapesWithoutASanitiser(t *testing.T) {
	terms := documentTerms()
	terms.Sanitize = nil
	offer := mustParse(t, changed(singleDocument(), "keyPoints", "<script>1&amp;2</script>"), terms)
	require.Equal(t, "&lt;script&gt;1&amp;2&lt;/script&gt;", offer.KeyPoints)
}

func TestOfferStatus(t *testing.T) {
	launch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end := launch.Add(time.Hour)
	offer := Offer{LaunchAt: launch, ExpiresAt: &end}
	require.Equal(t, OfferStatusPending, offer.Status(launch.Add(-1)))
	require.Equal(t, OfferStatusActive, offer.Status(launch))
	require.Equal(t, OfferStatusActive, offer.Status(end.Add(-1)))
	require.Equal(t, OfferStatusExpired, offer.Status(end))
	offer.IsPaused = true
	require.Equal(t, OfferStatusPending, offer.Status(launch))
	require.Equal(t, OfferStatusExpired, offer.Status(end))
}

func TestDefaultEventIsTheFirstActive(t *testing.T) {
	offer := Offer{Events: []Event{{DisplayOrder: 2, Name: "b"}, {DisplayOrder: 1, Name: "a", GoalSettings: GoalSettings{Status: GoalStatusDeleted}}}}
	require.Equal(t, "b", offer.DefaultEvent().Name)
	offer.Events[0].Status = GoalStatusDeleted
	require.Equal(t, "a", offer.DefaultEvent().Name)
	require.Nil(t, (&Offer{}).DefaultEvent())
}
