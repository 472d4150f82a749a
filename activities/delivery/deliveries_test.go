package delivery

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.temporal.io/sdk/temporal"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// retryDelay is what DeliverLater asked the durable retry to wait, 0 when it was done.
func retryDelay(t *testing.T, err error) time.Duration {
	t.Helper()
	if err == nil {
		return 0
	}
	var application *temporal.ApplicationError
	if !errors.As(err, &application) || application.NonRetryable() {
		t.Fatalf("not an error that is retried: %v", err)
	}
	return application.NextRetryDelay()
}

func (rig *deliveryRig) ref(row *dbgen.Delivery) stream.DeliveryEvent {
	return stream.DeliveryEvent{TenantID: row.TenantID, DeliveryID: row.ID}
}

func TestRule49FirstAttemptIsSignedAndRecorded(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	rig.answers(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("fine\x00\xff")) })
	conversion := uuid.New()
	rig.handle(rig.event(conversion, 1, "", domain.StatusSuccess))
	rows := rig.rows()
	if len(rows) != 1 || rows[0].State != stateDelivered || rows[0].Attempts != 1 || rows[0].NextAttemptAt != nil || rows[0].FinishedAt == nil {
		t.Fatalf("%+v", rows)
	}
	got := rig.received[0]
	if got.ID != rows[0].ID || got.Sequence != 1 || !strings.Contains(string(got.Conversion), conversion.String()) || string(got.body) != rows[0].Body {
		t.Errorf("body %s", got.body)
	}
	hook, _ := standardwebhooks.NewWebhook(testSecret(1))
	if err := hook.Verify(got.body, got.header); err != nil {
		t.Error(err)
	}
	if got.header.Get("webhook-id") != rows[0].ID.String() || got.header.Get("X-Api-Key") != "tenants-own-secret" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", got.header)
	}
	if attempts := rig.attempts(rows[0].ID); len(attempts) != 1 || attempts[0].StatusCode != 200 || attempts[0].Answer != "fine\uFFFD\uFFFD" {
		t.Errorf("attempts %+v", attempts)
	}
	if len(rig.handOvers()) != 0 {
		t.Error("a delivered message went to the durable retry")
	}
}

func TestRule49AMessageThatComesAgainChangesNothing(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	event := rig.event(uuid.New(), 1, "", domain.StatusSuccess)
	for range 3 {
		rig.handle(event)
	}
	if len(rig.rows()) != 1 || len(rig.statuses()) != 1 {
		t.Errorf("%d rows, %d requests", len(rig.rows()), len(rig.statuses()))
	}
}

func TestRule50UnwantedNewsAndNoEndpoint(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t, "rejected")
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusPending))
	if len(rig.rows()) != 0 {
		t.Error("unwanted news has a row")
	}
	nobody := rig.event(uuid.New(), 1, "", domain.StatusSuccess)
	nobody.TenantID = uuid.New()
	rig.handle(nobody)
	bad := rig.event(uuid.New(), 1, "", domain.StatusSuccess)
	bad.Conversion = []byte("{")
	if err := rig.HandleConversion(t.Context(), bad); !errors.Is(err, stream.ErrBad) {
		t.Errorf("a message failed permanently: %v", err)
	}
}

func TestRule51TheWholeSchedule(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	rig.answers(status(503))
	begin := rig.now()
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	row := rig.rows()[0]
	handed := rig.handOvers()
	if len(handed) != 1 || handed[0].ref != rig.ref(&row) || !handed[0].at.Equal(begin.Add(5*time.Second)) {
		t.Fatalf("handed over: %+v", handed)
	}
	if early := retryDelay(t, rig.DeliverLater(t.Context(), rig.ref(&row))); early != 5*time.Second || len(rig.statuses()) != 1 {
		t.Errorf("called too early: wait %s, %d requests", early, len(rig.statuses()))
	}
	for wait := 5 * time.Second; wait > 0; {
		rig.advanceClock(wait)
		wait = retryDelay(t, rig.DeliverLater(t.Context(), rig.ref(&row)))
	}
	row = rig.rows()[0]
	if row.State != stateFailed || row.Attempts != 10 || row.LastError == "" || *row.LastStatusCode != 503 {
		t.Errorf("after the schedule: %+v", row)
	}
	if took := rig.now().Sub(begin); took <= 75*time.Hour {
		t.Errorf("given up after %s", took)
	}
	for _, got := range rig.received {
		if got.ID != row.ID || string(got.body) != row.Body || got.header.Get("webhook-id") != row.ID.String() {
			t.Errorf("a retry differs: %s", got.body)
		}
	}
	if attempts := rig.attempts(row.ID); len(attempts) != 10 || attempts[9].Number != 10 {
		t.Errorf("%d attempts", len(attempts))
	}
}

func TestRule51AnswersDecide(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{204: stateDelivered, 400: stateFailed, 422: stateFailed, 401: stateWaiting, 403: stateWaiting, 404: stateWaiting, 302: stateWaiting, 408: stateWaiting, 429: stateWaiting, 500: stateWaiting} {
		rig := newDeliveryRig(t) // an endpoint of its own: several failures in a row open the breaker
		rig.answers(status(code))
		rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
		if row := rig.rows()[0]; row.State != want {
			t.Errorf("%d: %s", code, row.State)
		}
	}
}

func TestRule51RetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	rig.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(429)
	})
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	if handed := rig.handOvers(); len(handed) != 1 || !handed[0].at.Equal(rig.now().Add(2*time.Minute)) {
		t.Errorf("%+v", handed)
	}
}

