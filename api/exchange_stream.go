package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/inbound"
	"github.com/offerflow/offerflow/stream"
)

var liveStreamsOpen = promauto.NewGauge(prometheus.GaugeOpts{
	Name: "offerflow_live_streams",
	Help: "Open live streams of this process.",
})

// LiveLimits bound the live streams of a process. Zero values stand for the usual ones.
type LiveLimits struct {
	// PerTenant and PerProcess are how many may be open at once.
	PerTenant, PerProcess int
	// Heartbeat is how often something is sent.
	Heartbeat time.Duration
	// LookAgain is how often the token is looked at again, beside when a token is revoked.
	LookAgain time.Duration
	// WriteWithin is how long a reader may take for what was sent before it is dropped.
	WriteWithin time.Duration
}

func (l LiveLimits) orUsual() LiveLimits {
	usual := LiveLimits{PerTenant: 32, PerProcess: 1_000, Heartbeat: 15 * time.Second, LookAgain: time.Second, WriteWithin: 10 * time.Second}
	if l.PerTenant > 0 {
		usual.PerTenant = l.PerTenant
	}
	if l.PerProcess > 0 {
		usual.PerProcess = l.PerProcess
	}
	if l.Heartbeat > 0 {
		usual.Heartbeat = l.Heartbeat
	}
	if usual.LookAgain = min(usual.LookAgain, usual.Heartbeat); l.LookAgain > 0 {
		usual.LookAgain = l.LookAgain
	}
	if l.WriteWithin > 0 {
		usual.WriteWithin = l.WriteWithin
	}
	return usual
}

const (
	// liveRetry is how long a client that lost its stream waits before it comes again.
	liveRetry = 2 * time.Second
	// liveReset is the event that tells a client to read anew: what it has missed is not kept.
	liveReset = "reset"
)

// liveSource keeps what live streams show (stream.Conn).
type liveSource interface {
	LiveKept(ctx context.Context) (first, last uint64, err error)
	Follow(ctx context.Context, subject string, after uint64) (<-chan stream.Followed, error)
}

// liveStreams counts those that are open, and ends them when the process stops.
type liveStreams struct {
	// source is another than the server's Stream, for tests that have none.
	source  liveSource
	mu      sync.Mutex
	tenants map[uuid.UUID]int
	open    int
	ends    map[*context.CancelFunc]struct{}
	ended   bool
}

// enter makes a context that ends with the process's live streams; leave must be called.
func (l *liveStreams) enter(ctx context.Context, tenantID uuid.UUID, limits LiveLimits) (live context.Context, leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
		return nil, nil, tooManyStreams("This process is stopping.")
	case l.open >= limits.PerProcess:
		return nil, nil, tooManyStreams("This process has the maximum number of open live streams.")
	case l.tenants[tenantID] >= limits.PerTenant:
		return nil, nil, tooManyStreams(fmt.Sprintf("The tenant already has the maximum of %d open live streams.", limits.PerTenant))
	}
	if l.tenants == nil {
		l.tenants, l.ends = map[uuid.UUID]int{}, map[*context.CancelFunc]struct{}{}
	}
	live, end := context.WithCancel(ctx)
	l.open++
	l.tenants[tenantID]++
	l.ends[&end] = struct{}{}
	liveStreamsOpen.Inc()
	return live, func() { end(); l.leave(tenantID, &end) }, nil
}

func (l *liveStreams) leave(tenantID uuid.UUID, end *context.CancelFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	delete(l.ends, end)
	if l.tenants[tenantID]--; l.tenants[tenantID] == 0 {
		delete(l.tenants, tenantID)
	}
	liveStreamsOpen.Dec()
}

func tooManyStreams(detail string) *problem.Problem {
	return problem.New(http.StatusServiceUnavailable, detail).RetryAfter(liveRetry)
}

// EndLiveStreams ends every live stream and takes no more: their clients go on at another process.
// Without it a graceful stop would wait for them.
func (s *Server) EndLiveStreams() {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	s.live.ended = true
	for end := range s.live.ends {
		(*end)()
	}
}

// liveStream is GET /api/v1/exchange/stream: server-sent events of the tenant's own shared offers.
// The id of an event is its place in the stream; a client that names the last one that it had gets
// what came after it.
func (s *Server) liveStream(c *gin.Context) {
	limits := s.Live.orUsual()
	tenantID := principal(c.Request.Context()).TenantID
	after, resumes, err := lastEventID(c.Request)
	if err != nil {
		problem.WriteError(c, err)
		return
	}
	ctx, leave, err := s.live.enter(c.Request.Context(), tenantID, limits)
	if err != nil {
		problem.WriteError(c, err)
		return
	}
	defer leave()
	source, err := s.liveSource()
	if err != nil {
		problem.WriteError(c, err)
		return
	}
	begin, err := beginLive(ctx, source, after, resumes)
	if err != nil {
		problem.WriteError(c, err)
		return
	}
	events, err := source.Follow(ctx, stream.SubjectLive+tenantID.String(), begin.after)
	if err != nil {
		problem.WriteError(c, err)
		return
	}
	out := openEventWriter(c, limits.WriteWithin)
	if err = out.begin(begin); err == nil {
		err = s.sendLive(ctx, c.Request, out, events, limits)
	}
	if err != nil {
		slog.InfoContext(ctx, "a live stream's reader is dropped", "request_id", problem.RequestID(ctx), "error", err)
	}
}

// liveBegin is where a stream begins: behind the event that the client had last, or at what is new.
type liveBegin struct {
	after uint64
	// missed says that events behind the client's last one may be gone.
	missed bool
}

