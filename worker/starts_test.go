package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"
)

// busyEngine starts workflows, but those that it is told to refuse.
type busyEngine struct {
	client.Client
	mu      sync.Mutex
	refuse  map[string]bool
	started map[string]int
}

func (e *busyEngine) ExecuteWorkflow(_ context.Context, options client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse[options.ID] {
		return nil, serviceerror.NewInternal("this one not")
	}
	e.started[options.ID]++
	return nil, nil
}

// startsMessage is one of the STARTS stream.
type startsMessage struct {
	jetstream.Msg
	data []byte
}

func (m startsMessage) Data() []byte { return m.data }
func (m startsMessage) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{Timestamp: time.Now(), NumDelivered: 1}, nil
}

// Of a message with hundreds of clicks only those come again whose start failed.
func TestOnlyStartsThatFailedComeAgain(t *testing.T) {
	store, err := db.Open(t.Context(), dbtest.New(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	var clicks []json.RawMessage
	var ids []uuid.UUID
	for range 20 {
		click := domain.Click{
			ID: uuid.Must(uuid.NewV7()), TenantID: uuid.New(), LinkID: uuid.New(), OfferID: uuid.New(),
			ClickedAt: time.Now(), SessionEndsAt: time.Now().Add(time.Hour),
		}
		ids, clicks = append(ids, click.ID), append(clicks, click.AppendJSON(nil))
	}
	packed, err := json.Marshal(clicks)
	if err != nil {
		t.Fatal(err)
	}
	engine := &busyEngine{started: map[string]int{}, refuse: map[string]bool{
		workflows.ClickWorkflowID(ids[3]): true, workflows.ClickWorkflowID(ids[11]): true,
	}}
	w := &Worker{Temporal: engine, engineBreaker: newEngineBreaker(), startThrottle: newStartThrottle(nil), owedSignal: newOwedSignal(),
		clicks: &attribution.Clicks{Store: store}, owed: &attribution.Owed{Store: store}}

	if err := w.handleStarts(t.Context(), startsMessage{data: packed}); err != nil {
		t.Fatalf("the whole message will be redelivered: %v", err)
	}
	if len(engine.started) != 18 {
		t.Errorf("%d of 18 workflows were started", len(engine.started))
	}
	owed, ok, err := w.owed.TakeStart(t.Context(), time.Minute)
	if err != nil || !ok {
		t.Fatalf("nothing is left to be started: %v", err)
	}
	if got, want := fmt.Sprint(owed.Clicks), fmt.Sprint([]uuid.UUID{ids[3], ids[11]}); got != want {
		t.Errorf("left over are %s, want %s", got, want)
	}

	// Where none could be started the message stays where it is: it costs nothing to try it again.
	for _, id := range ids {
		engine.refuse[workflows.ClickWorkflowID(id)] = true
	}
	if err := w.handleStarts(t.Context(), startsMessage{data: packed}); err == nil {
		t.Error("a message of which nothing was started is taken for handled")
	}
}
