package upkeep

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

const year = 365 * 24 * time.Hour

// What is older than the retention goes, month by month; a click with a conversion stays with it, so that
// a person may move it for ever (rules 23, 25), and so does one whose session is open.
func TestRetentionKeepsWhatIsStillDecidedAbout(t *testing.T) {
	rig := activitytest.New(t, 8)
	old := rig.Month(15)
	offer := rig.Offer([]domain.Event{activitytest.Goal("buy")})
	lost := rig.Click(offer)
	bought := rig.Click(offer)
	answer := rig.Post(bought, "buy")
	refused := rig.Post(lost, "no_such_event")
	open := rig.Click(offer, func(c *domain.Click) { c.SessionEndsAt = time.Now().AddDate(1, 0, 0) })
	young := rig.Month(5)
	recent := rig.Click(offer)
	rig.OwnedByAnybody()

	off := &Retention{Store: rig.Store, Now: time.Now}
	gone, err := off.DropExpired(t.Context())
	require.NoError(t, err)
	require.Empty(t, gone, "0 keeps everything")

	retention := &Retention{Store: rig.Store, After: year, Now: time.Now}
	// An attempt that was cut short has left its table behind.
	_, err = rig.Store.SystemPool().Exec(t.Context(), "SELECT offerflow_open_kept('clicks', $1)", "clicks_"+old)
	require.NoError(t, err)
	gone, err = retention.DropExpired(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"clicks_" + old, "postbacks_" + old}, gone.Months)
	require.False(t, rig.Has("clicks", lost.ID), "without a conversion")
	require.True(t, rig.Has("clicks", bought.ID), "with one")
	require.True(t, rig.Has("clicks", open.ID), "its session is open")
	require.True(t, rig.Has("clicks", recent.ID), "younger than the retention")
	require.True(t, rig.Has("postbacks", answer.PostbackID), "the evidence of a conversion")
	require.False(t, rig.Has("postbacks", refused.PostbackID))
	require.True(t, activitytest.Value[bool](rig, "SELECT to_regclass($1) IS NOT NULL", "clicks_"+young), "the young month's partition")

	gone, err = retention.DropExpired(t.Context())
	require.NoError(t, err)
	require.Empty(t, gone.Months, "once is enough")

	rig.At = time.Now()
	result := rig.Review(answer.ConversionID, domain.ActionReverse)
	require.Equal(t, domain.StatusRejected, result.Status)
	require.Empty(t, result.Error)
}

// A conversion that is decided while the clicks that stay are being copied is not forgotten: the
// exchange waits for the decision, and then looks for late ones.
func TestRetentionFindsLateConversions(t *testing.T) {
	rig := activitytest.New(t, 8)
	old := rig.Month(15)
	offer := rig.Offer([]domain.Event{activitytest.Goal("buy")})
	early, late := rig.Click(offer), rig.Click(offer)
	first := rig.Post(early, "buy").ConversionID
	rig.At = time.Now()

	decision, err := pgx.Connect(t.Context(), rig.URL)
	require.NoError(t, err)
	defer func() { _ = decision.Close(context.WithoutCancel(t.Context())) }()
	tx, err := decision.Begin(t.Context())
	require.NoError(t, err)
	lateConversion := rig.Keys.NewID(keyring.KindClick, time.Now())
	_, err = tx.Exec(t.Context(), "SELECT 1 FROM clicks WHERE id = $1 FOR UPDATE", late.ID)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `INSERT INTO conversions SELECT (jsonb_populate_record(c, jsonb_build_object('id', $3::uuid, 'click_id', $2::uuid,
		'pub_member_id', NULL, 'status', 'Rejected', 'rejection_reason', 'deadline_passed', 'is_counted', false))).* FROM conversions c WHERE id = $1`,
		*first, late.ID, lateConversion)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		letGo := func() (int64, error) {
			return rig.Store.DropPartition(context.WithoutCancel(t.Context()), "clicks", "clicks_"+old, time.Now().Add(-year))
		}
		var busy *pgconn.PgError
		kept, err := letGo()
		for errors.As(err, &busy) && busy.Code == "55P03" { // on a busy machine the decision may take longer than it waits
			kept, err = letGo()
		}
		if err == nil && kept != 2 {
			err = fmt.Errorf("kept %d clicks", kept)
		}
		done <- err
	}()
	require.Eventually(t, func() bool {
		return activitytest.Value[int](rig, "SELECT count(*)::int FROM pg_locks WHERE relation = 'clicks'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted") == 1
	}, time.Minute, time.Millisecond, "the exchange waits for the decision")
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	require.True(t, rig.Has("clicks", early.ID))
	require.True(t, rig.Has("clicks", late.ID))
	rig.AsOwner("DELETE FROM conversions WHERE id = $1", lateConversion) // it has no history: the books would not agree
}

