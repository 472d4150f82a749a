package offercache

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/offercache/cachetest"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

// Rules 28, 31 to 33, 69 and 70: when an offer takes no new clicks, and until when.
func TestOfferCappedUntil(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 5, 13, 22, 30, 0, 0, time.UTC) // the 14th, a Thursday, in Berlin
	midnight := time.Date(2026, 5, 15, 0, 0, 0, 0, berlin).UnixNano()
	monday := time.Date(2026, 5, 18, 0, 0, 0, 0, berlin).UnixNano()
	one, two := int64(1), int64(2)
	first, second, offerID := uuid.New(), uuid.New(), uuid.New()
	value := func(scope domain.CapScope, id uuid.UUID, period domain.Period, start string, n int64) CounterValues {
		return CounterValues{{scope, id, period, start}: n}
	}
	inOrder := func(o *domain.Offer, _ *Tenant) {
		for i := range o.Events {
			number := i + 1
			o.Events[i].SequenceNumber = &number
		}
	}
	for name, c := range map[string]struct {
		caps, secondCaps *domain.Caps
		change           func(*domain.Offer, *Tenant)
		values           CounterValues
		want             int64
	}{
		"nothing counted":          {&domain.Caps{Daily: &one}, nil, nil, nil, 0},
		"day full":                 {&domain.Caps{Daily: &one}, nil, nil, value("event", first, "day", "2026-05-14", 1), midnight},
		"yesterday full":           {&domain.Caps{Daily: &one}, nil, nil, value("event", first, "day", "2026-05-13", 1), 0},
		"week full":                {&domain.Caps{Daily: &one, Weekly: &two}, nil, nil, value("event", first, "week", "2026-05-11", 2), monday},
		"for ever":                 {&domain.Caps{AllTime: &one}, nil, nil, value("event", first, "total", "1970-01-01", 1), forever},
		"one of two events":        {&domain.Caps{AllTime: &one}, &domain.Caps{}, nil, value("event", first, "total", "1970-01-01", 1), 0},
		"the other needs it":       {&domain.Caps{AllTime: &one}, &domain.Caps{}, inOrder, value("event", first, "total", "1970-01-01", 1), forever},
		"it needs the other":       {&domain.Caps{}, &domain.Caps{AllTime: &one}, inOrder, value("event", second, "total", "1970-01-01", 1), 0},
		"what it needs, for a day": {&domain.Caps{Daily: &one}, &domain.Caps{AllTime: &one}, inOrder, value("event", first, "day", "2026-05-14", 1), midnight},
		"the other is deleted":     {&domain.Caps{AllTime: &one}, &domain.Caps{}, func(o *domain.Offer, _ *Tenant) { o.Events[1].Status = "deleted" }, value("event", first, "total", "1970-01-01", 1), forever},
		"the other only counts":    {&domain.Caps{AllTime: &one}, &domain.Caps{}, func(o *domain.Offer, _ *Tenant) { o.Events[1].RecordAs = "click" }, value("event", first, "total", "1970-01-01", 1), forever},
		"goals are off":            {&domain.Caps{AllTime: &one}, &domain.Caps{}, func(_ *domain.Offer, t *Tenant) { t.goalsEnabled = false }, value("event", first, "total", "1970-01-01", 1), forever},
		"budget used up":           {&domain.Caps{}, &domain.Caps{}, nil, value("budget", offerID, "day", "2026-05-14", 10_000_000), midnight},
		"one more fits":            {&domain.Caps{}, nil, nil, value("budget", offerID, "day", "2026-05-14", 7_000_000), 0},
		"one more would cross":     {&domain.Caps{}, nil, nil, value("budget", offerID, "day", "2026-05-14", 7_000_001), midnight},
		"share of a sale may fit":  {&domain.Caps{}, nil, func(o *domain.Offer, _ *Tenant) { o.ConversionType = "RevShare" }, value("budget", offerID, "day", "2026-05-14", 9_999_999), 0},
	} {
		revenue := domain.Micros(3_000_000)
		offer := &domain.Offer{ID: offerID, BudgetType: domain.BudgetTypeDaily, Budget: 10_000_000, ConversionType: domain.ConversionTypeFlatRate}
		offer.Events = []domain.Event{{ID: first, DisplayOrder: 1, HasRevenue: true, Revenue: &revenue, Caps: *c.caps}}
		if c.secondCaps != nil {
			offer.Events = append(offer.Events, domain.Event{ID: second, DisplayOrder: 2, Caps: *c.secondCaps})
		}
		tenant := &Tenant{zone: domain.Zone{Current: berlin}, goalsEnabled: true}
		if c.change != nil {
			c.change(offer, tenant)
		}
		cached := &Offer{Offer: *offer}
		cached.judge(tenant, c.values, now)
		if got := cached.capped.until.Load(); got != c.want {
			t.Errorf("%s: until %v, want %v", name, time.Unix(0, got), time.Unix(0, c.want))
		}
	}
}

