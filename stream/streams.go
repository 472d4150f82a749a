package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The streams. Each is a log: a message stays for a while after it was handled, so that a restored
// database can be brought up to date. Our own purge deletes it (retention.go).
//
// A stream's retention cannot be changed on the server once it is a work queue, which clicks, starts
// and postbacks were in the release before. So these have names and subjects of their own, and the
// workers drain the earlier streams beside them (earlier.go).
const (
	Clicks    = "CLICKS_V2"
	Starts    = "STARTS_V2"
	Postbacks = "POSTBACKS_V2"
	// Refused holds postbacks refused by the API, separately from those to be decided: anyone can fill it,
	// and genuine postbacks neither wait behind it nor share its space.
	Refused = "REFUSED"
	Events  = "EVENTS"
	// Live holds the events of live streams, separately from EVENTS: when it is full, the oldest are
	// deleted, and nothing waits for it.
	Live = "LIVE"

	SubjectClicks = "offerflow.v2.clicks"
	// SubjectStarts carries packed clicks that are rows already and whose workflows are to be started:
	// apart from the clicks, so that rows never wait for workflows.
	SubjectStarts    = "offerflow.v2.starts"
	SubjectPostbacks = "offerflow.v2.postbacks"
	// SubjectRefused carries packed postbacks (domain.Postback) that were refused by the edge, for the log.
	SubjectRefused = "offerflow.refused"
	// SubjectConversion carries one ConversionEvent per transition of a conversion.
	SubjectConversion = "offerflow.events.conversion"
	// SubjectOffer carries an OfferEvent when anything that the redirect knows of an offer changed.
	SubjectOffer = "offerflow.events.offer"
	// SubjectDelivery carries a DeliveryEvent for a message that is to be sent now: a test, a resend.
	SubjectDelivery = "offerflow.events.delivery"
	// SubjectExchange carries an ExchangeEvent when the other side of a shared offer has something to
	// hear of: a conversion that was decided or moved, an edit.
	SubjectExchange = "offerflow.events.exchange"
	// SubjectLive, with a tenant's id after it, carries what that tenant's live stream shows.
	SubjectLive = "offerflow.live."
	// SubjectReconciliation carries a ReconciliationEvent when somebody wants both books compared now.
	SubjectReconciliation = "offerflow.events.reconciliation"
	// SubjectJob carries a JobEvent when a job was made or resumed.
	SubjectJob    = "offerflow.events.job"
	subjectEvents = "offerflow.events.>"
)

// Settings are the operator's settings of the streams.
type Settings struct {
	// Replicas is 1 for a single server, 3 in a cluster.
	Replicas int
	// Keep is how long a message stays after it was handled; it goes earlier in a stream that fills.
	Keep time.Duration
	// Bytes is the size of each stream that work rests on. The server sets it aside on its disk.
	Bytes map[string]int64
}

const (
	defaultKeep  = 24 * time.Hour
	defaultBytes = 2 << 30
	refusedBytes = 256 << 20
	liveBytes    = 256 << 20
	liveMaxAge   = 7 * 24 * time.Hour
)

// DefaultSettings are those of a single server.
func DefaultSettings() Settings { return Settings{}.WithDefaults() }

// WithDefaults fills in what is 0.
func (s Settings) WithDefaults() Settings {
	sizes := map[string]int64{}
	for _, one := range logStreams {
		sizes[one.name] = cmp.Or(s.Bytes[one.name], one.bytes, defaultBytes)
	}
	return Settings{Replicas: cmp.Or(s.Replicas, 1), Keep: cmp.Or(s.Keep, defaultKeep), Bytes: sizes}
}

// leastBytes is room for a few of the largest packs beside what is handled.
const leastBytes = 1 << 20

// Validate lists invalid settings.
func (s Settings) Validate() error {
	var wrong []error
	if s.Replicas != 1 && s.Replicas != 3 && s.Replicas != 5 {
		wrong = append(wrong, fmt.Errorf("OFFERFLOW_NATS_REPLICAS is %d: use 1, or 3 or 5 in a cluster", s.Replicas))
	}
	if s.Keep < 0 {
		wrong = append(wrong, fmt.Errorf("OFFERFLOW_STREAM_KEEP is %s: use 0s or more, like 24h", s.Keep))
	}
	for _, one := range logStreams {
		if s.Bytes[one.name] < leastBytes {
			wrong = append(wrong, fmt.Errorf("%s is below %d: give the stream a size in MiB", one.setting, leastBytes>>20))
		}
	}
	return errors.Join(wrong...)
}

