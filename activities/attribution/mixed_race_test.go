package attribution_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
)

// Decisions, reviews and changes of caps, all at once, on offers that share a partner and members:
// nobody waits for somebody who waits for him, no error surfaces, and the books are right in the end.
func TestInvariant4EverythingAtOnce(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 8)
	racing, err := db.Open(t.Context(), rig.URL, activitytest.RaceConns)
	require.NoError(t, err)
	rig.Store, rig.Quiet = racing, rig.Store
	m := &mix{Rig: rig}
	rig.Set("UPDATE partners SET weekly_cap = 60")
	daily := func(e *domain.Event) { e.Daily = activitytest.Limit(2) }
	for i := range 3 {
		o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1")), activitytest.Goal("B", daily), activitytest.Goal("C", activitytest.Repeats)}, func(o *domain.Offer) {
			o.Budget = *activitytest.Decimal("150")
			if i == 0 {
				o.OverCapPolicy = domain.OverCapPolicyPending
			}
		})
		m.offers = append(m.offers, o)
		m.clicks = append(m.clicks, rig.Clicks(o, 40, func(i int, c *domain.Click) {
			member := fmt.Sprintf("member-%d", i%15)
			c.PubMemberID = &member
		})...)
	}
	const workers, steps = 24, 60
	activitytest.AtOnce(t, workers, func(w int) error {
		random := rand.New(rand.NewPCG(uint64(w), 7))
		for range steps {
			if err := m.step(t.Context(), random); err != nil {
				return err
			}
		}
		return nil
	})
	require.Zero(t, deadlocks(t, rig.URL, racing, rig.Quiet))
	rig.Store, err = db.Open(t.Context(), rig.URL, 4)
	require.NoError(t, err)
	m.requireWithinCaps()
	require.Greater(t, activitytest.Value[int64](rig, "SELECT count(*) FROM transitions WHERE sequence > 1"), int64(20), "people had something to do")
	require.Greater(t, activitytest.Value[int64](rig, "SELECT count(DISTINCT rejection_reason) FROM conversions WHERE rejection_reason ~ '^(cap|budget)_'"), int64(1), "and limits were met")
}

// mix is what everything at once goes on about.
type mix struct {
	*activitytest.Rig
	offers []*domain.Offer
	clicks []domain.Click
}

// step does one thing: now and then a change of caps, some reviews, mostly decisions.
func (m *mix) step(ctx context.Context, random *rand.Rand) error {
	switch what := random.IntN(100); {
	case what < 4:
		return m.raisePartnerCap(ctx)
	case what < 10:
		return m.raiseEventCap(ctx, m.offers[random.IntN(len(m.offers))].ID)
	case what < 40:
		return m.ReviewSome(ctx, random)
	default:
		p := m.Postback(m.clicks[random.IntN(len(m.clicks))], string(rune('A'+random.IntN(3))))
		p.ReceivedAt = p.ReceivedAt.Add(time.Duration(random.IntN(300)) * time.Hour) // over days, weeks, months
		_, err := m.Decide(ctx, m.TenantID, p)
		return err
	}
}

// raisePartnerCap sets the partner's cap to what is live and a little more, and seeds its counter.
func (m *mix) raisePartnerCap(ctx context.Context) error {
	return m.Store.Tenant(ctx, m.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		if err := queries.OwnCapLock(ctx, tx, "partner "+m.Partner.String()); err != nil {
			return err
		}
		live, err := queries.CountLiveOfPartner(ctx, tx, dbgen.CountLiveOfPartnerParams{
			TenantID: m.TenantID, PartnerID: m.Partner, FromDay: m.At.AddDate(-9, 0, 0), ToDay: m.At.AddDate(9, 0, 0),
		})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE partners SET all_time_cap = greatest(all_time_cap, $2) WHERE id = $1", m.Partner, live+5)
		if err != nil {
			return err
		}
		return m.seed(ctx, tx, domain.CapScopePartner, m.Partner, live)
	})
}