// Whatever the configuration says, the database lets go of nothing that is younger than 60 days, of no
// other table, and for nobody but the system role.
func TestRetentionIsBoundedByTheDatabase(t *testing.T) {
	rig := activitytest.New(t, 8)
	young := activitytest.Value[string](rig, "SELECT max(m) FROM offerflow_old_months('clicks', now() + interval '3 months') m")
	for _, call := range []string{
		"SELECT offerflow_open_kept('clicks', '" + young + "')", "SELECT offerflow_let_go('clicks', '" + young + "')",
		"SELECT offerflow_let_go('postbacks', 'postbacks" + young[len("clicks"):] + "')", "SELECT offerflow_let_go('postbacks', '" + young + "')",
		"SELECT offerflow_let_go('clicks', 'clicks_default')", "SELECT offerflow_let_go('clicks', 'conversions')", "SELECT offerflow_let_go('conversions', 'conversions_2020_01')",
	} {
		_, err := rig.Store.SystemPool().Exec(t.Context(), call)
		require.Error(t, err, call)
	}
	err := rig.Store.Tenant(t.Context(), rig.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "SELECT offerflow_let_go('postbacks', 'postbacks_2020_01')")
		return err
	})
	require.ErrorContains(t, err, "permission denied")
	rig.AsOwner("INSERT INTO audit_log (tenant_id, id, at, actor, action, noun, noun_id) VALUES ($1, $2, now() - interval '59 days', 'a', 'b', 'c', 'd')", rig.TenantID, uuid.New())
	n, err := queries.SystemForgetAudit(t.Context(), rig.Store.SystemPool(), time.Now(), deleteBatch)
	require.NoError(t, err)
	require.Zero(t, n)
}

// Attempts and audit entries go by their age, in batches; attempts of what still waits stay.
func TestRetentionForgetsAttemptsAndAudit(t *testing.T) {
	rig := activitytest.New(t, 8)
	for state, age := range map[string]string{"delivered": "400 days", "failed": "100 days", "waiting": "400 days"} {
		id := uuid.New()
		rig.AsOwner(`INSERT INTO deliveries (tenant_id, id, kind, endpoint_id, state, body, created_at) VALUES ($1, $2, 'test', $2, $3, '', now())`, rig.TenantID, id, state)
		rig.AsOwner(`INSERT INTO delivery_attempts (tenant_id, delivery_id, number, at, status_code, latency_ms)
			SELECT $1, $2, n, now() - $3::interval, 200, 1 FROM generate_series(1, 3) n`, rig.TenantID, id, age)
	}
	rig.AsOwner(`INSERT INTO audit_log (tenant_id, id, at, actor, action, noun, noun_id)
		SELECT $1, gen_random_uuid(), now() - make_interval(days => n), 'a', 'b', 'c', 'd' FROM unnest(ARRAY[10, 364, 366, 500]) n`, rig.TenantID)
	gone, err := (&Retention{Store: rig.Store, After: year, Now: time.Now}).DropExpired(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, gone.Attempts)
	require.EqualValues(t, 2, gone.Audit)
	require.Equal(t, 6, activitytest.Value[int](rig, "SELECT count(*)::int FROM delivery_attempts"))
}

// Views of offers go by their age, in batches, and no younger than the database allows.
func TestRetentionForgetsViews(t *testing.T) {
	rig := activitytest.New(t, 8)
	offer := rig.Offer([]domain.Event{activitytest.Goal("buy")})
	rig.AsOwner(`INSERT INTO offer_views (tenant_id, id, offer_id, pub_member_id, created_at)
		SELECT $1, gen_random_uuid(), $2, 'm', now() - make_interval(days => n) FROM unnest(ARRAY[10, 59, 364]) n`, rig.TenantID, offer.ID)
	rig.AsOwner(`INSERT INTO offer_views (tenant_id, id, offer_id, pub_member_id, created_at)
		SELECT $1, gen_random_uuid(), $2, 'm', now() - interval '366 days' FROM generate_series(1, $3)`, rig.TenantID, offer.ID, deleteBatch+1)
	gone, err := (&Retention{Store: rig.Store, After: year, Now: time.Now}).DropExpired(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, deleteBatch+1, gone.Views)
	require.Equal(t, 3, activitytest.Value[int](rig, "SELECT count(*)::int FROM offer_views"))
	n, err := queries.SystemForgetOfferViews(t.Context(), rig.Store.SystemPool(), time.Now(), deleteBatch)
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "that of 364 days")
}

// The sweep forgets nonces and the answers of idempotency keys once nothing can ask for them, batch by
// batch.
func TestSweepForgetsNoncesAndIdempotencyKeys(t *testing.T) {
	rig := activitytest.New(t, 8)
	sweep := &Sweep{Store: rig.Store, Decisions: rig.Decisions}
	age := func(n int) string { return fmt.Sprintf("$2::timestamptz - make_interval(hours => %d)", n) }
	for table, insert := range map[string]string{
		"nonces":           "INSERT INTO nonces (tenant_id, advertiser_id, nonce, postback_id, seen_at) SELECT $1, $1, n::text, $1, %s FROM generate_series(%d, %d) n",
		"idempotency_keys": "INSERT INTO idempotency_keys (tenant_id, key, route, request_hash, created_at) SELECT $1, n::text, 'r', '', %s FROM generate_series(%d, %d) n",
	} {
		rig.AsOwner(fmt.Sprintf(insert, age(71), 1, 2), rig.TenantID, rig.At)
		rig.AsOwner(fmt.Sprintf(insert, age(73), 3, deleteBatch+10), rig.TenantID, rig.At)
		require.Equal(t, deleteBatch+10, activitytest.Value[int](rig, "SELECT count(*)::int FROM "+table))
	}
	_, err := sweep.forget(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, activitytest.Value[int](rig, "SELECT count(*)::int FROM nonces"))
	require.Equal(t, 2, activitytest.Value[int](rig, "SELECT count(*)::int FROM idempotency_keys"))
}
