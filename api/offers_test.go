package api_test

import (
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/keyring"
)

// shop is a site with two tenants.
type shop struct {
	*site
	mine, theirs account
}

type account struct {
	*caller
	id, advertiser, partner string
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{site: newSite(t)}
	s.mine, s.theirs = s.account("mine"), s.account("theirs")
	return s
}

func (s *shop) account(name string) account {
	s.t.Helper()
	id, caller := s.tenant(name)
	return account{
		caller: caller, id: id, advertiser: caller.made("/api/v1/advertisers", map[string]any{"name": "adv"}),
		partner: caller.made("/api/v1/partners", map[string]any{"name": "partner"}),
	}
}

// count runs a counting query as the superuser.
func (s *shop) count(query string, args ...any) (n int64) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.database)
	require.NoError(s.t, err)
	defer conn.Close(s.t.Context())
	require.NoError(s.t, conn.QueryRow(s.t.Context(), query, args...).Scan(&n))
	return n
}

const (
	offersPath = "/api/v1/sdk-offer-management/publisher/offers"
	everyone   = "00000000-0000-0000-0000-000000000000"
)

// document is a valid SingleEvent offer with changes.
func (s *shop) document(of account, changes map[string]any) map[string]any {
	s.t.Helper()
	var ages struct{ Items []struct{ ID string } }
	of.send("GET", "/api/v1/lookups/ages", nil).into(200, &ages)
	doc := map[string]any{
		"trackingSystemLink": "https://adv.example/?sub1={gk_click_id}", "trackingSystem": "appsflyer", "name": "An offer",
		"headline": "Play", "offerDetails": "<b>Do</b><script>alert(1)</script>", "creatives": []any{map[string]any{"order": 1, "url": "https://cdn.example/1.png"}},
		"offerType": "SingleEvent", "conversionType": "FlatRate", "advertiserId": of.advertiser, "isPaused": false,
		"budgetType": "Total", "budget": "1000", "launchDate": "2020-01-01T00:00:00Z", "ageId": ages.Items[0].ID,
		"categoryIds": []any{}, "countryIds": []any{}, "revenue": 2.5, "reward": 100, "rewardType": "Automatic", "pendingTime": 0,
		"initialEpc": "1", "isEpcLocked": false,
	}
	maps.Copy(doc, changes)
	return doc
}

type madeOffer struct {
	ID       string `json:"Id"`
	Warnings []string
}

type shownOffer struct {
	ID, Status, RedirectLink, Name, OfferDetails, TrackingSystem, GoalStatus string
	GoalID                                                                   string
	Version                                                                  int64
	IsPaused                                                                 bool
	DailyCap                                                                 *int64
	Counters                                                                 struct {
		BudgetSpent string
		Events      []struct {
			ID  string
			Day *int64
		}
	}
}

func TestOfferLife(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var made madeOffer
	s.mine.send("POST", offersPath, s.document(s.mine, map[string]any{"TRACKINGSYSTEM": "appsflyer", "unheardOf": 1})).into(201, &made)
	if _, err := uuid.Parse(made.ID); err != nil || len(made.Warnings) == 0 {
		t.Fatalf("made %+v", made)
	}
	path := offersPath + "/" + made.ID
	var shown shownOffer
	answer := s.mine.get(path)
	answer.into(200, &shown)
	if shown.Status != "Active" || shown.Version != 1 || answer.header.Get("ETag") != `"1"` || shown.OfferDetails != "<b>Do</b>" ||
		shown.TrackingSystem != "AppsFlyer" || len(shown.RedirectLink) != len(publicURL+"/c/")+36 || shown.Counters.BudgetSpent != "0.00" {
		t.Errorf("shown %+v", shown)
	}
	// The whole document that GET shows can be sent back; nothing changed, so that no version is made.
	var whole map[string]any
	s.mine.send("GET", path, nil).into(200, &whole)
	s.mine.with("If-Match", `"1"`).send("PUT", path, whole).into(200, &shown)
	if shown.Version != 1 {
		t.Errorf("unchanged, version %d", shown.Version)
	}
	whole["name"] = "Another name"
	answer = s.mine.with("If-Match", "1").put(path, whole)
	answer.into(200, &shown)
	if shown.Version != 2 || shown.Name != "Another name" || answer.header.Get("ETag") != `"2"` {
		t.Errorf("changed: %+v", shown)
	}
	answer = s.mine.with("If-Match", `"1"`).put(path, whole)
	answer.refused(412)
	require.Equal(t, `"2"`, answer.header.Get("ETag"))
	s.mine.put(path, whole).refused(428, "If-Match")
	s.mine.with("If-Match", "1").put(path, map[string]any{}).refused(412) // the version is looked at first
	for range 2 {
		s.mine.send("PATCH", "/api/v1/sdk-offer-management/offers/"+made.ID+"/pause", nil).into(204, nil)
	}
	s.mine.send("GET", path, nil).into(200, &shown)
	if shown.Status != "Pending" || shown.Version != 3 || !shown.IsPaused {
		t.Errorf("paused: %+v", shown)
	}
	s.mine.send("PATCH", "/api/v1/sdk-offer-management/offers/"+made.ID+"/resume", nil).into(204, nil)
	if n := s.count("SELECT count(*) FROM audit_log WHERE noun = 'offer'"); n != 4 {
		t.Errorf("%d audit entries for 4 changes", n)
	}
	if n := s.count("SELECT count(*) FROM outbox WHERE subject = 'offerflow.events.offer' AND payload->>'offerId' = $1", made.ID); n != 4 {
		t.Errorf("%d news for 4 changes", n)
	}
	if n := s.count("SELECT count(*) FROM offer_versions"); n != 4 {
		t.Errorf("%d versions", n)
	}
}

