package domain

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// wireNames are the names of a document's fields, those of what lies flat in it among them.
func wireNames(of reflect.Type) (names []string) {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" {
			names = append(names, wireNames(field.Type)...)
		} else {
			names = append(names, name)
		}
	}
	return names
}

// Rule 57: every field of the document, and of an event, is somebody's; and the table names no others.
func TestRule57EveryFieldHasAnOwner(t *testing.T) {
	t.Parallel()
	wire := []string{}
	for _, name := range wireNames(reflect.TypeFor[OfferDocument]()) {
		if name != "offerEvents" {
			wire = append(wire, name)
		}
	}
	for _, name := range wireNames(reflect.TypeFor[EventDocument]()) {
		wire = append(wire, eventPrefix+name)
	}
	table := []string{}
	for _, field := range OfferFields() {
		table = append(table, field.Name)
		require.Contains(t, []FieldOwner{OwnerEither, OwnerAdvertiser, OwnerPublisher, OwnerNobody}, field.Owner, field.Name)
	}
	require.ElementsMatch(t, wire, table)
}

// Rule 57, as its text has it: every field of the document, and of an event, by its owner. What is
// neither side's alone is either's, and stands here too, so that a new field needs a decision.
func TestRule57Owners(t *testing.T) {
	t.Parallel()
	owners := map[FieldOwner]string{
		// Destination, attribution provider, postback security, the one figure, caps, budget.
		OwnerAdvertiser: `trackingSystemLink trackingSystem shouldSendCostData costData advertiserCampaignName advertiserId offerType conversionType
			enforceEncryptedTracking revenue offerEvents[].revenue offerEvents[].hasRevenue
			dailyCap weeklyCap monthlyCap allTimeCap offerEvents[].dailyCap offerEvents[].weeklyCap offerEvents[].monthlyCap offerEvents[].allTimeCap
			budgetType budget ` +
			// What decides whether and when a conversion counts.
			`offerEvents[].eventId slug offerEvents[].slug offerEvents[].sequenceNumber offerEvents[].minTimeFromPreviousEvent
			offerEvents[].deadlineDays sessionDays outOfOrderGraceMinutes trustCompletionTime trustAdvertiserStatus
			allowRepetitions offerEvents[].allowRepetitions dedupeSeconds offerEvents[].dedupeSeconds oncePerSession offerEvents[].oncePerSession
			isEndPoint offerEvents[].isEndPoint pendingTime offerEvents[].pendingTime rewardType requiresApproval offerEvents[].requiresApproval
			recordAs offerEvents[].recordAs goalStatus offerEvents[].status minClickToConversionSeconds overCapPolicy`,
		OwnerPublisher: `reward offerEvents[].reward offerEvents[].hasReward offerEvents[].useDefaultRatio placementIds categoryIds
			isFeatured offerEvents[].showOnOfferWall initialEpc isEpcLocked
			payout payoutStructureId payoutTiers offerEvents[].payout offerEvents[].payoutStructureId offerEvents[].payoutTiers`,
		OwnerEither: `name headline shortDescription keyPoints offerDetails termsAndDisclaimers creatives isPaused launchDate expirationDate
			ageId countryIds stateIds zipCodes genderIds showForUnknownGender deviceType fallbackUrl
			isPrivate offerEvents[].isPrivate reference offerEvents[].reference offerEvents[].name offerEvents[].displayOrder`,
		OwnerNobody: `id version goalId offerEvents[].id revenueTiers offerEvents[].revenueTiers`,
	}
	decided := map[string]FieldOwner{}
	for owner, names := range owners {
		for _, name := range strings.Fields(names) {
			require.NotContains(t, decided, name)
			decided[name] = owner
		}
	}
	table := map[string]FieldOwner{}
	for _, field := range OfferFields() {
		table[field.Name] = field.Owner
	}
	require.Equal(t, decided, table)
	for path, owner := range map[string]FieldOwner{
		"costData[0].appName": OwnerAdvertiser, "offerEvents[3].revenue": OwnerAdvertiser, "offerEvents[" + everyone().String() + "].status": OwnerAdvertiser,
		"placementIds[4]": OwnerPublisher, "payoutTiers." + everyone().String(): OwnerPublisher, "offerEvents[1].useDefaultRatio": OwnerPublisher,
		"creatives[0].url": OwnerEither, "offerEvents[1].id": OwnerNobody,
		"body": OwnerNobody, "offerEvents": OwnerNobody, "offerEvents[1]": OwnerNobody, "unheardOf": OwnerNobody, "offerEvents[1].unheardOf": OwnerNobody,
	} {
		require.Equal(t, owner, OwnerOf(path), path)
	}
}

