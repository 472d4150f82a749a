package worker

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

// fate is what becomes of a message.
type fate string

const (
	handled    fate = "is acknowledged"
	notYet     fate = "comes again without a warning"
	comesAgain fate = "comes again"
	ends       fate = "ends among the failed messages"
)

// consumerRig is a worker on a real database. Its workflow engine is a stand-in that answers with engine.err.
type consumerRig struct {
	*Worker
	engine *brokenEngine
	passed bool // whether the clicks have passed a postback's time
}

// brokenEngine answers every call with an error, or with nil.
type brokenEngine struct {
	client.Client
	err error
}

func (e *brokenEngine) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	return nil, e.err
}

func (e *brokenEngine) SignalWithStartWorkflow(
	context.Context, string, string, any, client.StartWorkflowOptions, any, ...any,
) (client.WorkflowRun, error) {
	return nil, e.err
}

func (e *brokenEngine) SignalWorkflow(context.Context, string, string, string, any) error {
	return e.err
}

func newConsumerRig(t *testing.T, url string) *consumerRig {
	t.Helper()
	store, err := db.Open(t.Context(), url, 4)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	keys, err := keyring.Parse(keyring.Generate())
	require.NoError(t, err)
	rig := &consumerRig{engine: &brokenEngine{}, passed: true}
	rig.Worker = &Worker{
		Store: store, Keys: keys, Relay: &stream.Relay{}, Temporal: rig.engine, AttributionStart: StartOnFirstPostback,
		Deliveries: delivery.NewDeliveries(store, keys, nil, rig.engine),
	}
	rig.setUp()
	t.Cleanup(rig.rows.Close)
	rig.postbacks.Passed = func(context.Context, time.Time) (bool, error) { return rig.passed, nil }
	return rig
}

// streamMessage is a message of a stream, sealed as ours are unless a test changes that.
type streamMessage struct {
	jetstream.Msg
	subject string
	data    []byte
	headers nats.Header
}

func (m *streamMessage) Subject() string      { return m.subject }
func (m *streamMessage) Data() []byte         { return m.data }
func (m *streamMessage) Headers() nats.Header { return m.headers }
func (m *streamMessage) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{Timestamp: time.Now(), NumDelivered: 1}, nil
}

const sealHeader = "Offerflow-Seal"

func (rig *consumerRig) message(subject string, data []byte) *streamMessage {
	seal := attribution.MessageSeal(rig.Keys)(subject, data)
	return &streamMessage{subject: subject, data: data, headers: nats.Header{sealHeader: {seal}}}
}

// give gives a message to a consumer as stream.Conn does, and says what becomes of it.
func (rig *consumerRig) give(t *testing.T, consumer stream.Consumer, msg jetstream.Msg) (fate, error) {
	t.Helper()
	err := consumer.Handle(t.Context(), msg)
	switch {
	case err == nil:
		return handled, nil
	case errors.Is(err, stream.ErrBad):
		require.NoError(t, consumer.Keep(t.Context(), msg, err))
		return ends, err
	case errors.Is(err, stream.ErrNotYet):
		return notYet, err
	default:
		return comesAgain, err
	}
}

// failed are the payloads that a consumer's messages left among the failed ones.
func (rig *consumerRig) failed(t *testing.T, consumer string) (payloads []string) {
	t.Helper()
	rows, err := rig.Store.SystemPool().Query(t.Context(), "SELECT payload FROM failed_messages WHERE source = $1 ORDER BY id", consumer)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var payload []byte
		require.NoError(t, rows.Scan(&payload))
		payloads = append(payloads, string(payload))
	}
	require.NoError(t, rows.Err())
	return payloads
}

// sample is one message of a consumer.
type sample struct {
	name string
	data any // a string as it is, anything else as JSON
	want fate
	// engine is what the workflow engine answers.
	engine error
	// early says that clicks may still be on their way.
	early bool
	// kept is a part of the message that is kept alone, where the rest is handled.
	kept string
}