// Of any number of changes of the same version exactly one is made.
func TestOfferChangedAtTheSameInstant(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var made madeOffer
	s.mine.post(offersPath, s.document(s.mine, nil)).into(201, &made)
	codes, links := make(chan int, 8), make(chan string, 8)
	var both sync.WaitGroup
	for i := range 8 {
		both.Go(func() {
			document := s.document(s.mine, map[string]any{"name": fmt.Sprint("by ", i)})
			codes <- s.mine.with("If-Match", "1").put(offersPath+"/"+made.ID, document).status
		})
		both.Go(func() {
			links <- s.mine.made("/api/v1/offers/"+made.ID+"/links", map[string]any{"partnerId": s.mine.partner})
		})
	}
	both.Wait()
	counts, ids := map[int]int{}, map[string]bool{}
	for range 8 {
		counts[<-codes]++
		ids[<-links] = true
	}
	require.Equal(t, map[int]int{200: 1, 412: 7}, counts)
	require.Len(t, ids, 1)
}

func TestOfferRefusals(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for name, c := range map[string]struct {
		path   string
		change map[string]any
		code   int
		fields []string
	}{
		"another's advertiser": {offersPath, map[string]any{"advertiserId": s.theirs.advertiser}, 400, []string{"advertiserId"}},
		"no such category":     {offersPath, map[string]any{"categoryIds": []any{everyone}}, 400, []string{"categoryIds[0]"}},
		"no such placement":    {offersPath, map[string]any{"placementIds": []any{everyone}}, 400, []string{"placementIds[0]"}},
		"no such age":          {offersPath, map[string]any{"ageId": everyone}, 400, []string{"ageId"}},
		"no budget":            {offersPath, map[string]any{"budget": nil}, 400, []string{"budget"}},
		"another product":      {"/api/v1/sdk-offer-management/advertiser/offers", nil, 403, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s.mine.in(t).post(c.path, s.document(s.mine, c.change)).refused(c.code, c.fields...)
		})
	}
	require.Equal(t, 400, s.mine.post(offersPath, nil).status)
	if n := s.count("SELECT count(*) FROM offers"); n != 0 {
		t.Errorf("%d offers of refused ones", n)
	}
}

func TestOfferOfAnotherTenant(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var made madeOffer
	s.theirs.send("POST", offersPath, s.document(s.theirs, nil)).into(201, &made)
	for _, c := range [][2]string{
		{"GET", offersPath + "/" + made.ID}, {"PUT", offersPath + "/" + made.ID},
		{"PATCH", "/api/v1/sdk-offer-management/offers/" + made.ID + "/pause"}, {"POST", "/api/v1/offers/" + made.ID + "/links"},
	} {
		s.mine.with("If-Match", "1").send(c[0], c[1], map[string]any{}).refused(404)
	}
	var page struct{ TotalCount int }
	s.mine.send("GET", offersPath, nil).into(200, &page)
	if page.TotalCount != 0 {
		t.Errorf("list shows %d", page.TotalCount)
	}
}

