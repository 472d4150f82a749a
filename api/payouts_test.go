package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
)

type payoutStructure struct {
	ID, Name string
	Version  int64
	Rules    []struct {
		Name          string
		Flat, Percent *string
		Conditions    []struct {
			Parameter, Operator, Type string
			Values                    []string
		}
	}
	Default struct{ Flat, Percent *string }
}

const qualityStructure = `{"name":"Quality","rules":[
	{"name":"Germany, large","conditions":[{"parameter":"country","operator":"in","values":["DEU","at"]},{"parameter":"cnv_amount","operator":"≥","values":[99.5]}],"flat":1,"percent":"12.5"},
	{"conditions":[{"parameter":"pub_sub_2","operator":"like","values":["gold%"]}],"percent":10}],
	"default":{"flat":"0.50"}}`

// rule 40: a structure reads back in one spelling, and its version grows with each change.
func TestPayoutStructures(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var made, shown, changed payoutStructure
	s.mine.post("/api/v1/payout-structures", qualityStructure).into(201, &made)
	path := "/api/v1/payout-structures/" + made.ID
	s.mine.get(path).into(200, &shown)
	require.Equal(t, made, shown)
	require.Equal(t, int64(1), shown.Version)
	first := shown.Rules[0]
	require.Equal(t, []string{"1.00", "12.50"}, []string{*first.Flat, *first.Percent})
	require.Equal(t, []string{"DE", "AT"}, first.Conditions[0].Values)
	require.Equal(t, []string{">=", "number"}, []string{first.Conditions[1].Operator, first.Conditions[1].Type})
	require.Equal(t, "99.5", first.Conditions[1].Values[0])
	require.Nil(t, shown.Rules[1].Flat)
	require.Equal(t, "0.50", *shown.Default.Flat)

	whole := string(s.mine.get(path).body)
	s.mine.put(path, whole).into(200, &changed)
	require.Equal(t, int64(1), changed.Version, "put back as it is, nothing changes")
	s.mine.put(path, `{"rules":[]}`).into(200, &changed)
	require.Equal(t, int64(2), changed.Version)
	require.Empty(t, changed.Rules)
	require.Equal(t, "0.50", *changed.Default.Flat)

	s.mine.post("/api/v1/payout-structures", `{}`).refused(400, "name", "default.flat")
	s.mine.post("/api/v1/payout-structures", `{"name":"x","default":{"flat":"1e3","percent":true}}`).refused(400, "default.percent")
	s.mine.post("/api/v1/payout-structures", `{"name":"x","default":{"flat":"1e3","percent":101}}`).refused(400, "default.flat", "default.percent")
	s.mine.post("/api/v1/payout-structures", `{"name":"x","default":{"flat":-1},"rules":[{"conditions":[{"parameter":"revenue","operator":"=","values":["1"]}],"flat":1}]}`).
		refused(400, "default.flat", "rules[0].conditions[0].parameter")
	s.mine.post("/api/v1/payout-structures", `{"name":"x","default":{"flat":1},"rules":[{"conditions":[{"parameter":"country","operator":"=","values":[true]}],"flat":1}]}`).
		refused(400, "rules[0].conditions[0].values[0]")

	s.theirs.get(path).refused(404)
	s.theirs.put(path, `{"name":"mine"}`).refused(404)
	var list page[payoutStructure]
	s.theirs.get("/api/v1/payout-structures").into(200, &list)
	require.Empty(t, list.Items)
	s.mine.get("/api/v1/payout-structures?filter.name=qual").into(200, &list)
	require.Equal(t, 1, list.TotalCount)
	var log page[struct{ Action, NounID string }]
	s.mine.get("/api/v1/audit?filter.noun=payout+structure").into(200, &log)
	require.Equal(t, 2, log.TotalCount)
}

