package activitytest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// Rig is a tenant with an advertiser and a partner on a real database, in the roles of
// production; only the clock is a stand-in. After each test its books are checked as a whole.
type Rig struct {
	*attribution.Decisions
	T                               *testing.T
	TenantID, AdvertiserID, Partner uuid.UUID
	SecretKeys, URL                 string
	Quiet                           *db.Store // beside the one that races

	*Clock
}

// Clock is a clock that stands until it is told to go.
type Clock struct {
	mu sync.Mutex
	At time.Time
}

// Time is where the clock stands.
func (c *Clock) Time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.At
}

// Wait sets the clock forward.
func (c *Clock) Wait(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.At = c.At.Add(by)
}

// RaceConns is the pool of the tests that race.
const RaceConns = 40

// New makes a rig whose pools have at most so many connections.
func New(t *testing.T, maxConns int32) *Rig {
	t.Helper()
	url := dbtest.New(t)
	store, err := db.Open(t.Context(), url, maxConns)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	rig := &Rig{
		T: t, URL: url, TenantID: uuid.New(), AdvertiserID: uuid.New(), Partner: uuid.New(), SecretKeys: keyring.Generate(),
		Clock: &Clock{At: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)},
	}
	rig.Decisions = rig.Restarted(store)
	t.Cleanup(func() { rig.Store.Close() }) // a test may have opened it anew
	rig.insertTenant("publisher", 10)
	t.Cleanup(rig.RequireBooks)
	return rig
}

// insertTenant stores the rig's tenant with its advertiser and partner.
func (rig *Rig) insertTenant(product string, rewardRatio int64) {
	rig.T.Helper()
	at := rig.Time()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		ratio := domain.Micros(rewardRatio * domain.MicrosPerUnit)
		if err := queries.InsertTenant(ctx, tx, dbgen.InsertTenantParams{
			TenantID: rig.TenantID, Name: "T", Product: product, Email: "t@example.com", Currency: "USD", Timezone: "UTC",
			RewardRatioMicros: &ratio, CreatedAt: at, PostbackSecurity: string(domain.PostbackSecurityOpen),
		}); err != nil {
			return err
		}
		if err := queries.InsertAdvertiser(ctx, tx, dbgen.InsertAdvertiserParams{
			TenantID: rig.TenantID, ID: rig.AdvertiserID, Key: rig.AdvertiserID.String(), Name: "A", IpAllowlist: []string{}, CreatedAt: at,
		}); err != nil {
			return err
		}
		return queries.InsertPartner(ctx, tx, dbgen.InsertPartnerParams{
			TenantID: rig.TenantID, ID: rig.Partner, Name: "P", Status: "active", CreatedAt: at,
		})
	})
}

// Restarted is what a new process has: the same database, nothing in memory.
func (rig *Rig) Restarted(store *db.Store) *attribution.Decisions {
	keys, err := keyring.Parse(rig.SecretKeys)
	require.NoError(rig.T, err)
	return &attribution.Decisions{Store: store, Keys: keys, Nudge: func() {}, Now: rig.Time}
}

// InTenant runs one transaction of the tenant, as the application does.
func (rig *Rig) InTenant(fn func(ctx context.Context, tx pgx.Tx) error) {
	rig.T.Helper()
	ctx := context.WithoutCancel(rig.T.Context())
	require.NoError(rig.T, rig.Store.Tenant(ctx, rig.TenantID, func(ctx context.Context, tx pgx.Tx) error { return fn(ctx, tx) }))
}

// Set runs one statement of the tenant.
func (rig *Rig) Set(sql string, args ...any) {
	rig.T.Helper()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sql, args...)
		return err
	})
}

// Value asks for one value, across tenants.
func Value[T any](rig *Rig, sql string, args ...any) (v T) {
	rig.T.Helper()
	require.NoError(rig.T, rig.Store.SystemPool().QueryRow(context.WithoutCancel(rig.T.Context()), sql, args...).Scan(&v))
	return v
}