func TestOfferList(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for i, changes := range []map[string]any{
		{"name": "running"}, {"name": "paused", "isPaused": true}, {"name": "over", "expirationDate": "2020-02-01T00:00:00Z"},
		{"name": "to come", "launchDate": "2999-01-01T00:00:00Z"},
	} {
		s.mine.with("Idempotency-Key", fmt.Sprint(i)).send("POST", offersPath, s.document(s.mine, changes)).into(201, nil)
	}
	for query, want := range map[string][]string{
		"orderby=name&order_asc=true":                             {"over", "paused", "running", "to come"},
		"filter.Status=Active":                                    {"running"},
		"filter.status=Pending&orderby=name&order_asc=true":       {"paused", "to come"},
		"filter.status=Expired":                                   {"over"},
		"filter.name=RUN":                                         {"running"},
		"page_size=1&page=1&orderby=name":                         {"running"},
		"filter.status=Active&filter.status=Expired&orderby=name": {"running", "over"},
	} {
		var page struct{ Items []shownOffer }
		s.mine.send("GET", offersPath+"?"+query, nil).into(200, &page)
		names := []string{}
		for _, item := range page.Items {
			names = append(names, item.Name)
		}
		if fmt.Sprint(names) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", query, names, want)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var made madeOffer
	s.mine.send("POST", offersPath, s.document(s.mine, nil)).into(201, &made)
	path := "/api/v1/offers/" + made.ID + "/links"
	type link struct{ ID, URL string }
	make := func(body any) link {
		var l link
		s.mine.send("POST", path, body).into(201, &l)
		return l
	}
	partner := make(map[string]any{"partnerId": s.mine.partner})
	if partner.URL != publicURL+"/c/"+partner.ID || !s.api.Keys.Genuine(keyring.KindLink, uuid.MustParse(partner.ID)) {
		t.Errorf("link %+v", partner)
	}
	if again := make(map[string]any{"partnerId": s.mine.partner}); again != partner {
		t.Errorf("an equal request made another link: %+v", again)
	}
	if creative := make(map[string]any{"partnerId": s.mine.partner, "creativeOrder": 1}); creative == partner {
		t.Error("the creative made no difference")
	}
	var shown shownOffer
	s.mine.send("GET", offersPath+"/"+made.ID, nil).into(200, &shown)
	if own := make(map[string]any{}); own.URL != shown.RedirectLink {
		t.Errorf("the offer's own link: %s, %s", own.URL, shown.RedirectLink)
	}
	for field, body := range map[string]map[string]any{
		"partnerId": {"partnerId": s.theirs.partner}, "placementId": {"placementId": everyone}, "creativeOrder": {"creativeOrder": 7},
	} {
		s.mine.post(path, body).refused(400, field)
	}
}

// Rules 28 and 34: a cap that is newly set starts from what is live in the period already.
func TestNewCapCountsWhatIsLive(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var made madeOffer
	var whole map[string]any
	var shown shownOffer
	s.mine.send("POST", offersPath, s.document(s.mine, nil)).into(201, &made)
	path := offersPath + "/" + made.ID
	s.mine.send("GET", path, nil).into(200, &shown)
	for range 3 {
		s.count(`INSERT INTO conversions (tenant_id, id, click_id, postback_id, offer_id, offer_version, event_id, advertiser_id, status, sequence,
			currency, revenue_micros, payout_micros, reward_micros, received_at, created_at, user_completed_at, unique_per, is_counted, counted_day, counted_week, counted_month)
			VALUES ($1, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), $2, 1, $3, $4, 'Success', 1, 'USD', 2500000, 0, 0, now(), now(), now(), 'click', true,
			(now() AT TIME ZONE 'UTC')::date, date_trunc('week', now() AT TIME ZONE 'UTC')::date, date_trunc('month', now() AT TIME ZONE 'UTC')::date) RETURNING 1`,
			s.mine.id, made.ID, shown.GoalID, s.mine.advertiser)
	}
	s.mine.send("GET", path, nil).into(200, &whole)
	whole["dailyCap"], whole["budgetType"] = 10, "Daily"
	s.mine.with("If-Match", "1").send("PUT", path, whole).into(200, &shown)
	if day := shown.Counters.Events[0].Day; day == nil || *day != 3 || shown.Counters.BudgetSpent != "7.50" {
		t.Errorf("counters %+v", shown.Counters)
	}
}

// Caps and the uniqueness of conversions go by an event's id, which clients may choose: the same id
// in two offers would count them together.
func TestEventOfAnotherOffer(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	events := func(id string) map[string]any {
		return map[string]any{
			"offerType": "MultiEvent", "revenue": nil, "reward": nil, "rewardType": nil, "pendingTime": nil,
			"offerEvents": []any{map[string]any{
				"id": id, "name": "Install", "eventId": "install", "showOnOfferWall": true, "displayOrder": 1, "sequenceNumber": nil,
				"pendingTime": nil, "hasRevenue": true, "revenue": 1, "hasReward": true, "useDefaultRatio": false, "reward": 1,
			}},
		}
	}
	const id = "3f0a9f5e-5f1c-4a57-9f3e-0a6f1f6f0001"
	s.mine.send("POST", offersPath, s.document(s.mine, events(id))).into(201, new(madeOffer))
	s.mine.send("POST", offersPath, s.document(s.mine, events(id))).refused(400, "offerEvents[0].id")
	// Another tenant's ids are its own: nothing is told of them.
	s.theirs.send("POST", offersPath, s.document(s.theirs, events(id))).into(201, new(madeOffer))
	if n := s.count("SELECT count(*) FROM offers"); n != 2 {
		t.Errorf("%d offers, want 2: a refused one leaves nothing", n)
	}
}