// logStream is one of the streams that work rests on.
type logStream struct {
	name, subject string
	// setting is its size's, and bytes the size without it where that is not defaultBytes.
	setting string
	bytes   int64
	// earlier is the work queue of the release before, to be drained.
	earlier string
	// consumers must all have handled a message before it may go. One that is not made yet has
	// handled nothing.
	consumers []durable
}

type durable struct{ name, filter string }

var logStreams = []logStream{
	{name: Clicks, subject: SubjectClicks, setting: "OFFERFLOW_STREAM_CLICKS_MIB", earlier: "CLICKS", consumers: []durable{{"clicks", ""}}},
	{name: Starts, subject: SubjectStarts, setting: "OFFERFLOW_STREAM_STARTS_MIB", earlier: "STARTS", consumers: []durable{{"starts", ""}}},
	{name: Postbacks, subject: SubjectPostbacks, setting: "OFFERFLOW_STREAM_POSTBACKS_MIB", earlier: "POSTBACKS", consumers: []durable{{"postbacks", ""}}},
	{name: Refused, subject: SubjectRefused, setting: "OFFERFLOW_STREAM_REFUSED_MIB", bytes: refusedBytes, consumers: []durable{{"refused", ""}}},
	{name: Events, subject: subjectEvents, setting: "OFFERFLOW_STREAM_EVENTS_MIB", consumers: []durable{
		{"callbacks", SubjectConversion}, {"deliveries", SubjectDelivery}, {"jobs", SubjectJob},
		{"exchange", SubjectExchange}, {"reconciliations", SubjectReconciliation},
	}},
}

func logStreamNamed(name string) (logStream, bool) {
	for _, one := range logStreams {
		if one.name == name {
			return one, true
		}
	}
	return logStream{}, false
}

// Knows says whether the purge waits for this consumer: each that handles work must be known.
func Knows(consumer Consumer) bool {
	one, _ := logStreamNamed(consumer.Stream)
	for _, known := range one.consumers {
		if known == (durable{consumer.Durable, consumer.Filter}) {
			return true
		}
	}
	return false
}

// configs are the streams as the settings want them. Full of what is not handled, a log refuses
// (DiscardNew), and the sender hears 503. Nothing goes by age alone: it might not be handled.
func (s Settings) configs() []jetstream.StreamConfig {
	configs := make([]jetstream.StreamConfig, 0, len(logStreams)+1)
	for _, one := range logStreams {
		configs = append(configs, jetstream.StreamConfig{
			Name: one.name, Subjects: []string{one.subject}, Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage,
			Discard: jetstream.DiscardNew, MaxBytes: s.Bytes[one.name], Replicas: s.Replicas,
		})
	}
	return append(configs, jetstream.StreamConfig{
		Name: Live, Subjects: []string{SubjectLive + "*"}, Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage,
		MaxAge: liveMaxAge, MaxBytes: liveBytes, Replicas: s.Replicas,
	})
}

// startWithin bounds the wait for a stream server that is starting.
const startWithin = time.Minute

// Ensure is EnsureSaying for callers that need not say what was done.
func (c *Conn) Ensure(ctx context.Context, settings Settings) error {
	return c.EnsureSaying(ctx, settings, func(string) {})
}

// EnsureSaying creates the streams, or alters them according to the settings, and reports each change.
// Only `migrate` and standalone call it.
func (c *Conn) EnsureSaying(ctx context.Context, settings Settings, say func(done string)) error {
	for _, config := range settings.configs() {
		var before, after jetstream.Stream
		err := WaitOut(ctx, "stream "+config.Name, func() (err error) {
			if before, err = c.JS.Stream(ctx, config.Name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				return err
			}
			after, err = c.JS.CreateOrUpdateStream(ctx, config)
			return err
		})
		if err != nil {
			return notMade(config, err)
		}
		if done := madeOrAltered(before, after.CachedInfo().Config); done != "" {
			say("stream " + config.Name + " " + done)
		}
	}
	return c.retireEarlier(ctx, say)
}

// notMade says why a stream could not be made or altered.
func notMade(config jetstream.StreamConfig, err error) error {
	var refused *jetstream.APIError
	if errors.As(err, &refused) && refused.ErrorCode == codeNoStorage {
		return fmt.Errorf("stream %s needs %d MiB on NATS's disk: free space there, or make the streams smaller (OFFERFLOW_STREAM_…_MIB): %w",
			config.Name, config.MaxBytes>>20, err)
	}
	if errors.As(err, &refused) && refused.ErrorCode == codeNoReplicas {
		return fmt.Errorf("OFFERFLOW_NATS_REPLICAS is %d, but the servers at OFFERFLOW_NATS_URL cannot hold so many replicas of stream %s: set 1 for a single server: %w",
			config.Replicas, config.Name, err)
	}
	return unusable(config.Name, err)
}

