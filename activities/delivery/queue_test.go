package delivery

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
)

const (
	pending  = domain.StatusPending
	success  = domain.StatusSuccess
	rejected = domain.StatusRejected
)

func TestRule49SuccessReplacesUndeliveredPending(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t, "pending")
	rig.answers(status(503))
	conversion := uuid.New()
	rig.handle(rig.event(conversion, 1, "", pending))
	rig.advanceClock(time.Minute)
	_ = rig.DeliverLater(t.Context(), rig.ref(&rig.rows()[0])) // fails again: the next is 5 minutes away
	rig.answers(status(200))
	rig.handle(rig.event(conversion, 2, pending, success))
	if states, sent := rig.states(), rig.statuses(); !slices.Equal(states, []string{"superseded", stateDelivered}) ||
		!slices.Equal(sent, []string{"Pending", "Pending", "Success"}) {
		t.Errorf("states %v, sent %v", states, sent)
	}
	if wait := retryDelay(t, rig.DeliverLater(t.Context(), rig.ref(&rig.rows()[0]))); wait != 0 || len(rig.statuses()) != 3 {
		t.Error("superseded news was sent")
	}
}

func TestRule49NewsThatIsNotSentReplacesToo(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t, "pending")
	rig.answers(status(503))
	conversion := uuid.New()
	rig.handle(rig.event(conversion, 1, "", pending))
	rig.advanceClock(time.Minute)
	rig.handle(rig.event(conversion, 2, pending, rejected))
	if states := rig.states(); !slices.Equal(states, []string{"superseded"}) {
		t.Errorf("states %v", states)
	}
}

func TestRule49SuccessAndItsReversalAreBothSentInOrder(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	rig.answers(status(503))
	conversion := uuid.New()
	rig.handle(rig.event(conversion, 1, "", success))
	rig.advanceClock(time.Second)
	rig.handle(rig.event(conversion, 2, success, rejected))
	if len(rig.statuses()) != 1 {
		t.Error("the reversal did not wait for its Success")
	}
	rig.answers(status(200))
	rig.advanceClock(5 * time.Second)
	if wait := retryDelay(t, rig.DeliverLater(t.Context(), rig.ref(&rig.rows()[0]))); wait != 0 {
		t.Errorf("wait %s", wait)
	}
	if sent := rig.statuses(); !slices.Equal(sent, []string{"Success", "Success", "Rejected"}) {
		t.Errorf("sent %v", sent)
	}
}

func TestRule49TheNextGoesWhenTheOneBeforeIsGivenUp(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	rig.answers(status(400))
	conversion := uuid.New()
	rig.handle(rig.event(conversion, 1, "", success))
	rig.answers(status(503))
	rig.handle(rig.event(conversion, 2, success, rejected))
	if states := rig.states(); !slices.Equal(states, []string{stateFailed, stateWaiting}) || len(rig.handOvers()) != 1 {
		t.Errorf("states %v", states)
	}
}

// The one before is under way, neither delivered nor failed: the next waits for its end, not for
// its lease.
func TestRule49TheNextWaitsForAnAttemptUnderWay(t *testing.T) {
	t.Parallel()
	for _, first := range []domain.Status{success, pending} {
		rig := newDeliveryRig(t, "pending")
		release, arrived := make(chan struct{}), make(chan struct{})
		var once sync.Once
		rig.answers(func(http.ResponseWriter, *http.Request) {
			once.Do(func() { close(arrived); <-release })
		})
		conversion, second := uuid.New(), rejected
		if first == pending {
			second = success
		}
		if err := rig.HandleConversion(t.Context(), rig.event(conversion, 1, "", first)); err != nil {
			t.Fatal(err)
		}
		<-arrived
		if err := rig.HandleConversion(t.Context(), rig.event(conversion, 2, first, second)); err != nil {
			t.Fatal(err)
		}
		if sent := rig.statuses(); len(sent) != 1 {
			t.Errorf("%s: sent %v while the first was under way", first, sent)
		}
		close(release)
		rig.Wait()
		if sent := rig.statuses(); !slices.Equal(sent, []string{string(first), string(second)}) {
			t.Errorf("sent %v", sent)
		}
		if states := rig.states(); !slices.Equal(states, []string{stateDelivered, stateDelivered}) {
			t.Errorf("states %v", states)
		}
	}
}