// Rule 28: where clocks skip midnight, a capped offer takes clicks again when they do, and not an hour
// earlier, when its counter is yesterday's still.
func TestRule28CapsReopenWhereMidnightIsSkipped(t *testing.T) {
	t.Parallel()
	santiago, err := time.LoadLocation("America/Santiago")
	if err != nil {
		t.Fatal(err)
	}
	one, first := int64(1), uuid.New()
	offer := &Offer{Offer: domain.Offer{
		ID: uuid.New(), BudgetType: domain.BudgetTypeTotal, Budget: 10_000_000, Events: []domain.Event{{ID: first, DisplayOrder: 1, Caps: domain.Caps{Daily: &one, Weekly: &one, Monthly: &one}}},
	}}
	for name, c := range map[string]struct{ period, start string }{"day": {"day", "2026-09-05"}, "week": {"week", "2026-08-31"}} {
		// Saturday, 22:00 in Santiago: Sunday, 2026-09-06, begins at 01:00 there, 04:00 UTC.
		offer.judge(&Tenant{zone: domain.Zone{Current: santiago}, goalsEnabled: true},
			CounterValues{{"event", first, domain.Period(c.period), c.start}: 1}, time.Date(2026, 9, 6, 2, 0, 0, 0, time.UTC))
		want := map[string]time.Time{"day": time.Date(2026, 9, 6, 4, 0, 0, 0, time.UTC), "week": time.Date(2026, 9, 7, 3, 0, 0, 0, time.UTC)}[name]
		if got := time.Unix(0, offer.capped.until.Load()).UTC(); !got.Equal(want) {
			t.Errorf("%s: capped until %v, want %v", name, got, want)
		}
	}
}

func TestLapsing(t *testing.T) {
	t.Parallel()
	var state lapsing
	end := clocktest.Now()
	state.until.Store(end.UnixNano())
	if !state.at(end.Add(-1)) || state.at(end) {
		t.Error("a state must end at its end")
	}
}

// stocked is a cache and the offer that is to be in it.
type stocked struct {
	*cachetest.Sample
	keys   *keyring.Keyring
	offers *Cache
	at     time.Time
}

func newStocked(t *testing.T) *stocked {
	t.Helper()
	keys, err := keyring.Parse(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 5, 13, 12, 0, 0, 0, time.UTC)
	return &stocked{Sample: cachetest.New(keys, at), keys: keys, offers: New(nil, keys), at: at}
}

// save puts the offer into a database, from which the cache is to be loaded.
func (e *stocked) save(t *testing.T) *pgx.Conn {
	t.Helper()
	store, conn := e.Save(t)
	e.offers = New(store, e.keys)
	return conn
}

// load puts the offer into the cache.
func (e *stocked) load(t *testing.T) {
	t.Helper()
	document, err := json.Marshal(e.Offer)
	if err != nil {
		t.Fatal(err)
	}
	e.offers.PutTenant(e.Tenant)
	e.offers.PutPartner(e.Partner)
	if err := e.offers.PutOffer(e.Offer.ID, e.Offer.Version, document, nil, nil); err != nil {
		t.Fatal(err)
	}
	e.offers.PutLink(&e.Link)
}