func (s *Server) liveSource() (liveSource, error) {
	switch {
	case s.live.source != nil:
		return s.live.source, nil
	case s.Stream != nil:
		return s.Stream, nil
	default:
		return nil, problem.Unavailable()
	}
}

func beginLive(ctx context.Context, source liveSource, after uint64, resumes bool) (liveBegin, error) {
	first, last, err := source.LiveKept(ctx)
	switch {
	case err != nil:
		return liveBegin{}, err
	case !resumes:
		return liveBegin{after: last}, nil
	case after+1 < first || after > last: // not kept any more, or of another stream
		return liveBegin{after: last, missed: true}, nil
	}
	return liveBegin{after: after}, nil
}

// sendLive sends what comes until the client or the process goes, or the token does. The era is taken
// before the token is looked at, so that no revocation falls between the two.
func (s *Server) sendLive(ctx context.Context, r *http.Request, out *eventWriter, events <-chan stream.Followed, limits LiveLimits) error {
	beat, look := time.NewTicker(limits.Heartbeat), time.NewTicker(limits.LookAgain)
	defer beat.Stop()
	defer look.Stop()
	era := s.tokens.era()
	if s.noLongerMay(r) {
		return nil
	}
	for {
		select {
		case <-era:
			if era = s.tokens.era(); s.noLongerMay(r) {
				return nil
			}
		case <-look.C:
			if s.noLongerMay(r) {
				return nil
			}
		case <-ctx.Done():
			return nil
		case event, ok := <-events:
			if !ok {
				return nil
			}
			if err := out.event(event); err != nil {
				return err
			}
		case <-beat.C:
			if err := out.write(": still here\n\n"); err != nil {
				return err
			}
		}
	}
}

// noLongerMay says whether the token was revoked or has expired. A database that does not answer
// says nothing about it.
func (s *Server) noLongerMay(r *http.Request) bool {
	_, err := s.authenticate(r, nil, read)
	var refusal *problem.Problem
	return errors.As(err, &refusal) && (refusal.Status == http.StatusUnauthorized || refusal.Status == http.StatusForbidden)
}

// lastEventID is where a client goes on: the header that browsers send when they come again, or the
// parameter for those that cannot set it.
func lastEventID(r *http.Request) (after uint64, resumes bool, err error) {
	name, text := "Last-Event-ID", r.Header.Get("Last-Event-ID")
	if text == "" {
		name, text = "last_event_id", r.URL.Query().Get("last_event_id")
	}
	if text == "" {
		return 0, false, nil
	}
	// The largest that may be added to.
	if after, err = strconv.ParseUint(text, 10, 63); err != nil {
		return 0, false, problem.BadField(name, "must be the id of an event of this stream")
	}
	return after, true, nil
}

// eventWriter writes server-sent events, each within a time.
type eventWriter struct {
	to      io.Writer
	control *http.ResponseController
	within  time.Duration
}

func openEventWriter(c *gin.Context, within time.Duration) *eventWriter {
	header := c.Writer.Header()
	header.Set("Content-Type", eventStreamType)
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no") // what nginx and others go by
	header.Set("Connection", "close")     // the deadline of the last write stays with the connection
	w := &eventWriter{to: c.Writer, control: http.NewResponseController(inbound.Unwrapped(c.Writer)), within: within}
	// The deadline of reading the request would end the stream: it cancels the request's context.
	_ = w.control.SetReadDeadline(time.Time{}) // not every writer has deadlines
	c.Status(http.StatusOK)
	return w
}

const eventStreamType = "text/event-stream"

// liveMissed is the event of a client that names one which is not kept any more.
const liveMissed = "id: %d\nevent: " + liveReset + "\ndata: " +
	`{"detail":"Events after the one that you sent are no longer kept. Reload offers and conversions; new events follow."}` + "\n\n"

// begin tells when to come again and where the stream begins, so that a client that is lost before
// its first event misses nothing either.
func (w *eventWriter) begin(at liveBegin) error {
	text := fmt.Sprintf("retry: %d\nid: %d\n\n", liveRetry.Milliseconds(), at.after)
	if at.missed {
		text += fmt.Sprintf(liveMissed, at.after)
	}
	return w.write(text)
}

func (w *eventWriter) event(followed stream.Followed) error {
	var event stream.LiveEvent
	if err := json.Unmarshal(followed.Data, &event); err != nil {
		slog.Error("no live event", "sequence", followed.Sequence, "error", err)
		return nil
	}
	// Data is JSON of one line: that is how the outbox keeps it.
	return w.write(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", followed.Sequence, event.Kind, event.Data))
}

func (w *eventWriter) write(text string) error {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.within))
	if _, err := io.WriteString(w.to, text); err != nil {
		return err
	}
	return w.control.Flush()
}

// describeLiveStream is what the OpenAPI document says of the live stream.
func describeLiveStream(r *router, path string) {
	operation := r.api.OpenAPI().Paths[path].Get
	id := &huma.Schema{Type: huma.TypeString, Pattern: "^[0-9]*$"}
	operation.Parameters = append(operation.Parameters,
		&huma.Param{Name: "Last-Event-ID", In: "header", Schema: id, Description: "The id of the last event received: the stream continues after it. Without it only new events are sent."},
		&huma.Param{Name: "last_event_id", In: "query", Schema: id, Description: "The same, for clients that cannot set headers."})
	operation.Responses["200"] = &huma.Response{
		Description: "Server-sent events: change, conversion, status, request; reset if events were missed that are no longer kept. The data of each event is one JSON document.",
		Content:     map[string]*huma.MediaType{eventStreamType: {Schema: &huma.Schema{Type: huma.TypeString}}},
	}
	operation.Responses["503"].Description = "Too many live streams are open, or NATS does not answer: try again after Retry-After."
}