// rule 39: tiers are the tenant's own; a partner is in one or in none.
func TestPartnerTiers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	tier := s.mine.made("/api/v1/partner-tiers", map[string]any{"name": "Gold"})
	foreign := s.theirs.made("/api/v1/partner-tiers", map[string]any{"name": "Silver"})
	var shown struct{ ID, Name string }
	s.mine.put("/api/v1/partner-tiers/"+tier, `{"name":" Platinum "}`).into(200, &shown)
	require.Equal(t, "Platinum", shown.Name)
	s.mine.get("/api/v1/partner-tiers/"+tier).into(200, &shown)
	require.Equal(t, "Platinum", shown.Name)
	s.mine.put("/api/v1/partner-tiers/"+tier, `{"name":null}`).refused(400, "name")
	s.mine.post("/api/v1/partner-tiers", `{}`).refused(400, "name")
	s.theirs.get("/api/v1/partner-tiers/" + tier).refused(404)
	s.theirs.put("/api/v1/partner-tiers/"+tier, `{"name":"x"}`).refused(404)
	var list page[struct{ ID string }]
	s.mine.get("/api/v1/partner-tiers").into(200, &list)
	require.Len(t, list.Items, 1)

	at := "/api/v1/partners/" + s.mine.partner
	var p partner
	s.mine.put(at, map[string]any{"tierId": tier}).into(200, &p)
	require.Equal(t, tier, *p.TierID)
	s.mine.put(at, `{"name":"still"}`).into(200, &p)
	require.Equal(t, tier, *p.TierID)
	for _, bad := range []string{foreign, uuid.NewString()} {
		s.mine.put(at, map[string]any{"tierId": bad}).refused(400, "tierId")
		s.mine.post("/api/v1/partners", map[string]any{"name": "x", "tierId": bad}).refused(400, "tierId")
	}
	var ofTier page[partner]
	s.mine.get("/api/v1/partners?filter.tierId="+tier).into(200, &ofTier)
	require.Len(t, ofTier.Items, 1)
	var none partner
	s.mine.put(at, `{"tierId":null}`).into(200, &none)
	require.Nil(t, none.TierID)
}

// rules 39, 40: an offer names structures and tiers of its own tenant only.
func TestOffersNameTheirOwnStructuresAndTiers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	tier, foreignTier := s.mine.made("/api/v1/partner-tiers", map[string]any{"name": "Gold"}), s.theirs.made("/api/v1/partner-tiers", map[string]any{"name": "Gold"})
	structure, foreign := s.mine.made("/api/v1/payout-structures", qualityStructure), s.theirs.made("/api/v1/payout-structures", qualityStructure)
	offer := func(structure, payoutTier, revenueTier string) map[string]any {
		return s.document(s.mine, map[string]any{
			"payoutStructureId": structure, "payoutTiers": map[string]any{payoutTier: 1}, "revenueTiers": map[string]any{revenueTier: 3},
		})
	}
	for _, bad := range []string{foreign, uuid.NewString()} {
		s.mine.post(offersPath, offer(bad, tier, tier)).refused(400, "payoutStructureId")
	}
	for _, bad := range []string{foreignTier, uuid.NewString()} {
		s.mine.post(offersPath, offer(structure, bad, tier)).refused(400, "payoutTiers."+bad)
		s.mine.post(offersPath, offer(structure, tier, bad)).refused(400, "revenueTiers."+bad)
	}
	s.mine.post(offersPath, offer(structure, tier, tier)).into(201, nil)
}

type partnerPayout struct {
	ID, PartnerID, OfferID, EventID, Status string
	Version                                 int64
	Flat, Percent                           *string
	StartsAt                                time.Time
	Versions                                []struct {
		Version  int64
		Flat     *string
		StartsAt time.Time
	}
}

