package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// decisionRig is a tenant with an advertiser and a partner on a real database, in the roles of
// production; only the clock is a stand-in. After each test its books are checked as a whole.
type decisionRig struct {
	*Decisions
	t                               *testing.T
	tenantID, advertiserID, partner uuid.UUID
	secretKeys, url                 string
	quiet                           *db.Store // beside the one that races

	*testClock
}

// testClock is a clock that stands until it is told to go.
type testClock struct {
	mu    sync.Mutex
	clock time.Time
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clock
}

func (c *testClock) wait(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock = c.clock.Add(by)
}

// raceConns is the pool of the tests that race.
const raceConns = 40

func newDecisionRig(t *testing.T, maxConns int32) *decisionRig {
	t.Helper()
	url := dbtest.New(t)
	store, err := db.Open(t.Context(), url, maxConns)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	rig := &decisionRig{
		t: t, url: url, tenantID: uuid.New(), advertiserID: uuid.New(), partner: uuid.New(), secretKeys: keyring.Generate(),
		testClock: &testClock{clock: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)},
	}
	rig.Decisions = rig.restarted(store)
	t.Cleanup(func() { rig.Store.Close() }) // a test may have opened it anew
	rig.insertTenant("publisher", 10)
	t.Cleanup(rig.requireBooks)
	return rig
}

// insertTenant stores the rig's tenant with its advertiser and partner.
func (rig *decisionRig) insertTenant(product string, rewardRatio int64) {
	rig.t.Helper()
	at := rig.now()
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		ratio := domain.Micros(rewardRatio * domain.MicrosPerUnit)
		if err := queries.InsertTenant(ctx, tx, dbgen.InsertTenantParams{
			TenantID: rig.tenantID, Name: "T", Product: product, Email: "t@example.com", Currency: "USD", Timezone: "UTC",
			RewardRatioMicros: &ratio, CreatedAt: at, PostbackSecurity: string(domain.PostbackSecurityOpen),
		}); err != nil {
			return err
		}
		if err := queries.InsertAdvertiser(ctx, tx, dbgen.InsertAdvertiserParams{
			TenantID: rig.tenantID, ID: rig.advertiserID, Key: rig.advertiserID.String(), Name: "A", IpAllowlist: []string{}, CreatedAt: at,
		}); err != nil {
			return err
		}
		return queries.InsertPartner(ctx, tx, dbgen.InsertPartnerParams{
			TenantID: rig.tenantID, ID: rig.partner, Name: "P", Status: "active", CreatedAt: at,
		})
	})
}

// restarted is what a new process has: the same database, nothing in memory.
func (rig *decisionRig) restarted(store *db.Store) *Decisions {
	keys, err := keyring.Parse(rig.secretKeys)
	require.NoError(rig.t, err)
	return &Decisions{Store: store, Keys: keys, Nudge: func() {}, Now: rig.now}
}

// tenant runs one transaction of the tenant, as the application does.
func (rig *decisionRig) tenant(fn func(ctx context.Context, tx pgx.Tx) error) {
	rig.t.Helper()
	ctx := context.WithoutCancel(rig.t.Context())
	require.NoError(rig.t, rig.Store.Tenant(ctx, rig.tenantID, func(ctx context.Context, tx pgx.Tx) error { return fn(ctx, tx) }))
}

// set runs one statement of the tenant.
func (rig *decisionRig) set(sql string, args ...any) {
	rig.t.Helper()
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sql, args...)
		return err
	})
}

// value asks for one value, across tenants.
func value[T any](rig *decisionRig, sql string, args ...any) (v T) {
	rig.t.Helper()
	require.NoError(rig.t, rig.Store.SystemPool().QueryRow(context.WithoutCancel(rig.t.Context()), sql, args...).Scan(&v))
	return v
}

func decimal(text string) *domain.Micros {
	m, err := domain.ParseMicros(text)
	if err != nil {
		panic(err)
	}
	return &m
}

func limit(n int64) *int64 { return &n }