// unusable says why a stream could not be looked at.
func unusable(name string, err error) error {
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return fmt.Errorf("OFFERFLOW_NATS_URL: NATS has no JetStream: start it with deploy/nats.conf, or enable JetStream for the account (%w)", err)
	}
	return fmt.Errorf("OFFERFLOW_NATS_URL: stream %s cannot be used: %w", name, err)
}

// madeOrAltered says what was done to a stream; empty where that was nothing.
func madeOrAltered(before jetstream.Stream, now jetstream.StreamConfig) string {
	if before == nil {
		return fmt.Sprintf("made: %d MiB, replicas: %d", now.MaxBytes>>20, now.Replicas)
	}
	var altered []string
	was := before.CachedInfo().Config
	if was.MaxBytes != now.MaxBytes {
		altered = append(altered, fmt.Sprintf("%d MiB, was %d MiB", now.MaxBytes>>20, was.MaxBytes>>20))
	}
	if was.Replicas != now.Replicas {
		altered = append(altered, fmt.Sprintf("replicas: %d, was %d", now.Replicas, was.Replicas))
	}
	if was.MaxAge != now.MaxAge || was.Discard != now.Discard || !slices.Equal(was.Subjects, now.Subjects) {
		altered = append(altered, "age, discard policy or subjects of this release")
	}
	if len(altered) == 0 {
		return ""
	}
	return "altered: " + strings.Join(altered, "; ")
}

// Check says what is wrong with the streams that a process is to work with, and changes nothing: a
// process with other settings than the others must not shrink what they rest on. A stream that is
// missing, or of which messages could be lost, is an error; a size or number of replicas other than
// this process's own setting is told in the log.
func (c *Conn) Check(ctx context.Context, settings Settings) error {
	for _, want := range settings.configs() {
		var found jetstream.Stream
		err := WaitOut(ctx, "stream "+want.Name, func() (err error) {
			found, err = c.JS.Stream(ctx, want.Name)
			return err
		})
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("stream %s is missing: run `offerflow migrate`, which creates the streams at OFFERFLOW_NATS_URL", want.Name)
		}
		if err != nil {
			return unusable(want.Name, err)
		}
		if err := compare(want, found.CachedInfo().Config); err != nil {
			return err
		}
	}
	return nil
}

func compare(want, got jetstream.StreamConfig) error {
	for _, one := range []struct {
		wrong bool
		what  string
	}{
		{got.Retention != want.Retention, fmt.Sprintf("has %s retention, not %s", got.Retention, want.Retention)},
		{got.Discard != want.Discard, fmt.Sprintf("discards %s when it is full, not %s", got.Discard, want.Discard)},
		{got.Storage != want.Storage, fmt.Sprintf("is kept in %s, not in %s", got.Storage, want.Storage)},
		{len(got.Subjects) != 1 || got.Subjects[0] != want.Subjects[0], fmt.Sprintf("takes %v, not %v", got.Subjects, want.Subjects)},
	} {
		if one.wrong {
			return fmt.Errorf("stream %s %s: run `offerflow migrate`", want.Name, one.what)
		}
	}
	for _, one := range []struct {
		setting   string
		want, got any
	}{
		{"OFFERFLOW_NATS_REPLICAS", want.Replicas, got.Replicas},
		{"size in bytes (OFFERFLOW_STREAM_…_MIB)", want.MaxBytes, got.MaxBytes},
		{"age at which messages go unhandled", want.MaxAge, got.MaxAge},
	} {
		if one.want != one.got {
			slog.Warn("a stream differs from this process's settings; nothing was changed: correct the settings, then run `offerflow migrate`",
				"stream", want.Name, "setting", one.setting, "here", one.want, "stream's", one.got)
		}
	}
	return nil
}

// WaitOut repeats what a stream server refuses while it starts, chooses a leader or is away for a
// moment: for every part that begins with a request to it.
func WaitOut(ctx context.Context, what string, try func() error) error {
	for end := time.Now().Add(startWithin); ; {
		err := try()
		if err == nil || !isPassing(err) || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		slog.Warn("NATS is not ready yet", "for", what, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(reconnectWait):
		}
	}
}

// isPassing says whether the same request may succeed later: the server is away, starting, or
// choosing a leader. What it calls our mistake (4xx) stays one.
func isPassing(err error) bool {
	var refused *jetstream.APIError
	if !errors.As(err, &refused) {
		return true
	}
	switch refused.ErrorCode {
	case codeNoPeers: // the others of the cluster are not there yet
		return true
	case codeNoStorage, codeNoReplicas:
		return false
	default:
		return refused.Code >= 500
	}
}