func (s *sample) bytes(t *testing.T) []byte {
	t.Helper()
	if text, ok := s.data.(string); ok {
		return []byte(text)
	}
	data, err := json.Marshal(s.data)
	require.NoError(t, err)
	return data
}

// What the workflow engine may answer.
var (
	away    = serviceerror.NewUnavailable("away")
	invalid = serviceerror.NewInvalidArgument("never")
	started = serviceerror.NewWorkflowExecutionAlreadyStarted("started", "", "")
	gone    = serviceerror.NewNotFound("no such run")
)

func clickJSON() string {
	click := domain.Click{
		ID: uuid.Must(uuid.NewV7()), TenantID: uuid.New(), LinkID: uuid.New(), OfferID: uuid.New(), AdvertiserID: uuid.New(),
		ClickedAt: time.Now(), SessionEndsAt: time.Now().Add(time.Hour),
	}
	return string(click.AppendJSON(nil))
}

func refusedJSON(t *testing.T, change func(*domain.Postback)) string {
	t.Helper()
	p := domain.Postback{ID: uuid.Must(uuid.NewV7()), ReceivedAt: time.Now().UTC(), Method: "GET", Path: "/track", Params: map[string]string{}}
	if change != nil {
		change(&p)
	}
	text, err := json.Marshal(p.AsRefused(domain.ReasonMalformed))
	require.NoError(t, err)
	return string(text)
}

func postbackOf(change func(*domain.Postback)) stream.PostbackMessage {
	click := uuid.Must(uuid.NewV7())
	p := domain.Postback{
		ID: uuid.Must(uuid.NewV7()), ReceivedAt: time.Now().UTC(), Method: "GET", Path: "/track", Params: map[string]string{}, ClickID: &click,
	}
	if change != nil {
		change(&p)
	}
	return stream.PostbackMessage{Postback: p}
}

// verdictEvent is news of a conversion that its advertiser's verdict settled.
func verdictEvent(age time.Duration) stream.ConversionEvent {
	return stream.ConversionEvent{
		ID: uuid.New(), TenantID: uuid.New(), ConversionID: uuid.New(), Sequence: 2, Status: domain.StatusRejected, EndsWait: true,
		At: time.Now().Add(-age), Conversion: json.RawMessage(`{}`),
	}
}