// Rule 57: the event that is shown first is the default goal (rules 62, 69), which decides what counts.
// So it is the advertiser's, and the order of the others is anybody's.
func TestRule57WhichEventIsFirstIsTheAdvertisers(t *testing.T) {
	t.Parallel()
	offer := patchedMulti(t)
	third := offer.Events[1]
	third.ID, third.EventID, third.Slug, third.DisplayOrder = uuid.New(), "third", "third", 3
	offer.Events = append(offer.Events, third)
	ordered := func(orders ...int) *Offer {
		after := *offer
		after.Events = slices.Clone(offer.Events)
		for i := range after.Events {
			after.Events[i].DisplayOrder = orders[i]
		}
		return &after
	}
	for _, c := range []struct {
		after *Offer
		want  []string
	}{
		{ordered(1, 3, 2), nil},
		{ordered(2, 1, 3), []string{eventField(offer.Events[0].ID.String(), "displayOrder"), eventField(offer.Events[1].ID.String(), "displayOrder")}},
	} {
		for side, want := range map[Side][]string{SideAdvertiser: nil, SidePublisher: c.want} {
			_, foreign, err := CheckEdit(side, offer, c.after)
			require.NoError(t, err)
			require.Equal(t, want, fieldsNamed(foreign), side)
		}
	}
}

// applied is a document with changes applied to it, as somebody would who follows the change log.
func applied(t require.TestingT, before *Offer, changes []OfferChange, after OfferType) map[string]any {
	read := func(text []byte) (v any) {
		require.NoError(t, json.Unmarshal(text, &v))
		return v
	}
	text, err := before.MarshalDocument()
	require.NoError(t, err)
	doc := read(text).(map[string]any)
	events, made := map[string]map[string]any{}, map[string]bool{}
	for i, event := range before.Events {
		if before.OfferType == OfferTypeMultiEvent {
			events[event.ID.String()] = doc["offerEvents"].([]any)[i].(map[string]any)
		}
	}
	if before.OfferType != after { // what the other type has begins as nothing
		for name, value := range defaultSingle() {
			delete(doc, name)
			if after == OfferTypeSingleEvent {
				doc[name] = read(value)
			}
		}
		delete(doc, "payoutTiers")
		delete(doc, "revenueTiers")
	}
	for _, change := range changes {
		var value any
		if change.New != nil {
			value = read(change.New)
		}
		id, name, isEvent := eventFieldOf(change.Field)
		at, fresh := doc, before.OfferType != after
		if isEvent {
			if fresh = events[id.String()] == nil || made[id.String()]; fresh && !made[id.String()] {
				made[id.String()] = true
				events[id.String()] = read([]byte(mustJSON(t, defaultEvent()))).(map[string]any)
				events[id.String()]["id"] = id.String()
			}
			at = events[id.String()]
			if name == "name" && value == nil {
				delete(events, id.String())
				continue
			}
		}
		if !fresh {
			require.JSONEq(t, mustJSON(t, at[name]), mustJSON(t, change.Old), change.Field)
		}
		if at[name] = value; value == nil && (name == "payoutTiers" || name == "revenueTiers") {
			delete(at, name)
		}
		if !isEvent && after == OfferTypeMultiEvent && slices.Contains(singleNames(), name) {
			delete(doc, name)
		}
	}
	list := []any{}
	for _, event := range events {
		if event["name"] != nil && event["name"] != "" {
			list = append(list, event)
		}
	}
	slices.SortFunc(list, func(a, b any) int {
		return int(a.(map[string]any)["displayOrder"].(float64) - b.(map[string]any)["displayOrder"].(float64))
	})
	delete(doc, "offerEvents")
	if len(list) > 0 {
		doc["offerEvents"] = list
	}
	return doc
}