// A process that dies in the middle of an attempt leaves a lease behind. When it ends, the sweep
// finds the delivery, and its backoff has not moved.
func TestRule51ACrashDoesNotAdvanceTheBackoff(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	rig.answers(status(503))
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	row := rig.rows()[0]
	rig.handOvers()
	rig.advanceClock(5 * time.Second)
	for range 3 {
		rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) error {
			claimed, err := rig.claim(ctx, tx, rig.ref(&row))
			if claimed == nil {
				t.Error("a due delivery could not be claimed")
			}
			return err
		})
		if wait := retryDelay(t, rig.DeliverLater(t.Context(), rig.ref(&row))); wait != lease {
			t.Errorf("while the lease lasts: %s", wait)
		}
		if found, err := rig.SweepDeliveries(t.Context()); found.Found != 0 || err != nil {
			t.Errorf("the sweep found %d, %v", found.Found, err)
		}
		rig.advanceClock(lease + overdueAfter + time.Second)
	}
	found, err := rig.SweepDeliveries(t.Context())
	rig.Wait()
	if found.Found != 1 || err != nil {
		t.Fatalf("the sweep found %d, %v", found.Found, err)
	}
	row = rig.rows()[0]
	if want := rig.now().Add(5 * time.Minute); row.Attempts != 2 || !row.NextAttemptAt.Equal(want) {
		t.Errorf("%d attempts, next at %s, not %s", row.Attempts, row.NextAttemptAt, want)
	}
	if handed := rig.handOvers(); len(handed) != 1 {
		t.Errorf("handed over: %v", handed)
	}
	if found, _ := rig.SweepDeliveries(t.Context()); found.Found != 0 {
		t.Errorf("a healthy system has %d overdue", found.Found)
	}
}

func TestRule51A410DisablesTheEndpoint(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	rig.answers(status(503))
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	rig.answers(status(410))
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	requests := len(rig.statuses())
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	if states := rig.states(); !slices.Equal(states, []string{stateFailed, stateFailed, stateFailed}) || len(rig.statuses()) != requests {
		t.Errorf("states %v, %d requests after the 410", states, len(rig.statuses())-requests)
	}
	rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) error {
		endpoint, err := queries.GetCallbackEndpoint(ctx, tx, rig.tenantID)
		if endpoint.DisabledAt == nil || endpoint.DisabledReason == "" {
			t.Error("the endpoint is not disabled")
		}
		return err
	})
}

func TestRotationSignsWithBothSecretsForADay(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	until := rig.now().Add(24 * time.Hour)
	rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) error {
		return queries.RotateCallbackSecret(ctx, tx, dbgen.RotateCallbackSecretParams{
			TenantID: rig.tenantID, SecretSealed: rig.keys.Seal([]byte(testSecret(2))),
			PreviousSecretSealed: rig.keys.Seal([]byte(testSecret(1))), PreviousExpiresAt: &until,
		})
	})
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	rig.advanceClock(24*time.Hour + time.Second)
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	for i, want := range []map[byte]bool{{1: true, 2: true}, {1: false, 2: true}} {
		for secret, valid := range want {
			hook, _ := standardwebhooks.NewWebhook(testSecret(secret))
			if got := hook.VerifyIgnoringTimestamp(rig.received[i].body, rig.received[i].header) == nil; got != valid {
				t.Errorf("message %d, secret %d: %v", i, secret, got)
			}
		}
	}
}

func TestRule53NoSecretIsKept(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	rig.answers(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		_, _ = io.WriteString(w, "you sent "+r.Header.Get("X-Api-Key"))
	})
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	rig.receiver.Close()
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	for _, row := range rig.rows() {
		for _, attempt := range rig.attempts(row.ID) {
			for _, text := range []string{row.LastError, row.Body, attempt.Error, attempt.Answer} {
				if strings.Contains(text, "tenants-own-secret") || strings.Contains(text, "in-the-url") || strings.Contains(text, "whsec_") {
					t.Errorf("kept: %s", text)
				}
			}
		}
		if row.LastError == "" {
			t.Error("a failure without a reason")
		}
	}
}

func TestATestIsTriedOnce(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	rig.answers(status(500))
	id := uuid.New()
	rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) error {
		endpoint, err := queries.GetCallbackEndpoint(ctx, tx, rig.tenantID)
		if err != nil {
			return err
		}
		_, err = queries.InsertDelivery(ctx, tx, dbgen.InsertDeliveryParams{
			TenantID: rig.tenantID, ID: id, Kind: kindTest, EndpointID: endpoint.ID, State: stateWaiting, Body: "{}", CreatedAt: rig.now(), IsTest: true,
		})
		return err
	})
	for range 2 {
		if err := rig.HandleDelivery(t.Context(), stream.DeliveryEvent{TenantID: rig.tenantID, DeliveryID: id}); err != nil {
			t.Fatal(err)
		}
		rig.Wait()
	}
	if row := rig.rows()[0]; row.State != stateFailed || row.Attempts != 1 || len(rig.handOvers()) != 0 {
		t.Errorf("%+v", row)
	}
	err := rig.HandleDelivery(t.Context(), stream.DeliveryEvent{TenantID: rig.tenantID, DeliveryID: uuid.New()})
	if !errors.Is(err, stream.ErrBad) {
		t.Errorf("a delivery that does not exist: %v", err)
	}
}
