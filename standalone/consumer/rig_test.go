// Package consumer tests the consumer of postbacks against real parts: what it does with a message that
// comes again, with errors that pass, with workflows that are over, with clicks that are on their way.
package consumer

import (
	"context"
	"encoding/json"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/engine"
	"github.com/offerflow/offerflow/standalone/internal/testboot"
	"github.com/offerflow/offerflow/stream"
)

// soon bounds every wait. What only the sweep would find takes longer than two minutes.
const soon = 60 * time.Second

// rig is an engine with an API, and a worker that each test starts and kills as it needs.
type rig struct {
	t        *testing.T
	engine   *engine.Engine
	config   process.Config
	tenant   *blackbox.Client
	worker   *process.Process
	temporal client.Client
	nats     *nats.Conn
	js       jetstream.JetStream
	// owner is the database's superuser, decisions decide as the product does.
	owner     *pgxpool.Pool
	decisions *attribution.Decisions
	keys      *keyring.Keyring
	// ordered has First, Second and Third in this order, the last Pending for a day; hasty likewise, but an
	// early event is held for a moment only.
	ordered, hasty string
	tenantID       uuid.UUID
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r, ctx := &rig{t: t}, t.Context()
	var err error
	r.engine, err = engine.Start(ctx, engine.Options{DataDir: filepath.Join(testboot.Dir(t), "data"), PostgresSettings: testboot.Unsynced()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.engine.Stop(context.Background())) })
	r.connect()
	require.NoError(t, process.Migrate(ctx, r.config))
	store, err := db.Open(ctx, r.engine.DatabaseURL, 8)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	r.decisions = &attribution.Decisions{Store: store, Keys: r.keys, Nudge: func() {}, Now: time.Now}
	api := r.start(process.RoleAPI)
	t.Cleanup(func() { require.NoError(t, api.Stop()) })
	r.work()
	t.Cleanup(func() { require.NoError(t, r.worker.Stop()) })
	r.cast("http://" + api.Addr())
	return r
}

func (r *rig) connect() {
	var err error
	r.config, err = process.FromEnv()
	require.NoError(r.t, err)
	r.config.HTTPAddr, r.config.WorkerHTTPAddr, r.config.LogLevel, r.config.DrainWait = "127.0.0.1:0", "127.0.0.1:0", "warn", 0
	r.config.OperatorToken, r.config.SecretKeys = "operator-of-the-consumer-tests", keyring.Generate()
	r.config.DatabaseURL, r.config.MigrateDatabaseURL = r.engine.DatabaseURL, r.engine.DatabaseURL
	r.config.NATSURL, r.config.NATSMonitorURL = r.engine.NATSURL, r.engine.NATSMonitorURL
	require.NoError(r.t, r.config.SetLogger())
	r.keys, err = keyring.Parse(r.config.SecretKeys)
	require.NoError(r.t, err)
	r.owner, err = pgxpool.New(r.t.Context(), r.engine.DatabaseURL)
	require.NoError(r.t, err)
	r.t.Cleanup(r.owner.Close)
	r.nats, err = nats.Connect(r.engine.NATSURL)
	require.NoError(r.t, err)
	r.t.Cleanup(r.nats.Close)
	r.js, err = jetstream.New(r.nats)
	require.NoError(r.t, err)
	r.temporal, err = client.Dial(r.engine.TemporalOptions())
	require.NoError(r.t, err)
	r.t.Cleanup(r.temporal.Close)
}

func (r *rig) start(role process.Role) *process.Process {
	p, err := process.Start(context.Background(), r.config, role, r.engine.TemporalOptions())
	require.NoError(r.t, err)
	return p
}

// work starts the worker, rest stops it.
func (r *rig) work() { r.worker = r.start(process.RoleWorker) }
func (r *rig) rest() { require.NoError(r.t, r.worker.Stop()) }

func (r *rig) cast(address string) {
	ctx, t := r.t.Context(), r.t
	var err error
	r.tenant, err = blackbox.New(address, r.config.OperatorToken).NewTenant(ctx, nil)
	require.NoError(t, err)
	r.tenantID = uuid.MustParse(r.tenant.TenantID)
	advertiser, err := r.tenant.NewAdvertiser(ctx, nil)
	require.NoError(t, err)
	age, err := r.tenant.EveryoneAge(ctx)
	require.NoError(t, err)
	for name, made := range map[string]struct {
		link  *string
		grace any
	}{"Ordered": {&r.ordered, 60}, "Hasty": {&r.hasty, json.Number("0.05")}} {
		_, *made.link, err = r.tenant.NewOffer(ctx, blackbox.MultiEvent(advertiser.ID, age, []map[string]any{
			blackbox.Event("First", 1, nil), blackbox.Event("Second", 2, nil), blackbox.Event("Third", nil, map[string]any{"pendingTime": 1}),
		}, map[string]any{"name": name, "outOfOrderGraceMinutes": made.grace, "trustAdvertiserStatus": true}))
		require.NoError(t, err)
	}
}