// rules 39, 68: a custom payout is one chain of versions; none of them starts in the past.
func TestPartnerPayouts(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const path = "/api/v1/partner-payouts"
	var made madeOffer
	s.mine.post(offersPath, s.document(s.mine, map[string]any{"payout": 1})).into(201, &made)
	var theirOffer madeOffer
	s.theirs.post(offersPath, s.document(s.theirs, nil)).into(201, &theirOffer)
	var offer, other shownOffer
	s.mine.get(offersPath+"/"+made.ID).into(200, &offer)
	s.theirs.get(offersPath+"/"+theirOffer.ID).into(200, &other)
	body := func(changes ...any) map[string]any {
		b := map[string]any{"partnerId": s.mine.partner, "offerId": made.ID, "flat": "2.5", "percent": 10}
		for i := 0; i < len(changes); i += 2 {
			b[changes[i].(string)] = changes[i+1]
		}
		return b
	}
	t.Run("refused by field", func(t *testing.T) {
		for _, c := range []struct {
			field string
			value any
		}{
			{"partnerId", s.theirs.partner}, {"partnerId", uuid.NewString()}, {"partnerId", nil}, {"offerId", theirOffer.ID}, {"offerId", uuid.NewString()},
			{"offerId", nil}, {"eventId", other.GoalID}, {"eventId", uuid.NewString()}, {"flat", -1}, {"percent", 100.5}, {"flat", "1e3"},
			{"startsAt", clocktest.Now().Add(-time.Hour)}, {"status", "paused"},
		} {
			s.mine.in(t).post(path, body(c.field, c.value)).refused(400, c.field)
		}
		s.mine.in(t).post(path, body("flat", nil, "percent", nil)).refused(400, "flat")
		s.mine.in(t).post(path, `{}`).refused(400, "partnerId", "offerId")
	})
	require.Zero(t, s.count("SELECT count(*) FROM partner_payouts"))

	before := clocktest.Now().Add(-time.Millisecond)
	var one, shown partnerPayout
	s.mine.post(path, body()).into(201, &one)
	require.Equal(t, offer.GoalID, one.EventID, "the default goal")
	require.Equal(t, []string{"2.50", "10.00", "active"}, []string{*one.Flat, *one.Percent, one.Status})
	require.True(t, one.StartsAt.After(before), "now")
	s.mine.post(path, body()).refused(http.StatusConflict)
	at := path + "/" + one.ID
	s.theirs.get(at).refused(404)
	s.theirs.put(at, `{"flat":9}`).refused(404)

	whole := string(s.mine.get(at).body)
	s.mine.put(at, whole).into(200, &shown)
	require.Equal(t, int64(1), shown.Version, "put back as it is, nothing changes")
	s.mine.put(at, `{"flat":3}`).into(200, &shown)
	require.Equal(t, int64(2), shown.Version)
	require.True(t, shown.StartsAt.After(one.StartsAt), "rule 68: a new figure starts now, whatever the start was")
	planned := clocktest.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	s.mine.put(at, map[string]any{"startsAt": planned, "percent": nil}).into(200, &shown)
	require.True(t, planned.Equal(shown.StartsAt))
	s.mine.put(at, `{"flat":4}`).into(200, &shown)
	require.True(t, planned.Equal(shown.StartsAt), "a plan is mended without losing its start")
	require.Equal(t, "4.00", *shown.Flat)
	require.Nil(t, shown.Percent)
	require.Len(t, shown.Versions, 4)
	require.Equal(t, "2.50", *shown.Versions[3].Flat, "every version stays")
	s.mine.put(at, map[string]any{"startsAt": clocktest.Now().Add(-time.Hour)}).refused(400, "startsAt")
	s.mine.put(at, map[string]any{"partnerId": s.mine.made("/api/v1/partners", map[string]any{"name": "Q"})}).refused(400, "partnerId")
	s.mine.put(at, `{"status":"deleted","startsAt":null}`).into(200, &shown)
	require.Equal(t, "deleted", shown.Status)

	var list page[partnerPayout]
	s.mine.get(path+"?filter.partnerId="+s.mine.partner+"&filter.status=deleted").into(200, &list)
	require.Len(t, list.Items, 1, "one row for each custom payout, the newest")
	require.Equal(t, int64(5), list.Items[0].Version)
	s.theirs.get(path).into(200, &list)
	require.Empty(t, list.Items)
	var log page[struct{ Action string }]
	s.mine.get("/api/v1/audit?filter.noun=partner+payout").into(200, &log)
	require.Equal(t, 5, log.TotalCount)
}

// rule 39: making a goal private zeroes its payout, the custom ones with it; opening it again brings
// none of them back.
func TestRule39PrivateEndsCustomPayouts(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var made madeOffer
	s.mine.post(offersPath, s.document(s.mine, map[string]any{"payout": 1})).into(201, &made)
	body := map[string]any{"partnerId": s.mine.partner, "offerId": made.ID, "flat": "2.5"}
	at := "/api/v1/partner-payouts/" + s.mine.made("/api/v1/partner-payouts", body)
	edit := func(private bool) (doc map[string]any) {
		offerPath := offersPath + "/" + made.ID
		s.mine.get(offerPath).into(200, &doc)
		doc["isPrivate"] = private
		s.mine.with("If-Match", fmt.Sprint(doc["version"])).put(offerPath, doc).into(200, &doc)
		return doc
	}
	doc := edit(true)
	require.Equal(t, "0.00", doc["payout"])
	var shown partnerPayout
	s.mine.get(at).into(200, &shown)
	require.Equal(t, "deleted", shown.Status)
	s.mine.put(at, `{"status":"active"}`).refused(400, "eventId")
	other := s.mine.made("/api/v1/partners", map[string]any{"name": "Q"})
	s.mine.post("/api/v1/partner-payouts", map[string]any{"partnerId": other, "offerId": made.ID, "flat": 1}).refused(400, "eventId")
	edit(false)
	s.mine.get(at).into(200, &shown)
	require.Equal(t, "deleted", shown.Status)
	s.mine.put(at, `{"status":"active"}`).into(200, &shown)
	require.Equal(t, int64(3), shown.Version)
}