func mustJSON(t require.TestingT, v any) string {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

// Rule 56: what the change log says of an edit makes the old document the new one, and a change says
// what stood there before.
func TestRule56ChangesLeadFromOldToNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := drawOffer(t), drawOffer(t)
		after.ID, after.TenantID, after.Version = before.ID, before.TenantID, before.Version
		if before.OfferType == OfferTypeMultiEvent && after.OfferType == OfferTypeMultiEvent && rapid.Bool().Draw(t, "same event") {
			after.Events[0].ID = before.Events[0].ID // else the events are new
		}
		changes, err := DiffOffers(&before, &after)
		require.NoError(t, err)
		want := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(mustJSON(t, after.Document())), &want))
		got := applied(t, &before, changes, after.OfferType)
		delete(want, "goalId")
		delete(got, "goalId")
		require.Equal(t, want, got)

		back, err := DiffOffers(&after, &before)
		require.NoError(t, err)
		require.Len(t, back, len(changes))
		for _, change := range changes {
			require.NotEqual(t, string(change.Old), string(change.New), change.Field)
			i := slices.IndexFunc(back, func(c OfferChange) bool { return c.Field == change.Field })
			require.GreaterOrEqual(t, i, 0, change.Field)
			require.Equal(t, OfferChange{change.Field, change.New, change.Old}, back[i], "old is the other's new")
		}
	})
}

func TestRule56NothingChanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offer := drawOffer(t)
		changes, err := DiffOffers(&offer, &offer)
		require.NoError(t, err)
		require.Empty(t, changes)
	})
}

// sharedTerms are those of an edit of a shared offer by somebody who knows nothing beyond it.
func sharedTerms(previous *Offer) OfferTerms {
	nothing := func(uuid.UUID) bool { return false }
	terms := documentTerms()
	terms.Shared, terms.Previous = true, previous
	terms.AdvertiserExists, terms.PlacementExists, terms.PayoutStructureExists, terms.TierExists = nothing, nothing, nothing, nothing
	return terms
}

// Rule 55: a patch of nothing changes nothing, and a patch of everything is the document itself,
// whichever side's things it names.
func TestRule55PatchOfTheDocumentIsTheDocument(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offer := drawOffer(t)
		for i := range offer.Events {
			offer.Events[i].RevenueTiers = nil
		}
		for _, patch := range []string{"{}", mustJSON(t, offer.Document())} {
			again, _, errs := PatchOffer([]byte(patch), sharedTerms(&offer))
			require.NoError(t, errs.Err())
			require.Equal(t, offer, again)
		}
	})
}

func patchedMulti(t *testing.T) *Offer {
	t.Helper()
	offer, _, errs := parseMap(t, multiDocument(), documentTerms())
	require.NoError(t, errs.Err())
	return &offer
}