// click clicks, and waits for the row.
func (r *rig) click(t *testing.T, link string) uuid.UUID {
	t.Helper()
	id := r.clickOnly(t, link)
	r.until(t, "the click's row", func() bool { return r.count(t, `SELECT count(*) FROM clicks WHERE id = $1`, id) == 1 })
	return id
}

func (r *rig) clickOnly(t *testing.T, link string) uuid.UUID {
	t.Helper()
	text, _, err := r.tenant.Click(t.Context(), link, url.Values{"pub_member_id": {uuid.NewString()}})
	require.NoError(t, err)
	return uuid.MustParse(text)
}

func (r *rig) postback(clickID uuid.UUID, event string) *domain.Postback {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return &domain.Postback{
		ID: r.keys.NewID(keyring.KindPostback, now), ReceivedAt: now, Method: "GET", Path: "/track", SourceIP: "127.0.0.1",
		Params: map[string]string{}, ClickID: &clickID, EventID: event,
	}
}

// send puts a postback on the stream, as the edge does; the answer comes on the channel.
func (r *rig) send(t *testing.T, p *domain.Postback) <-chan domain.Answer {
	t.Helper()
	inbox := r.nats.NewInbox()
	answers := make(chan domain.Answer, 8)
	subscription, err := r.nats.Subscribe(inbox, func(msg *nats.Msg) {
		var answer domain.Answer
		if json.Unmarshal(msg.Data, &answer) == nil {
			answers <- answer
		}
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = subscription.Unsubscribe() })
	require.NoError(t, r.nats.Flush())
	data, err := json.Marshal(stream.PostbackMessage{Postback: *p, ReplyTo: inbox})
	require.NoError(t, err)
	_, err = r.js.PublishMsg(t.Context(), &nats.Msg{
		Subject: stream.SubjectPostbacks, Data: data, Header: nats.Header{"Offerflow-Seal": {attribution.MessageSeal(r.keys)(stream.SubjectPostbacks, data)}},
	})
	require.NoError(t, err)
	return answers
}

// answered waits for an answer.
func answered(t *testing.T, answers <-chan domain.Answer) domain.Answer {
	t.Helper()
	select {
	case answer := <-answers:
		return answer
	case <-time.After(soon):
		t.Fatal("no answer")
		return domain.Answer{}
	}
}

// taken takes the next message as a worker does that is killed later: it comes again when given back.
func (r *rig) taken(t *testing.T, streamName, durable string) jetstream.Msg {
	t.Helper()
	consumer, err := r.js.Consumer(t.Context(), streamName, durable)
	require.NoError(t, err)
	batch, err := consumer.Fetch(1, jetstream.FetchMaxWait(soon))
	require.NoError(t, err)
	msg, ok := <-batch.Messages()
	require.True(t, ok, "no message: %v", batch.Error())
	return msg
}

func (r *rig) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, r.owner.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// outcome is what the log says of a postback; "" while it says nothing.
func (r *rig) outcome(t *testing.T, id uuid.UUID) (text string) {
	t.Helper()
	require.NoError(t, r.owner.QueryRow(t.Context(), `SELECT coalesce(max(outcome || ' ' || reason), '') FROM postbacks WHERE id = $1`, id).Scan(&text))
	return text
}

// waits says whether a workflow of that id is running.
func (r *rig) waits(t *testing.T, workflowID string) bool {
	t.Helper()
	found, err := r.temporal.DescribeWorkflowExecution(t.Context(), workflowID, "")
	return err == nil && found.WorkflowExecutionInfo.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
}

// ended says whether a workflow of that id has ended as completed.
func (r *rig) ended(t *testing.T, workflowID string) bool {
	t.Helper()
	found, err := r.temporal.DescribeWorkflowExecution(t.Context(), workflowID, "")
	return err == nil && found.WorkflowExecutionInfo.Status == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
}

func (r *rig) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, soon, 50*time.Millisecond, what)
}