func TestRule49AReversalWaitsForItsSuccessInTheStream(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	conversion := uuid.New()
	reversal := rig.event(conversion, 2, success, rejected)
	if err := rig.HandleConversion(t.Context(), reversal); !errors.Is(err, stream.ErrNotYet) {
		t.Errorf("it did not wait: %v", err)
	}
	rig.handle(rig.event(conversion, 1, "", success))
	rig.handle(reversal)
	if sent := rig.statuses(); !slices.Equal(sent, []string{"Success", "Rejected"}) {
		t.Errorf("sent %v", sent)
	}
	alone := rig.event(uuid.New(), 2, success, rejected)
	rig.advanceClock(reversalWait + time.Second)
	rig.handle(alone)
	if len(rig.statuses()) != 3 {
		t.Error("it waits for ever")
	}
}

// Whatever the order and number of callers, a queue's news is sent one after the other, and no
// reversal before its Success.
func TestRule49ConcurrentNewsOfOneLane(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	conversion := uuid.New()
	events := []stream.ConversionEvent{}
	from := domain.Status("")
	for sequence := int64(1); sequence <= 8; sequence++ {
		to := success
		if sequence%2 == 0 {
			to = rejected
		}
		events = append(events, rig.event(conversion, sequence, from, to))
		from = to
	}
	var underWay, most int
	var mu sync.Mutex
	rig.answers(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		underWay++
		most = max(most, underWay)
		mu.Unlock()
		mu.Lock()
		underWay--
		mu.Unlock()
	})
	var all sync.WaitGroup
	for _, event := range events {
		for range 2 {
			all.Go(func() {
				for err := stream.ErrNotYet; errors.Is(err, stream.ErrNotYet); {
					err = rig.HandleConversion(t.Context(), event)
					if err != nil && !errors.Is(err, stream.ErrNotYet) {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	rig.Wait()
	// A caller sends three of a queue and leaves the rest to the durable retry.
	for handed := rig.handOvers(); len(handed) > 0; handed = rig.handOvers() {
		for _, h := range handed {
			if wait := retryDelay(t, rig.DeliverLater(t.Context(), h.ref)); wait != 0 {
				t.Errorf("wait %s", wait)
			}
		}
	}
	var sequences []int64
	for _, got := range rig.received {
		sequences = append(sequences, got.Sequence)
	}
	if most != 1 || len(sequences) != len(events) {
		t.Fatalf("%d at once, sequences %v, states %v", most, sequences, rig.states())
	}
	for sequence := int64(1); sequence < 8; sequence += 2 {
		if slices.Index(sequences, sequence) > slices.Index(sequences, sequence+1) {
			t.Errorf("reversal %d before its Success: %v", sequence+1, sequences)
		}
	}
}

func TestAMessageSentAgainKeepsItsIDAndStartsTheScheduleAnew(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	rig.answers(status(400))
	conversion := uuid.New()
	rig.handle(rig.event(conversion, 1, "", success))
	rig.answers(status(200))
	rig.handle(rig.event(conversion, 2, success, rejected))
	rig.advanceClock(time.Hour)
	row := rig.rows()[0]
	rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) error {
		return queries.ResendDeliveries(ctx, tx, dbgen.ResendDeliveriesParams{
			TenantID: rig.tenantID, Ids: []uuid.UUID{row.ID}, Now: rig.now(), LeaseUntil: rig.now().Add(lease),
		})
	})
	rig.answers(status(503))
	if err := rig.HandleDelivery(t.Context(), rig.ref(&row)); err != nil {
		t.Fatal(err)
	}
	rig.Wait()
	again := rig.rows()[0]
	if again.State != stateWaiting || again.Attempts != 2 || !again.NextAttemptAt.Equal(rig.now().Add(5*time.Second)) {
		t.Errorf("%+v", again)
	}
	if last := rig.received[len(rig.received)-1]; last.ID != row.ID || string(last.body) != row.Body {
		t.Errorf("sent %s", last.body)
	}
}

// The process died between the commit that made room in a queue and the next one's attempt.
func TestTheSweepWakesALaneThatStandsStill(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	rig.answers(status(400))
	rig.handle(rig.event(uuid.New(), 1, "", success))
	row := rig.rows()[0]
	rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE deliveries SET state = 'waiting', next_attempt_at = NULL WHERE id = $1", row.ID)
		return err
	})
	rig.answers(status(200))
	rig.advanceClock(overdueAfter + time.Second)
	found, err := rig.SweepDeliveries(t.Context())
	rig.Wait()
	if found.Found != 1 || err != nil || rig.rows()[0].State != stateDelivered {
		t.Errorf("found %d, %v, %s", found.Found, err, rig.rows()[0].State)
	}
}

// Rule 52: an endpoint that never answers holds up neither the stream nor another endpoint.
func TestRule52ASlowEndpointDelaysNobody(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	t.Cleanup(free) // or the receiver waits for it for ever when the test has failed
	rig.answers(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hook" {
			<-release
		}
	})
	other := rig.addTenant(rig.receiver.URL+"/other", nil)
	for range 50 {
		if err := rig.HandleConversion(t.Context(), rig.event(uuid.New(), 1, "", success)); err != nil {
			t.Fatal(err)
		}
	}
	if handed := rig.handOvers(); len(handed) != 50-maxPerEndpoint {
		t.Errorf("%d handed over", len(handed))
	}
	event := rig.event(uuid.New(), 1, "", success)
	event.TenantID = other
	if err := rig.HandleConversion(t.Context(), event); err != nil {
		t.Fatal(err)
	}
	delivered := func() (done bool) {
		rig.tenant(other, func(ctx context.Context, tx pgx.Tx) error {
			return tx.QueryRow(ctx, "SELECT count(*) = 1 FROM deliveries WHERE state = 'delivered'").Scan(&done)
		})
		return done
	}
	// Sooner than the attempts at the slow one give up.
	for deadline := time.Now().Add(outbound.Timeout - time.Second); !delivered(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the other endpoint waits")
		}
	}
	if busy := retryDelay(t, rig.DeliverLater(t.Context(), rig.ref(rig.waiting()))); busy <= 0 {
		t.Error("the durable retry took a slot that is not there")
	}
	free()
	rig.Wait()
}

// waiting is a delivery that nobody attempts at the moment.
func (rig *deliveryRig) waiting() *dbgen.Delivery {
	rig.advanceClock(6 * time.Second)
	for _, row := range rig.rows() {
		if row.State == stateWaiting && row.NextAttemptAt != nil && row.NextAttemptAt.Before(rig.now()) {
			return &row
		}
	}
	rig.t.Fatal("nothing waits")
	return nil
}

func TestRule52ABrokenEndpointsNewsGoesStraightToTheRetry(t *testing.T) {
	t.Parallel()
	rig := newDeliveryRig(t)
	rig.answers(status(503))
	for range breakAfter + 3 {
		rig.handle(rig.event(uuid.New(), 1, "", success))
	}
	if len(rig.statuses()) != breakAfter || len(rig.handOvers()) != breakAfter+3 {
		t.Errorf("%d requests", len(rig.statuses()))
	}
	rig.advanceClock(breakFor + time.Second)
	rig.answers(status(200))
	for range 3 {
		rig.handle(rig.event(uuid.New(), 1, "", success))
	}
	if len(rig.statuses()) != breakAfter+3 {
		t.Error("the breaker did not close after a successful probe")
	}
}
