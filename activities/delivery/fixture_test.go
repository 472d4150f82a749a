package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
)

// received is one request as a receiver saw it.
type received struct {
	header http.Header
	body   []byte
	domain.CallbackMessage
	status string
}

// deliveryRig is a tenant with an endpoint, a real receiver and a real database; only the durable
// retry and the clock are stand-ins.
type deliveryRig struct {
	*Deliveries
	t        *testing.T
	tenantID uuid.UUID
	receiver *httptest.Server

	mu       sync.Mutex
	clock    time.Time
	handed   []handedOver
	received []received
	answer   func(w http.ResponseWriter, r *http.Request)
}

type handedOver struct {
	ref stream.DeliveryEvent
	at  time.Time
}

func newDeliveryRig(t *testing.T, events ...string) *deliveryRig {
	t.Helper()
	store, err := db.Open(t.Context(), dbtest.New(t), 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	keys, err := keyring.Parse(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	rig := &deliveryRig{t: t, clock: time.Now().UTC().Truncate(time.Microsecond), answer: func(http.ResponseWriter, *http.Request) {}}
	rig.Deliveries = NewDeliveries(store, keys, outbound.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil), nil)
	rig.now = func() time.Time { rig.mu.Lock(); defer rig.mu.Unlock(); return rig.clock }
	rig.jitter = func(time.Duration) time.Duration { return 0 }
	rig.scheduleRetry = func(_ context.Context, ref stream.DeliveryEvent, at time.Time) error {
		rig.mu.Lock()
		defer rig.mu.Unlock()
		rig.handed = append(rig.handed, handedOver{ref, at})
		return nil
	}
	rig.receiver = httptest.NewServer(http.HandlerFunc(rig.receive))
	t.Cleanup(rig.receiver.Close)
	t.Cleanup(rig.Wait)
	rig.tenantID = rig.addTenant(rig.receiver.URL+"/hook?token=in-the-url", events)
	return rig
}

func (rig *deliveryRig) receive(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	got := received{header: r.Header, body: body}
	_ = json.Unmarshal(body, &got.CallbackMessage)
	var conversion struct{ Status string }
	_ = json.Unmarshal(got.Conversion, &conversion)
	got.status = conversion.Status
	rig.mu.Lock()
	rig.received = append(rig.received, got)
	answer := rig.answer
	rig.mu.Unlock()
	answer(w, r)
}

func (rig *deliveryRig) answers(answer func(w http.ResponseWriter, r *http.Request)) {
	rig.mu.Lock()
	defer rig.mu.Unlock()
	rig.answer = answer
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func (rig *deliveryRig) addTenant(url string, events []string) uuid.UUID {
	rig.t.Helper()
	id := uuid.New()
	rig.tenant(id, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO tenants (tenant_id, name, product, email, currency, timezone, created_at)
			VALUES ($1, 'T', 'publisher', 'a@example.com', 'USD', 'UTC', $2)`, id, rig.now()); err != nil {
			return err
		}
		if events == nil {
			events = []string{}
		}
		return queries.InsertCallbackEndpoint(ctx, tx, dbgen.InsertCallbackEndpointParams{
			TenantID: id, ID: uuid.New(), Url: url, Events: events, HeaderName: "X-Api-Key",
			HeaderValueSealed: rig.keys.Seal([]byte("tenants-own-secret")), Signature: "v1",
			SecretSealed: rig.keys.Seal([]byte(testSecret(1))), CreatedAt: rig.now().Add(-time.Hour),
		})
	})
	return id
}

func testSecret(n byte) string {
	return domain.NewSigningSecret(domain.SignatureV1, [domain.SigningSeedBytes]byte{n})
}

func (rig *deliveryRig) tenant(id uuid.UUID, fn func(ctx context.Context, tx pgx.Tx) error) {
	rig.t.Helper()
	ctx := context.Background()
	if err := rig.store.Tenant(ctx, id, func(ctx context.Context, tx pgx.Tx) error { return fn(ctx, tx) }); err != nil {
		rig.t.Fatal(err)
	}
}

// event makes the news of a transition; from "" is the first.
func (rig *deliveryRig) event(conversion uuid.UUID, sequence int64, from, to domain.Status) stream.ConversionEvent {
	return stream.ConversionEvent{
		ID: uuid.New(), TenantID: rig.tenantID, ConversionID: conversion, Sequence: sequence, FromStatus: from, Status: to, At: rig.now(),
		RewardWasSent: from == domain.StatusSuccess,
		Conversion:    json.RawMessage(fmt.Sprintf(`{"status":%q,"conversionId":%q}`, to, conversion)),
	}
}

// handle takes news as the stream's consumer does and waits for the attempts that it began.
func (rig *deliveryRig) handle(event stream.ConversionEvent) {
	rig.t.Helper()
	if err := rig.HandleConversion(rig.t.Context(), event); err != nil {
		rig.t.Fatal(err)
	}
	rig.Wait()
}

func (rig *deliveryRig) advanceClock(by time.Duration) {
	rig.mu.Lock()
	defer rig.mu.Unlock()
	rig.clock = rig.clock.Add(by)
}

// handOvers returns and forgets what was handed to the durable retry.
func (rig *deliveryRig) handOvers() []handedOver {
	rig.mu.Lock()
	defer rig.mu.Unlock()
	out := rig.handed
	rig.handed = nil
	return out
}

func (rig *deliveryRig) statuses() (out []string) {
	rig.mu.Lock()
	defer rig.mu.Unlock()
	for _, r := range rig.received {
		out = append(out, r.status)
	}
	return out
}

// rows are the tenant's deliveries in order of sequence.
func (rig *deliveryRig) rows() (out []dbgen.Delivery) {
	rig.t.Helper()
	rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) error {
		ids, err := tx.Query(ctx, "SELECT id FROM deliveries ORDER BY sequence, id")
		if err != nil {
			return err
		}
		all, err := pgx.CollectRows(ids, pgx.RowTo[uuid.UUID])
		for _, id := range all {
			row, err := queries.GetDelivery(ctx, tx, rig.tenantID, id)
			if err != nil {
				return err
			}
			out = append(out, row)
		}
		return err
	})
	return out
}

func (rig *deliveryRig) states() (out []string) {
	for _, row := range rig.rows() {
		out = append(out, row.State)
	}
	return out
}

func (rig *deliveryRig) attempts(delivery uuid.UUID) (out []dbgen.AttemptsOfDeliveriesRow) {
	rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) (err error) {
		out, err = queries.AttemptsOfDeliveries(ctx, tx, 1<<16, rig.tenantID, []uuid.UUID{delivery})
		return err
	})
	return out
}