// samplesOf are the messages of each consumer, by its durable name.
func samplesOf(t *testing.T) map[string][]sample {
	id, partnership := uuid.New(), domain.Partnership{ID: uuid.New(), OfferID: uuid.New(), AdvertiserTenantID: uuid.New(), PublisherTenantID: uuid.New()}
	noText := func(p *domain.Postback) { p.Params["note"] = "\x00" } // PostgreSQL stores no such text
	badClick, badRefusal := `{"id": "no id"}`, refusedJSON(t, noText)
	return map[string][]sample{
		"clicks": {
			{name: "clicks", data: "[" + clickJSON() + "]", want: handled},
			{name: "no clicks", data: "[]", want: handled},
			{name: "no array", data: `{"id": 1}`, want: ends},
			{name: "one that the database refuses, among others", data: "[" + clickJSON() + "," + badClick + "," + clickJSON() + "]", want: handled, kept: "[" + badClick + "]"},
		},
		"starts": {
			{name: "clicks", data: "[" + clickJSON() + "]", want: handled},
			{name: "clicks of which nothing can be started now", data: "[" + clickJSON() + "]", want: comesAgain, engine: away},
			{name: "clicks that the engine never takes", data: "[" + clickJSON() + "]", want: ends, engine: invalid},
		},
		"postbacks": {
			{name: "without its click, which is not on its way", data: postbackOf(nil), want: handled},
			{name: "without its click, which may be on its way", data: postbackOf(nil), want: notYet, early: true},
			{name: "of a visitor whose click may be on its way", want: notYet, early: true, data: postbackOf(func(p *domain.Postback) { p.ClickID, p.Visitor = nil, &domain.Visitor{} })},
			{name: "refused at the edge", data: postbackOf(func(p *domain.Postback) { p.Refused = domain.ReasonMalformed }), want: handled},
			{name: "that the database refuses", data: postbackOf(noText), want: ends},
		},
		"refused": {
			{name: "refused postbacks", data: "[" + refusedJSON(t, nil) + "]", want: handled},
			{name: "no array", data: `{}`, want: ends},
			{name: "one that the database refuses, among others", data: "[" + refusedJSON(t, nil) + "," + badRefusal + "]", want: handled, kept: "[" + badRefusal + "]"},
		},
		"callbacks": {
			{name: "news of a tenant without endpoints", want: handled, data: stream.ConversionEvent{ID: id, TenantID: id, ConversionID: id, Conversion: json.RawMessage(`{}`)}},
			{name: "news without its conversion", want: ends, data: stream.ConversionEvent{ID: id, TenantID: id}},
			{name: "a verdict whose wait may be starting", data: verdictEvent(0), want: notYet},
			{name: "a verdict", data: verdictEvent(time.Minute), want: handled},
			{name: "a verdict whose wait is over", data: verdictEvent(time.Minute), want: handled, engine: gone},
			{name: "a verdict whose wait cannot be ended now", data: verdictEvent(time.Minute), want: comesAgain, engine: away},
			{name: "a verdict whose wait could not be ended for an hour", data: verdictEvent(61 * time.Minute), want: handled, engine: away},
		},
		"deliveries": {
			{name: "a delivery that does not exist", data: stream.DeliveryEvent{TenantID: id, DeliveryID: id}, want: ends},
		},
		"jobs": {
			{name: "a job", data: stream.JobEvent{TenantID: id, JobID: id}, want: handled},
			{name: "a job that cannot be started now", data: stream.JobEvent{TenantID: id, JobID: id}, want: comesAgain, engine: away},
			{name: "a job that the engine never takes", data: stream.JobEvent{TenantID: id, JobID: id}, want: ends, engine: invalid},
		},
		"exchange": {
			{name: "a transition", data: stream.ExchangeEvent{Partnership: partnership, ConversionID: &id, Sequence: 1}, want: handled},
			{name: "a transition that cannot be copied now", data: stream.ExchangeEvent{Partnership: partnership, ConversionID: &id, Sequence: 1}, want: comesAgain, engine: away},
			{name: "a transition that the engine never takes", data: stream.ExchangeEvent{Partnership: partnership, ConversionID: &id, Sequence: 1}, want: ends, engine: invalid},
			{name: "an edit", data: stream.ExchangeEvent{Partnership: partnership, Version: 2, Side: domain.SideAdvertiser}, want: handled},
			{name: "an edit that comes twice", data: stream.ExchangeEvent{Partnership: partnership, Version: 2, Side: domain.SideAdvertiser}, want: handled, engine: started},
			{name: "an edit of which no notice can be given now", data: stream.ExchangeEvent{Partnership: partnership, Version: 2}, want: comesAgain, engine: away},
			{name: "news of nothing", data: stream.ExchangeEvent{Partnership: partnership}, want: ends},
		},
		"reconciliations": {
			{name: "a partnership", data: stream.ReconciliationEvent{PartnershipID: id}, want: handled},
			{name: "a partnership that cannot be compared now", data: stream.ReconciliationEvent{PartnershipID: id}, want: comesAgain, engine: away},
			{name: "a partnership that the engine never takes", data: stream.ReconciliationEvent{PartnershipID: id}, want: ends, engine: invalid},
		},
	}
}

