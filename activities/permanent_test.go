package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

// Which errors a retry may mend, and which it never does.
func TestWhichErrorsNoRetryMends(t *testing.T) {
	t.Parallel()
	pg := func(code string) error {
		return fmt.Errorf("some words: %w", &pgconn.PgError{Code: code, ConstraintName: "c"})
	}
	var number int
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"none": {nil, false}, "out of range": {pg("22003"), true}, "a zero byte": {pg("22021"), true}, "not null": {pg("23502"), true},
		"a check": {pg("23514"), true}, "a foreign key": {pg("23503"), true},
		"a unique key, which a race may take": {pg("23505"), false}, "a unique key at every try": {db.RetryCollisions(func() error { return pg("23505") }), true},
		"a deadlock": {pg("40P01"), false}, "shutting down": {pg("57P01"), false}, "no such column, in the middle of a deployment": {pg("42703"), false},
		"time is up": {context.DeadlineExceeded, false}, "not found": {pgx.ErrNoRows, false}, "not yet": {fmt.Errorf("x: %w", stream.ErrNotYet), false},
		"a bad message": {fmt.Errorf("%w: x", stream.ErrBad), true}, "a key that is gone": {fmt.Errorf("x: %w", keyring.ErrSealed), true},
		"larger than can be booked": {fmt.Errorf("x: %w", domain.ErrRange), true}, "no JSON": {json.Unmarshal([]byte("{"), &number), true},
		"other JSON": {json.Unmarshal([]byte(`"x"`), &number), true}, "a document of another release": {Undecodable(errors.New("x")), true},
		"ended by an activity": {temporal.NewNonRetryableApplicationError("x", "X", nil), true}, "retried by an activity": {temporal.NewApplicationError("x", "X"), false},
		"anything else": {errors.New("x"), false},
	} {
		if got := Permanent(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// The engine ends activities and local activities at such an error, and retries the others.
func TestTheEngineEndsAtWhatNoRetryMends(t *testing.T) {
	t.Parallel()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{ErrorInterceptor()}})
	outOfRange := func(context.Context) error { return &pgconn.PgError{Code: "22003", Message: "bigint out of range"} }
	away := func(context.Context) error { return &pgconn.PgError{Code: "57P01"} }
	env.RegisterActivity(outOfRange)
	env.RegisterActivity(away)
	for _, run := range []func(any, ...any) error{
		func(f any, args ...any) error { _, err := env.ExecuteActivity(f, args...); return err },
		func(f any, args ...any) error { _, err := env.ExecuteLocalActivity(f, args...); return err },
	} {
		var application *temporal.ApplicationError
		require.ErrorAs(t, run(outOfRange), &application)
		require.True(t, application.NonRetryable())
		require.Contains(t, application.Error(), "bigint out of range")
		passing := run(away)
		require.ErrorContains(t, passing, "57P01")
		require.False(t, errors.As(passing, &application) && application.NonRetryable())
	}
}

func repeatedly(e *domain.Event) {
	e.AllowRepetitions, e.HasRevenue, e.Reward = true, false, decimal("1000")
}

func amounting(amount, id string) func(*domain.Postback) {
	return func(p *domain.Postback) { p.Amount, p.ConversionID = amount, id }
}

func revShare(o *domain.Offer) { o.ConversionType = domain.ConversionTypeRevShare }

// Rule 37: a balance that would be larger than can be booked takes no conversion; the error says that
// no retry mends it, and what is booked stays as it was.
func TestRule37ABalanceThatOverflowsIsAnErrorForGood(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	offer := rig.offer([]domain.Event{goal("A", repeatedly)}, revShare)
	click := rig.click(offer)
	require.Equal(t, domain.OutcomeAccepted, rig.post(click, "A", amounting("900000000000", "1")).Outcome)
	_, err := rig.Decide(t.Context(), rig.tenantID, rig.postback(click, "A", amounting("900000000000", "2")))
	require.True(t, Permanent(err), err)
	require.Equal(t, domain.OutcomeAccepted, rig.post(click, "A", amounting("1", "3")).Outcome, "it keeps no other")
	require.Equal(t, int64(9000000000010000000), value[int64](rig, "SELECT points_micros FROM member_balances WHERE tenant_id = $1", rig.tenantID))
}

// failed are the sources and states of what failed for good about something.
func (rig *decisionRig) failed(about uuid.UUID) (found []string) {
	rig.t.Helper()
	rows, err := rig.Store.SystemPool().Query(rig.t.Context(),
		"SELECT source || ' ' || state || ' ' || attempts FROM failed_messages WHERE about = $1 AND tenant_id = $2 ORDER BY id", about, rig.tenantID)
	require.NoError(rig.t, err)
	found, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(rig.t, err)
	return found
}