// raiseEventCap does the same with each event of an offer's newest version.
func (m *mix) raiseEventCap(ctx context.Context, offerID uuid.UUID) error {
	return m.Store.Tenant(ctx, m.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		if err := queries.OwnCapLock(ctx, tx, "offer "+offerID.String()); err != nil {
			return err
		}
		row, err := queries.LockOffer(ctx, tx, offerID)
		if err != nil {
			return err
		}
		current, err := m.LoadOffer(ctx, tx, offerID, row.Version)
		if err != nil {
			return err
		}
		next := *current
		next.Version++
		next.Events = append([]domain.Event(nil), current.Events...)
		for i := range next.Events {
			event := &next.Events[i]
			live, err := queries.CountLiveOfEvent(ctx, tx, dbgen.CountLiveOfEventParams{
				TenantID: m.TenantID, EventID: event.ID, FromDay: m.At.AddDate(-9, 0, 0), ToDay: m.At.AddDate(9, 0, 0),
			})
			if err != nil {
				return err
			}
			if event.AllTime == nil || *event.AllTime < live+2 {
				event.AllTime = activitytest.Limit(live + 2)
			}
			if err := m.seed(ctx, tx, domain.CapScopeEvent, event.ID, live); err != nil {
				return err
			}
		}
		if err := m.InsertVersion(ctx, tx, &next); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE offers SET version = $2 WHERE id = $1", offerID, next.Version)
		return err
	})
}

// seed sets a counter to what is live. No decision is under way, so that one that is there already
// says the same.
func (m *mix) seed(ctx context.Context, tx pgx.Tx, scope domain.CapScope, id uuid.UUID, live int64) error {
	var drift int64
	err := tx.QueryRow(ctx, "SELECT coalesce(sum(value) - $3, 0)::bigint FROM cap_counters WHERE scope = $1 AND scope_id = $2 AND period = 'total' HAVING count(*) > 0",
		string(scope), id, live).Scan(&drift)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if drift != 0 {
		return fmt.Errorf("counter of %s %s is off by %d", scope, id, drift)
	}
	return queries.SeedCounter(ctx, tx, dbgen.SeedCounterParams{
		TenantID: m.TenantID, Scope: string(scope), ScopeID: id, Period: string(domain.PeriodTotal),
		PeriodStart: time.Unix(0, 0).UTC(), Value: live,
	})
}

// requireWithinCaps recounts what is live against the caps as they are.
func (m *mix) requireWithinCaps() {
	m.T.Helper()
	counted := activitytest.Value[int64](m.Rig, "SELECT count(*) FROM conversions WHERE is_counted")
	require.LessOrEqual(m.T, counted, activitytest.Value[int64](m.Rig, "SELECT all_time_cap FROM partners"))
	over := activitytest.Value[int64](m.Rig, `
		SELECT count(*) FROM offers o JOIN offer_versions v ON v.offer_id = o.id AND v.version = o.version, jsonb_array_elements(v.document->'events') e
		WHERE (e->>'allTimeCap')::bigint < (SELECT count(*) FROM conversions c WHERE c.is_counted AND c.event_id = (e->>'id')::uuid)
			OR (v.document->>'budget')::bigint < (SELECT coalesce(sum(c.revenue_micros), 0) FROM conversions c WHERE c.is_counted AND c.offer_id = o.id)`)
	require.Zero(m.T, over, "events over their cap or offers over their budget")
}

// The hunt above would notice: two transactions that take the same counters in different orders.
func TestDeadlocksAreCounted(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	store, err := db.Open(t.Context(), url, 4)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	racing, err := db.Open(t.Context(), url, 4)
	require.NoError(t, err)
	met, locks := make(chan struct{}), []int{1, 2}
	failed := make(chan error, 2)
	for i := range 2 {
		go func() {
			failed <- racing.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", locks[i]); err != nil {
					return err
				}
				if i == 0 {
					met <- struct{}{}
				} else {
					<-met
				}
				_, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", locks[1-i])
				return err
			})
		}()
	}
	first, second := <-failed, <-failed
	require.True(t, (first == nil) != (second == nil))
	require.True(t, db.Retryable(first) || db.Retryable(second))
	require.Equal(t, int64(1), deadlocks(t, url, store, racing))
}

// deadlocks is how many the server has counted in a database. It is told of a connection's when that
// ends, which is a moment after the client has closed it.
func deadlocks(t *testing.T, url string, stores ...*db.Store) (n int64) {
	t.Helper()
	for _, store := range stores {
		store.Close()
	}
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	for others := int64(1); others > 0; {
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&others))
	}
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&n))
	return n
}