// Each consumer acknowledges what it has done, has come again what may yet succeed, and keeps what never will. No message
// blocks those behind it, and none is lost.
func TestWhatEachConsumerDoesWithAMessage(t *testing.T) {
	t.Parallel()
	url, samples := dbtest.New(t), samplesOf(t)
	for _, consumer := range newConsumerRig(t, url).consumers() {
		of := append(samples[consumer.Durable], sample{name: "what cannot be read", data: `{"tenantId": 7`, want: ends})
		require.Greater(t, len(of), 1, "consumer %s has no samples", consumer.Durable)
		for _, s := range of {
			t.Run(consumer.Durable+"/"+s.name, func(t *testing.T) {
				rig := newConsumerRig(t, url)
				rig.engine.err, rig.passed = s.engine, !s.early
				data, before := s.bytes(t), len(rig.failed(t, consumer.Durable))

				got, err := rig.give(t, rig.consumer(t, consumer.Durable), rig.message(subjectOf(&consumer), data))

				require.Equal(t, s.want, got, "%v", err)
				kept := rig.failed(t, consumer.Durable)[before:]
				switch {
				case s.want == ends:
					require.Equal(t, []string{string(data)}, kept)
				case s.kept != "":
					require.Equal(t, []string{s.kept}, kept)
				default:
					require.Empty(t, kept)
				}
			})
		}
	}
}

// A message that none of our processes wrote is kept with the seal that it brought, and never handled.
func TestNoConsumerHandlesAForgedMessage(t *testing.T) {
	t.Parallel()
	url, samples := dbtest.New(t), samplesOf(t)
	rig := newConsumerRig(t, url)
	for _, consumer := range rig.consumers() {
		genuine := samples[consumer.Durable][0]
		data := genuine.bytes(t)
		of := subjectOf(&consumer)
		otherKeys, err := keyring.Parse(keyring.Generate())
		require.NoError(t, err)
		for name, seal := range map[string]string{
			"no seal": "", "somebody's seal": "forged", "a seal of other keys": attribution.MessageSeal(otherKeys)(of, data),
			"the seal of another subject": attribution.MessageSeal(rig.Keys)(of+".other", data), "the seal of another message": attribution.MessageSeal(rig.Keys)(of, append(data, ' ')),
		} {
			msg := rig.message(of, data)
			msg.headers = nats.Header{}
			if seal != "" {
				msg.headers.Set(sealHeader, seal)
			}
			called := false
			alone := consumer
			alone.Handle = func(context.Context, jetstream.Msg) error { called = true; return nil }

			got, err := rig.give(t, rig.endsForGood(alone), msg)

			require.Equal(t, ends, got, "%s: %s", consumer.Durable, name)
			require.ErrorIs(t, err, attribution.ErrUnsealed)
			require.False(t, called, "%s: %s", consumer.Durable, name)
			var kept string
			row := rig.Store.SystemPool().QueryRow(t.Context(), "SELECT seal FROM failed_messages WHERE source = $1 ORDER BY failed_at DESC LIMIT 1", consumer.Durable)
			require.NoError(t, row.Scan(&kept))
			require.Equal(t, seal, kept)
		}
	}
}

// While the database is away nothing is acknowledged and nothing given up.
func TestConsumersWaitForTheDatabase(t *testing.T) {
	t.Parallel()
	url, samples := dbtest.New(t), samplesOf(t)
	for _, durable := range []string{"clicks", "postbacks", "refused", "callbacks", "deliveries"} {
		rig := newConsumerRig(t, url)
		rig.Store.Close()
		consumer := rig.consumer(t, durable)
		got, err := rig.give(t, consumer, rig.message(subjectOf(&consumer), samples[durable][0].bytes(t)))
		require.Equal(t, comesAgain, got, "%s: %v", durable, err)
	}
}

func (rig *consumerRig) consumer(t *testing.T, durable string) stream.Consumer {
	t.Helper()
	for _, consumer := range rig.consumers() {
		if consumer.Durable == durable {
			return consumer
		}
	}
	t.Fatalf("no consumer %s", durable)
	return stream.Consumer{}
}

// subjectOf is a subject of a consumer's messages.
func subjectOf(consumer *stream.Consumer) string {
	if consumer.Filter != "" {
		return consumer.Filter
	}
	return strings.ToLower(consumer.Stream)
}