// Rule 14: one held postback whose decision fails for good keeps no other of its click; it is seen, left
// alone, and decided once it is sent again.
func TestRule14OneBadHeldPostbackKeepsNoOther(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	offer := rig.offer([]domain.Event{goal("A", numbered(1)), goal("B", numbered(2)), goal("C", numbered(2))})
	click := rig.click(offer)
	bad, good := rig.post(click, "B"), rig.post(click, "C")
	require.Equal(t, domain.OutcomeHeld, bad.Outcome)
	message := value[string](rig, "SELECT message::text FROM held_postbacks WHERE postback_id = $1", bad.PostbackID)
	rig.set(`UPDATE held_postbacks SET message = '{"id": 7}' WHERE postback_id = $1`, bad.PostbackID)
	require.Equal(t, domain.OutcomeAccepted, rig.post(click, "A").Outcome)
	require.Equal(t, []string{"held failed 1"}, rig.failed(bad.PostbackID))
	outcome := func(id uuid.UUID) string {
		return value[string](rig, "SELECT outcome FROM postbacks WHERE id = $1", id)
	}
	require.Equal(t, "accepted", outcome(good.PostbackID))
	require.Equal(t, "held", outcome(bad.PostbackID))
	_, err := rig.DecideHeld(t.Context(), rig.tenantID, click.ID)
	require.NoError(t, err)
	require.Equal(t, []string{"held failed 1"}, rig.failed(bad.PostbackID), "it is left alone")

	rig.set("UPDATE held_postbacks SET message = $2, failed_at = NULL WHERE postback_id = $1", bad.PostbackID, message)
	_, err = rig.DecideHeld(t.Context(), rig.tenantID, click.ID)
	require.NoError(t, err)
	require.Equal(t, "accepted", outcome(bad.PostbackID))
}

func newSweep(rig *decisionRig) *Sweep {
	return &Sweep{Store: rig.Store, Decisions: rig.Decisions, Start: func(context.Context, ConversionStart) error { return nil }}
}

// Rule 14 and invariant 11: the sweep itself decides what is held past its grace when no workflow is
// there to do it, one bad row among them or not.
func TestRule14TheSweepDecidesWhatIsHeldPastItsGrace(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	offer := rig.offer([]domain.Event{goal("A", numbered(1)), goal("B", numbered(2))})
	bad := rig.post(rig.click(offer), "B")
	held := rig.post(rig.click(offer), "B")
	require.Equal(t, domain.OutcomeHeld, held.Outcome)
	rig.set(`UPDATE held_postbacks SET message = '{"id": 7}' WHERE postback_id = $1`, bad.PostbackID)
	sweep := newSweep(rig)
	found, err := sweep.held(t.Context(), rig.now().Add(-overdueAfter))
	require.NoError(t, err)
	require.Zero(t, found.Found)
	rig.wait(time.Hour + overdueAfter + time.Second)
	found, err = sweep.held(t.Context(), rig.now().Add(-overdueAfter))
	require.NoError(t, err)
	require.Equal(t, 2, found.Found)
	require.Equal(t, "rejected out_of_sequence", value[string](rig, "SELECT outcome || ' ' || reason FROM postbacks WHERE id = $1", held.PostbackID))
	require.Equal(t, []string{"held failed 1"}, rig.failed(bad.PostbackID))
	found, err = sweep.held(t.Context(), rig.now())
	require.NoError(t, err)
	require.Zero(t, found.Found, "neither is found again")
}

// Rule 21 and invariant 11: one release that no retry mends keeps no other, however many there are.
func TestRule21OneBadReleaseKeepsNoOther(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	offer := rig.offer([]domain.Event{goal("A", pendingFor("1"))})
	clicks := rig.clicks(offer, ItemsPage+2, nil)
	var ids []uuid.UUID
	for _, click := range clicks {
		ids = append(ids, *rig.post(click, "A").ConversionID)
	}
	bad := ids[0]
	rig.set("INSERT INTO member_balances SELECT tenant_id, pub_member_id, 9223372036854775807 FROM conversions WHERE id = $1", bad)
	rig.wait(25 * time.Hour)
	sweep := newSweep(rig)
	found, err := sweep.pending(t.Context(), rig.now())
	require.NoError(t, err)
	require.Equal(t, ItemsPage+2, found.Found)
	require.Equal(t, 1, found.Failed)
	require.ErrorContains(t, found.Errors(), "out of range")
	require.Equal(t, ItemsPage+1, value[int](rig, "SELECT count(*)::int FROM conversions WHERE status = 'Success'"))
	require.Equal(t, []string{"release failed 1"}, rig.failed(bad))
	found, err = sweep.pending(t.Context(), rig.now())
	require.NoError(t, err)
	require.Zero(t, found.Found, "it waits to be sent again")

	settled := rig.review(&bad, domain.ActionApprove)
	require.Equal(t, "a balance or sum would be larger than can be booked", settled.Error, "a person is told")
	rig.set("UPDATE member_balances SET points_micros = 0 WHERE points_micros = 9223372036854775807")
	rig.set("UPDATE failed_messages SET state = 'resent'")
	found, err = sweep.pending(t.Context(), rig.now())
	require.NoError(t, err)
	require.Equal(t, 1, found.Found)
	require.Equal(t, domain.StatusSuccess, rig.conversion(&bad).Status)
}

// Memory holds the versions of offers that decisions went by of late, and no more than there is room for.
func TestOfferVersionsInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	offer := rig.offer([]domain.Event{goal("A")})
	cache := rig.versions.cache()
	for i := range maxOfferVersions {
		cache.Add(versionKey{uuid.New(), int64(i)}, offer)
	}
	require.Equal(t, domain.OutcomeAccepted, rig.post(rig.click(offer), "A").Outcome)
	require.True(t, cache.Contains(versionKey{offer.ID, 1}))
	require.Equal(t, maxOfferVersions, cache.Len())
}