func TestRule55PatchIsAMergePatch(t *testing.T) {
	t.Parallel()
	offer := patchedMulti(t)
	install, level := offer.Events[0].ID.String(), offer.Events[1].ID.String()
	tier, other := uuid.NewString(), uuid.NewString()
	patch := func(text string) (Offer, []string, FieldErrors) {
		terms := sharedTerms(offer)
		terms.TierExists = nil
		return PatchOffer([]byte(text), terms)
	}
	after, warnings, errs := patch(`{"HEADLINE":"New","sessionDays":null,"unheard":1,"countryIds":["FR"],"version":7,
		"offerEvents":[{"ID":"` + level + `","reward":9,"DeadlineDays":3,"payoutTiers":{"` + tier + `":1,"` + other + `":2},"sequencenumber":null},
			{"name":"Buy","eventId":"buy","hasReward":true,"reward":4}]}`)
	require.NoError(t, errs.Err())
	require.Equal(t, []string{"unheard: unknown field, ignored"}, warnings)
	require.Equal(t, "New", after.Headline)
	require.Equal(t, DefaultSessionDays, after.SessionDays)
	require.Equal(t, []string{"FR"}, after.Targeting.Countries)
	require.Equal(t, offer.Name, after.Name)
	require.Len(t, after.Events, 3)
	require.Equal(t, offer.Events[0], after.Events[0], "events that are not named stay as they are")
	require.Equal(t, level, after.Events[1].ID.String())
	require.Equal(t, Micros(9*MicrosPerUnit), *after.Events[1].Reward)
	require.Nil(t, after.Events[1].SequenceNumber)
	require.Equal(t, offer.Events[1].Revenue, after.Events[1].Revenue)
	bought := after.Events[2]
	require.Equal(t, 3, bought.DisplayOrder)
	require.False(t, bought.ShowOnOfferWall || bought.HasRevenue)
	require.Equal(t, "buy", bought.Slug)

	*offer = after // lists are replaced, objects merged, null takes away
	after, _, errs = patch(`{"offerEvents":[{"id":"` + level + `","payoutTiers":{"` + tier + `":null}}]}`)
	require.NoError(t, errs.Err())
	require.Equal(t, map[string]Micros{other: 2 * MicrosPerUnit}, after.Events[1].PayoutTiers)
	require.Equal(t, install, after.Events[0].ID.String())

	for text, fields := range map[string][]string{
		`[]`: {"body"}, `{`: {"body"},
		`{"name":null}`: {"name"}, `{"budget":"x","offerEvents":7}`: {"offerEvents"},
		`{"offerEvents":[{"id":"` + tier + `","name":"x"}]}`:                         {"offerEvents[0].id"},
		`{"offerEvents":[{"id":"` + level + `"},{"id":"` + level + `"}]}`:            {"offerEvents[1].id"},
		`{"offerEvents":[{"id":"` + level + `","reward":-1},{"name":"x"},4]}`:        {"offerEvents[2]"},
		`{"offerEvents":[{"id":"` + level + `","reward":-1},{"name":"x"}]}`:          {"offerEvents[0].reward", "offerEvents[1].eventId"},
		`{"offerEvents":[{"id":"` + level + `","revenueTiers":{"` + tier + `":1}}]}`: {"offerEvents[0].revenueTiers"},
		`{"dailyCap":3}`: {"dailyCap"}, `{"ageId":"` + tier + `","placementIds":["` + tier + `"]}`: {"ageId", "placementIds[0]"},
	} {
		_, _, errs := patch(text)
		named := []string{}
		for _, one := range errs {
			named = append(named, one.Field)
		}
		require.ElementsMatch(t, fields, named, text)
	}
}

// An event of a patch may be named as the advertiser names it, byte for byte.
func TestRule55PatchNamesAnEventAsTheAdvertiserDoes(t *testing.T) {
	t.Parallel()
	offer := patchedMulti(t)
	known := offer.Events[1]
	after, _, errs := PatchOffer([]byte(`{"offerEvents":[{"eventId":"`+known.EventID+`","name":"Renamed"}]}`), sharedTerms(offer))
	require.NoError(t, errs.Err())
	require.Len(t, after.Events, len(offer.Events))
	require.Equal(t, "Renamed", after.EventByID(known.ID).Name)
	_, _, errs = PatchOffer([]byte(`{"offerEvents":[{"eventId":"`+known.EventID+`","name":"A"},{"id":"`+known.ID.String()+`","name":"B"}]}`), sharedTerms(offer))
	require.Equal(t, []string{"offerEvents[1].id"}, fieldsNamed(errs), "twice the same event")
}

