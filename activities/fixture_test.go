package activities

import (
	"context"
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