func TestOfferCacheLoads(t *testing.T) {
	t.Parallel()
	e := newStocked(t)
	conn := e.save(t)
	ctx := context.Background()
	if err := e.offers.Load(ctx); err != nil {
		t.Fatal(err)
	}
	store := e.offers.store
	e.offers.store = nil // what follows is in memory
	found, err := e.offers.ByLink(ctx, nil, e.Link.ID)
	if err != nil || found.Offer.ID != e.Offer.ID || found.Partner.ID != e.Partner.ID || found.Tenant.ID != e.Tenant.TenantID {
		t.Fatalf("%+v %v", found, err)
	}
	if found, err = e.offers.ByOffer(ctx, nil, e.Offer.ID); err != nil || found.Link.ID != e.Link.ID {
		t.Fatalf("by offer: %+v %v", found, err)
	}
	e.offers.store = store
	// The budget is used up: news of the offer says so, and the sweep would too.
	for name, refresh := range map[string]func() error{
		"by news": func() error {
			e.offers.Heard(newsOf(t, stream.OfferEvent{TenantID: e.Tenant.TenantID, OfferID: &e.Offer.ID}))
			return e.offers.ReloadDirty(ctx)
		},
		"by the sweep": func() error { return e.offers.RefreshCaps(ctx) },
	} {
		for value, capped := range map[int64]bool{10_000_000: true, 1_000_000: false} {
			if _, err := conn.Exec(ctx, `INSERT INTO cap_counters VALUES ($1, 'budget', $2, 'total', '1970-01-01', $3)
				ON CONFLICT (tenant_id, scope, scope_id, period, period_start) DO UPDATE SET value = excluded.value`, e.Tenant.TenantID, e.Offer.ID, value); err != nil {
				t.Fatal(err)
			}
			if err := refresh(); err != nil {
				t.Fatal(err)
			}
			if found, _ := e.offers.ByLink(ctx, nil, e.Link.ID); found.Offer.capped.at(clocktest.Now()) != capped {
				t.Errorf("%s, at %d: capped %v", name, value, !capped)
			}
		}
	}
	// The tenant's news brings its partners.
	if _, err := conn.Exec(ctx, "UPDATE partners SET status = 'blocked'"); err != nil {
		t.Fatal(err)
	}
	e.offers.Heard(newsOf(t, stream.OfferEvent{TenantID: e.Tenant.TenantID}))
	if err := e.offers.ReloadDirty(ctx); err != nil {
		t.Fatal(err)
	}
	if found, _ := e.offers.ByLink(ctx, nil, e.Link.ID); found.Partner.Status != "blocked" {
		t.Errorf("partner %+v", found.Partner.Partner)
	}
}

