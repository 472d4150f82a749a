package api

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
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
	first, second, offerID := newID(), newID(), newID()
	value := func(scope domain.CapScope, id uuid.UUID, period domain.Period, start string, n int64) counterValues {
		return counterValues{{scope, id, period, start}: n}
	}
	inOrder := func(o *domain.Offer, _ *cachedTenant) {
		for i := range o.Events {
			number := i + 1
			o.Events[i].SequenceNumber = &number
		}
	}
	for name, c := range map[string]struct {
		caps, secondCaps *domain.Caps
		change           func(*domain.Offer, *cachedTenant)
		values           counterValues
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
		"the other is deleted":     {&domain.Caps{AllTime: &one}, &domain.Caps{}, func(o *domain.Offer, _ *cachedTenant) { o.Events[1].Status = "deleted" }, value("event", first, "total", "1970-01-01", 1), forever},
		"the other only counts":    {&domain.Caps{AllTime: &one}, &domain.Caps{}, func(o *domain.Offer, _ *cachedTenant) { o.Events[1].RecordAs = "click" }, value("event", first, "total", "1970-01-01", 1), forever},
		"goals are off":            {&domain.Caps{AllTime: &one}, &domain.Caps{}, func(_ *domain.Offer, t *cachedTenant) { t.goalsEnabled = false }, value("event", first, "total", "1970-01-01", 1), forever},
		"budget used up":           {&domain.Caps{}, &domain.Caps{}, nil, value("budget", offerID, "day", "2026-05-14", 10_000_000), midnight},
		"one more fits":            {&domain.Caps{}, nil, nil, value("budget", offerID, "day", "2026-05-14", 7_000_000), 0},
		"one more would cross":     {&domain.Caps{}, nil, nil, value("budget", offerID, "day", "2026-05-14", 7_000_001), midnight},
		"share of a sale may fit":  {&domain.Caps{}, nil, func(o *domain.Offer, _ *cachedTenant) { o.ConversionType = "RevShare" }, value("budget", offerID, "day", "2026-05-14", 9_999_999), 0},
	} {
		revenue := domain.Micros(3_000_000)
		offer := &domain.Offer{ID: offerID, BudgetType: domain.BudgetTypeDaily, Budget: 10_000_000, ConversionType: domain.ConversionTypeFlatRate}
		offer.Events = []domain.Event{{ID: first, DisplayOrder: 1, HasRevenue: true, Revenue: &revenue, Caps: *c.caps}}
		if c.secondCaps != nil {
			offer.Events = append(offer.Events, domain.Event{ID: second, DisplayOrder: 2, Caps: *c.secondCaps})
		}
		tenant := &cachedTenant{zone: domain.Zone{Current: berlin}, goalsEnabled: true}
		if c.change != nil {
			c.change(offer, tenant)
		}
		cached := &cachedOffer{Offer: *offer}
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
	one, first := int64(1), newID()
	offer := &cachedOffer{Offer: domain.Offer{
		ID: newID(), BudgetType: domain.BudgetTypeTotal, Budget: 10_000_000, Events: []domain.Event{{ID: first, DisplayOrder: 1, Caps: domain.Caps{Daily: &one, Weekly: &one, Monthly: &one}}},
	}}
	for name, c := range map[string]struct{ period, start string }{"day": {"day", "2026-09-05"}, "week": {"week", "2026-08-31"}} {
		// Saturday, 22:00 in Santiago: Sunday, 2026-09-06, begins at 01:00 there, 04:00 UTC.
		offer.judge(&cachedTenant{zone: domain.Zone{Current: santiago}, goalsEnabled: true},
			counterValues{{"event", first, domain.Period(c.period), c.start}: 1}, time.Date(2026, 9, 6, 2, 0, 0, 0, time.UTC))
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

// save puts the edge's tenant, partner, offer and link into a database.
func (e *edge) save(t *testing.T) *pgx.Conn {
	t.Helper()
	url := dbtest.New(t)
	store, err := db.Open(context.Background(), url, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	e.offers = NewOfferCache(store, e.keys)
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	document, err := json.Marshal(e.offer)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO tenants (tenant_id, name, product, email, currency, timezone, created_at) VALUES ($1, 'n', 'publisher', 'e', 'USD', 'UTC', now())`, []any{e.tenant.TenantID}},
		{`INSERT INTO advertisers (tenant_id, id, key, name, created_at) VALUES ($1, $2, 'k', 'n', now())`, []any{e.tenant.TenantID, e.offer.AdvertiserID}},
		{`INSERT INTO partners (tenant_id, id, name, created_at) VALUES ($1, $2, 'n', now())`, []any{e.tenant.TenantID, e.partner.ID}},
		{`INSERT INTO offers (tenant_id, id, advertiser_id, version, name, offer_type, is_paused, launch_at, created_at, updated_at)
			VALUES ($1, $2, $3, 1, 'n', 'SingleEvent', false, now(), now(), now())`, []any{e.tenant.TenantID, e.offer.ID, e.offer.AdvertiserID}},
		{`INSERT INTO offer_access (tenant_id, offer_id, side, created_at) VALUES ($1, $2, 'owner', now())`, []any{e.tenant.TenantID, e.offer.ID}},
		{`INSERT INTO offer_versions (tenant_id, offer_id, version, document, created_at, created_by) VALUES ($1, $2, 1, $3, now(), 'x')`, []any{e.tenant.TenantID, e.offer.ID, document}},
		{`INSERT INTO links (tenant_id, id, offer_id, partner_id, is_default, created_at) VALUES ($1, $2, $3, $4, true, now())`, []any{e.tenant.TenantID, e.link.ID, e.offer.ID, e.partner.ID}},
	} {
		if _, err := conn.Exec(context.Background(), statement.sql, statement.args...); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

func TestOfferCacheLoads(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	conn := e.save(t)
	ctx := context.Background()
	if err := e.offers.Load(ctx); err != nil {
		t.Fatal(err)
	}
	store := e.offers.store
	e.offers.store = nil // what follows is in memory
	found, err := e.offers.byLink(ctx, nil, e.link.ID)
	if err != nil || found.offer.ID != e.offer.ID || found.partner.ID != e.partner.ID || found.tenant.id != e.tenant.TenantID {
		t.Fatalf("%+v %v", found, err)
	}
	if found, err = e.offers.byOffer(ctx, nil, e.offer.ID); err != nil || found.link.ID != e.link.ID {
		t.Fatalf("by offer: %+v %v", found, err)
	}
	e.offers.store = store
	// The budget is used up: news of the offer says so, and the sweep would too.
	for name, refresh := range map[string]func() error{
		"by news": func() error {
			e.offers.heard(newsOf(t, stream.OfferEvent{TenantID: e.tenant.TenantID, OfferID: &e.offer.ID}))
			return e.offers.reloadDirty(ctx)
		},
		"by the sweep": func() error { return e.offers.refreshCaps(ctx) },
	} {
		for value, capped := range map[int64]bool{10_000_000: true, 1_000_000: false} {
			if _, err := conn.Exec(ctx, `INSERT INTO cap_counters VALUES ($1, 'budget', $2, 'total', '1970-01-01', $3)
				ON CONFLICT (tenant_id, scope, scope_id, period, period_start) DO UPDATE SET value = excluded.value`, e.tenant.TenantID, e.offer.ID, value); err != nil {
				t.Fatal(err)
			}
			if err := refresh(); err != nil {
				t.Fatal(err)
			}
			if found, _ := e.offers.byLink(ctx, nil, e.link.ID); found.offer.capped.at(clocktest.Now()) != capped {
				t.Errorf("%s, at %d: capped %v", name, value, !capped)
			}
		}
	}
	// The tenant's news brings its partners.
	if _, err := conn.Exec(ctx, "UPDATE partners SET status = 'blocked'"); err != nil {
		t.Fatal(err)
	}
	e.offers.heard(newsOf(t, stream.OfferEvent{TenantID: e.tenant.TenantID}))
	if err := e.offers.reloadDirty(ctx); err != nil {
		t.Fatal(err)
	}
	if found, _ := e.offers.byLink(ctx, nil, e.link.ID); found.partner.Status != "blocked" {
		t.Errorf("partner %+v", found.partner.Partner)
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
	e := newEdge(t)
	e.load(t)
	e.offer.Name = "older"
	document, _ := json.Marshal(e.offer)
	if err := e.offers.putOffer(e.offer.ID, 2, document, nil, nil); err != nil {
		t.Fatal(err)
	}
	if name := e.offers.offers.get(e.offer.ID).Name; name == "older" {
		t.Error("replaced")
	}
}

// An offer whose document cannot be read is as if it did not exist; every other is as it was, also in a
// list of all of them.
func TestAnUnreadableOfferKeepsNoOther(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
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
	if found, err := e.offers.byLink(ctx, nil, e.link.ID); err != nil || found.offer.ID != e.offer.ID {
		t.Errorf("the other: %v", err)
	}
	if _, err := e.offers.byOffer(ctx, nil, bad); !errors.Is(err, errNoTarget) {
		t.Errorf("the unreadable: %v", err)
	}
	targets, err := e.offers.ofTenant(ctx, e.tenant.TenantID)
	if err != nil || len(targets) != 1 {
		t.Errorf("%d offers of the tenant, %v", len(targets), err)
	}
	e.offers.dirty.mark(func(d *dirtySet) { d.offers[bad] = true })
	if err := e.offers.reloadDirty(ctx); err != nil {
		t.Errorf("tried again and again: %v", err)
	}
}