// goal is an independent event that pays 2.50, 1.00 to a partner, and 100 points.
func goal(name string, changes ...func(*domain.Event)) domain.Event {
	e := domain.Event{
		ID: uuid.New(), Name: name, EventID: name, HasRevenue: true, Revenue: decimal("2.5"), HasReward: true, Reward: decimal("100"),
		GoalSettings: domain.GoalSettings{
			Slug: name, Payout: decimal("1"), Status: domain.GoalStatusActive, RecordAs: domain.RecordAsConversion, DedupeSeconds: *decimal("10"),
		},
	}
	for _, change := range changes {
		change(&e)
	}
	return e
}

func numbered(n int) func(*domain.Event) { return func(e *domain.Event) { e.SequenceNumber = &n } }
func pendingFor(days string) func(*domain.Event) {
	return func(e *domain.Event) { e.PendingTime = decimal(days) }
}
func capped(total int64) func(*domain.Event) {
	return func(e *domain.Event) { e.AllTime = &total }
}
func approval(e *domain.Event) { e.RequiresApproval = true }
func repeats(e *domain.Event)  { e.AllowRepetitions = true }

// offer stores a MultiEvent offer; changes may make it anything else.
func (rig *decisionRig) offer(events []domain.Event, changes ...func(*domain.Offer)) *domain.Offer {
	rig.t.Helper()
	o := &domain.Offer{
		ID: uuid.New(), TenantID: rig.tenantID, Version: 1, AdvertiserID: rig.advertiserID, Name: "O", OfferType: domain.OfferTypeMultiEvent,
		ConversionType: domain.ConversionTypeFlatRate, RewardType: domain.RewardTypeAutomatic, Events: events, BudgetType: domain.BudgetTypeTotal,
		Budget: *decimal("1000000"), LaunchAt: rig.now(), SessionDays: *decimal("30"), OutOfOrderGraceMinutes: *decimal("60"),
		OverCapPolicy: domain.OverCapPolicyReject,
	}
	for _, change := range changes {
		change(o)
	}
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		if err := queries.InsertOffer(ctx, tx, dbgen.InsertOfferParams{
			TenantID: rig.tenantID, ID: o.ID, AdvertiserID: rig.advertiserID, Version: 1, Name: o.Name, OfferType: string(o.OfferType),
			LaunchAt: o.LaunchAt, CreatedAt: rig.now(), UpdatedAt: rig.now(),
		}); err != nil {
			return err
		}
		access := dbgen.InsertOfferAccessParams{TenantID: rig.tenantID, OfferID: o.ID, Side: "owner", CreatedAt: rig.now()}
		if err := queries.InsertOfferAccess(ctx, tx, access); err != nil {
			return err
		}
		return rig.insertVersion(ctx, tx, o)
	})
	return o
}

func (rig *decisionRig) insertVersion(ctx context.Context, tx pgx.Tx, o *domain.Offer) error {
	document, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return queries.InsertOfferVersion(ctx, tx, dbgen.InsertOfferVersionParams{
		TenantID: rig.tenantID, OfferID: o.ID, Version: o.Version, Document: document, CreatedAt: rig.now(), CreatedBy: "test",
	})
}

// edit stores the next version of an offer. The events are copied, so that the earlier version
// stays as it was.
func (rig *decisionRig) edit(o *domain.Offer, change func(*domain.Offer)) *domain.Offer {
	rig.t.Helper()
	next := *o
	next.Events = append([]domain.Event(nil), o.Events...)
	next.Version++
	change(&next)
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		if err := rig.insertVersion(ctx, tx, &next); err != nil {
			return err
		}
		changed, err := queries.UpdateOffer(ctx, tx, dbgen.UpdateOfferParams{
			AdvertiserID: rig.advertiserID, Version: next.Version, Name: next.Name, OfferType: string(next.OfferType), IsPaused: next.IsPaused,
			LaunchAt: next.LaunchAt, UpdatedAt: rig.now(), ID: o.ID, WasVersion: o.Version,
		})
		if err == nil && changed != 1 {
			err = fmt.Errorf("%d offers changed", changed)
		}
		return err
	})
	return &next
}