func newsOf(t *testing.T, event stream.OfferEvent) []byte {
	t.Helper()
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOlderVersionNeverReplacesNewer(t *testing.T) {
	t.Parallel()
	e := newStocked(t)
	e.load(t)
	e.Offer.Name = "older"
	document, _ := json.Marshal(e.Offer)
	if err := e.offers.PutOffer(e.Offer.ID, 2, document, nil, nil); err != nil {
		t.Fatal(err)
	}
	if name := e.offers.offers.get(e.Offer.ID).Name; name == "older" {
		t.Error("replaced")
	}
}

// An offer whose document cannot be read is as if it did not exist; every other is as it was, also in a
// list of all of them.
func TestAnUnreadableOfferKeepsNoOther(t *testing.T) {
	t.Parallel()
	e := newStocked(t)
	conn := e.save(t)
	ctx := context.Background()
	bad := uuid.New()
	for _, sql := range []string{
		`INSERT INTO offers (tenant_id, id, advertiser_id, version, name, offer_type, is_paused, launch_at, created_at, updated_at)
			SELECT tenant_id, $1, advertiser_id, 1, 'n', 'SingleEvent', false, now(), now(), now() FROM offers`,
		`INSERT INTO offer_access (tenant_id, offer_id, side, created_at) SELECT tenant_id, $1, 'owner', now() FROM offer_access`,
		`INSERT INTO offer_versions (tenant_id, offer_id, version, document, created_at, created_by) SELECT tenant_id, $1, 1, '{"id": 7}', now(), 'x' FROM tenants`,
		`INSERT INTO links (tenant_id, id, offer_id, is_default, created_at) SELECT tenant_id, gen_random_uuid(), $1, true, now() FROM tenants`,
	} {
		if _, err := conn.Exec(ctx, sql, bad); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.offers.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if found, err := e.offers.ByLink(ctx, nil, e.Link.ID); err != nil || found.Offer.ID != e.Offer.ID {
		t.Errorf("the other: %v", err)
	}
	if _, err := e.offers.ByOffer(ctx, nil, bad); !errors.Is(err, lookup.ErrNotFound) {
		t.Errorf("the unreadable: %v", err)
	}
	targets, err := e.offers.OfTenant(ctx, e.Tenant.TenantID)
	if err != nil || len(targets) != 1 {
		t.Errorf("%d offers of the tenant, %v", len(targets), err)
	}
	e.offers.dirty.mark(func(d *dirtySet) { d.offers[bad] = true })
	if err := e.offers.ReloadDirty(ctx); err != nil {
		t.Errorf("tried again and again: %v", err)
	}
}

// Rule 58: the redirect looks at the advertiser's counters, in the advertiser's time zone.
func TestRule58RedirectByTheAdvertisersCaps(t *testing.T) {
	t.Parallel()
	e := newStocked(t) // at 12:00 UTC on 13 May
	one, publisher := int64(1), uuid.New()
	e.Offer.Events[0].Daily = &one
	e.Tenant.Timezone = "Pacific/Kiritimati" // where it is the 14th
	e.Link.TenantID, e.Link.PartnerID = publisher, nil
	e.load(t)
	e.offers.PutTenant(dbgen.Tenant{TenantID: publisher, Timezone: "UTC", FraudChecks: []byte("{}"), GoalsEnabled: true})
	tenant := e.offers.tenants.get(e.Tenant.TenantID)
	taken := func(day string) CounterValues {
		return CounterValues{counterKey{domain.CapScopeEvent, e.Offer.Events[0].ID, domain.PeriodDay, day}: 1}
	}
	cached := e.offers.offers.get(e.Offer.ID)
	if cached.judge(tenant, taken("2026-05-13"), e.at); cached.capped.until.Load() != 0 {
		t.Errorf("yesterday's slot counts until %d", cached.capped.until.Load())
	}
	cached.judge(tenant, taken("2026-05-14"), e.at)
	until := cached.capped.until.Load()
	if want := time.Date(2026, 5, 14, 10, 0, 0, 0, time.UTC); until != want.UnixNano() {
		t.Errorf("capped until %s, not the end of the advertiser's day", time.Unix(0, until).UTC())
	}
	found, err := e.offers.ByLink(t.Context(), nil, e.Link.ID)
	if reason := found.Unavailability(e.at, domain.Audience{}); err != nil || reason != domain.ReasonCapped {
		t.Errorf("refused as %q, %v", reason, err)
	}
}

// Where the parts of an offer are not in memory and cannot be looked up now, a list of all offers is refused
// rather than shown without it.
func TestOffersWhenLookUpsAreInUse(t *testing.T) {
	t.Parallel()
	e := newStocked(t)
	e.load(t)
	e.offers.offers.m.Delete(e.Offer.ID)
	for range lookup.SlotsWithProof {
		e.offers.Misses.Proven <- struct{}{}
	}
	_, err := e.offers.OfTenant(t.Context(), e.Tenant.TenantID)
	if !errors.Is(err, context.DeadlineExceeded) { // answered 503
		t.Errorf("got %v", err)
	}
	if _, err := e.offers.ByOffer(t.Context(), nil, e.Offer.ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