// Rule 57: an edit with another side's field is refused with all of them named, and nobody takes an
// event away with the other's figures in it. What making a goal private does is nobody's edit (rule 39).
func TestRule57ForeignFields(t *testing.T) {
	t.Parallel()
	offer := patchedMulti(t)
	offer.Events[1].Payout = decimal("1")
	first, second := offer.Events[0].ID.String(), offer.Events[1].ID.String()
	for _, c := range []struct {
		patch                   string
		advertisers, publishers []string
	}{
		{`{"headline":"x","isPaused":true}`, nil, nil},
		{`{"budget":7,"isEpcLocked":true,"headline":"x"}`, []string{"budget"}, []string{"isEpcLocked"}},
		{`{"offerEvents":[{"id":"` + first + `","revenue":6,"reward":3,"name":"n"}]}`, []string{eventField(first, "revenue")}, []string{eventField(first, "reward")}},
		{`{"offerEvents":[{"id":"` + second + `","isPrivate":true}]}`, nil, nil},
		{`{"offerEvents":[{"id":"` + second + `","status":"deleted"}]}`, []string{eventField(second, "status")}, nil},
	} {
		after, _, errs := PatchOffer([]byte(c.patch), sharedTerms(offer))
		require.NoError(t, errs.Err())
		for side, want := range map[Side][]string{SidePublisher: c.advertisers, SideAdvertiser: c.publishers} {
			_, foreign, err := CheckEdit(side, offer, &after)
			require.NoError(t, err)
			require.Equal(t, want, fieldsNamed(foreign), "%s by the %s", c.patch, side)
		}
	}
	after := *offer
	after.Events = offer.Events[:1]
	for side, want := range map[Side][]string{
		SidePublisher: {
			eventField(second, "eventId"), eventField(second, "sequenceNumber"), eventField(second, "pendingTime"),
			eventField(second, "hasRevenue"), eventField(second, "revenue"), eventField(second, "slug"),
		},
		SideAdvertiser: {eventField(second, "showOnOfferWall"), eventField(second, "hasReward"), eventField(second, "reward"), eventField(second, "payout")},
	} {
		_, foreign, err := CheckEdit(side, offer, &after)
		require.NoError(t, err)
		require.Equal(t, want, fieldsNamed(foreign), side)
	}
}

// Rule 57: a field of the other side's is refused as a whole and once, and also where it would be of no
// effect on this type of offer.
func TestRule57ForeignFieldsAreNamedAsTheyAre(t *testing.T) {
	t.Parallel()
	errs := FieldErrors{{Field: "placementIds[0]"}, {Field: "placementIds[1]"}, {Field: "name"}, {Field: "offerEvents[0].reward"}, {Field: "payoutTiers.x"}}
	require.Equal(t, []string{"placementIds", "offerEvents[0].reward", "payoutTiers"}, fieldsNamed(ForeignErrors(SideAdvertiser, errs)))
	require.Empty(t, ForeignErrors(SidePublisher, errs))
	single, multi := &Offer{OfferType: OfferTypeSingleEvent}, &Offer{OfferType: OfferTypeMultiEvent}
	for _, c := range []struct {
		offer                   *Offer
		patch                   string
		publishers, advertisers []string
	}{
		{multi, `{"Revenue":"9","pendingTime":1}`, []string{"revenue", "pendingTime"}, nil},
		{multi, `{"allowRepetitions":false,"name":"n"}`, nil, nil},
		{single, `{"sequenceNumber":2}`, []string{"sequenceNumber"}, nil},
		{multi, `{"reward":5}`, nil, []string{"reward"}},
		{multi, `{"reward":null,"payout":null}`, nil, nil},
		{single, `{"useDefaultRatio":true,"showOnOfferWall":false}`, nil, []string{"useDefaultRatio"}},
		{single, `{"hasRevenue":true,"revenue":3}`, []string{"hasRevenue"}, nil},
		{single, `[`, nil, nil},
		{multi, `{"offerType":"SingleEvent","reward":0}`, nil, nil},
	} {
		require.Equal(t, c.publishers, fieldsNamed(IgnoredForeign(SidePublisher, []byte(c.patch), c.offer)), c.patch)
		require.Equal(t, c.advertisers, fieldsNamed(IgnoredForeign(SideAdvertiser, []byte(c.patch), c.offer)), c.patch)
	}
}

func fieldsNamed(errs FieldErrors) (fields []string) {
	for _, one := range errs {
		fields = append(fields, one.Field)
	}
	return fields
}