// clicks stores n clicks of members of their own.
func (rig *decisionRig) clicks(o *domain.Offer, n int, change func(i int, c *domain.Click)) []domain.Click {
	rig.t.Helper()
	clicks := make([]domain.Click, n)
	for i := range clicks {
		at, member := rig.now(), fmt.Sprintf("member-%s-%d", o.ID, i)
		clicks[i] = domain.Click{
			ID: rig.Keys.NewID(keyring.KindClick, at), TenantID: rig.tenantID, ClickedAt: at, LinkID: uuid.New(), OfferID: o.ID, OfferVersion: o.Version,
			AdvertiserID: rig.advertiserID, PartnerID: &rig.partner, PubMemberID: &member, SessionEndsAt: o.SessionEnd(at),
		}
		if change != nil {
			change(i, &clicks[i])
		}
	}
	packed, err := json.Marshal(clicks)
	require.NoError(rig.t, err)
	require.NoError(rig.t, (&Clicks{Store: rig.Store}).Insert(rig.t.Context(), packed))
	return clicks
}

func (rig *decisionRig) click(o *domain.Offer, change ...func(c *domain.Click)) domain.Click {
	rig.t.Helper()
	return rig.clicks(o, 1, func(_ int, c *domain.Click) {
		member := uuid.NewString()
		c.PubMemberID = &member
		for _, one := range change {
			one(c)
		}
	})[0]
}

// postback is one that was received now.
func (rig *decisionRig) postback(c domain.Click, event string, change ...func(*domain.Postback)) domain.Postback {
	p := domain.Postback{
		ID: rig.Keys.NewID(keyring.KindPostback, rig.now()), ReceivedAt: rig.now(), Method: "GET", Path: "/track", SourceIP: "192.0.2.1", Params: map[string]string{},
		ClickID: &c.ID, EventID: event,
	}
	for _, one := range change {
		one(&p)
	}
	return p
}

// decide decides a postback, and checks what was foreseen of it (requireForeseen).
func (rig *decisionRig) decide(p domain.Postback) Decided {
	rig.t.Helper()
	foreseen := rig.foresee(p)
	decided, err := rig.Decide(rig.t.Context(), rig.tenantID, p)
	require.NoError(rig.t, err)
	require.Equal(rig.t, p.ID, decided.Answer.PostbackID)
	foreseen(decided)
	return decided
}

// post has a new postback decided.
func (rig *decisionRig) post(c domain.Click, event string, change ...func(*domain.Postback)) domain.Answer {
	rig.t.Helper()
	return rig.decide(rig.postback(c, event, change...)).Answer
}

// review moves a conversion for a person.
func (rig *decisionRig) review(id *uuid.UUID, action domain.Action, change ...func(*SettleRequest)) Settled {
	rig.t.Helper()
	request := SettleRequest{TenantID: rig.tenantID, ConversionID: *id, Action: action, RequestID: uuid.NewString(), Actor: "person"}
	for _, one := range change {
		one(&request)
	}
	settled, err := rig.Settle(rig.t.Context(), request)
	require.NoError(rig.t, err)
	return settled
}

func byTimer(r *SettleRequest) { r.Actor, r.RequestID = "", "release" }

// conversion is a conversion's row.
func (rig *decisionRig) conversion(id *uuid.UUID) (row dbgen.Conversion) {
	rig.t.Helper()
	rig.tenant(func(ctx context.Context, tx pgx.Tx) (err error) {
		row, err = queries.GetConversion(ctx, tx, rig.tenantID, *id)
		return err
	})
	return row
}

// atOnce runs n calls as simultaneously as the machine can.
func atOnce(t *testing.T, n int, call func(i int) error) {
	t.Helper()
	var done sync.WaitGroup
	begin, failed := make(chan struct{}), make(chan error, n)
	for i := range n {
		done.Go(func() {
			<-begin
			if err := call(i); err != nil {
				failed <- err
			}
		})
	}
	close(begin)
	done.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
}
