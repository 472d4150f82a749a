package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

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
