package streamtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/stream"
)

const livePath = "/api/v1/exchange/stream"

// liveSite is an API with a stream server, an outbox and its relay.
type liveSite struct {
	*server
	*outbox
	t        *testing.T
	api      *api.Server
	web      *httptest.Server
	relay    *stream.Relay
	operator *blackbox.Client
}

func newLiveSite(t *testing.T, limits api.LiveLimits) *liveSite {
	t.Helper()
	site := &liveSite{server: newServer(t), outbox: newOutbox(t), t: t}
	site.relay = site.relaying(site.server, 1)[0]
	keys, err := keyring.Parse(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	const token = "the-operators-token"
	site.api = &api.Server{
		Store: site.Store, Keys: keys, Stream: site.Conn, Relay: site.relay, Live: limits,
		Config: api.Config{PublicURL: "https://offers.example.com", OperatorTokenHash: keys.Hash(token)},
	}
	handler, err := site.api.Handler()
	if err != nil {
		t.Fatal(err)
	}
	site.web = httptest.NewUnstartedServer(handler)
	// As short as a stream outlives many times over: the usual 60 s would end it too.
	site.web.Config.ReadTimeout = time.Second
	site.web.Config.IdleTimeout = time.Minute // or a request may meet the end of the connection that it takes
	site.web.Config.RegisterOnShutdown(site.api.EndLiveStreams)
	site.web.Start()
	t.Cleanup(func() {
		site.api.EndLiveStreams()
		site.web.Close()
	})
	site.operator = blackbox.New(site.web.URL, token)
	return site
}

func (s *liveSite) tenant(name string) *blackbox.Client {
	s.t.Helper()
	tenant, err := s.operator.NewTenant(s.t.Context(), map[string]any{"name": name})
	if err != nil {
		s.t.Fatal(err)
	}
	return tenant
}

// tell writes status events for a tenant, told apart by their reasons, as an edit's transaction does.
func (s *liveSite) tell(to *blackbox.Client, reasons ...string) {
	s.t.Helper()
	writer := uuid.New() // the other side's tenant
	err := s.Tenant(s.t.Context(), writer, func(ctx context.Context, tx pgx.Tx) error {
		for _, reason := range reasons {
			id, err := uuid.NewV7()
			if err != nil {
				return err
			}
			payload, err := stream.NewLiveEvent(id, stream.LiveStatus, time.Now(), stream.LivePartnershipData{Reason: reason})
			if err != nil {
				return err
			}
			err = dbgen.New().InsertOutbox(s.t.Context(), tx, dbgen.InsertOutboxParams{
				TenantID: writer, ID: id, Subject: stream.SubjectLive + to.TenantID, Payload: payload,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.relay.Nudge()
}

// relayed waits until the outbox is empty.
func (s *liveSite) relayed() {
	s.t.Helper()
	eventually(s.t, "the outbox is empty", func() bool { return s.waiting() == 0 })
}

// reader is an open live stream, read as the standard tells.
type reader struct {
	t        *testing.T
	response *http.Response
	close    context.CancelFunc
	lines    chan string
	// id is the last that was received, retry what the server asked for.
	id, retry string
	comments  int
}

type liveEvent struct{ id, name, reason string }

func (s *liveSite) request(ctx context.Context, as *blackbox.Client, query string, header ...string) *http.Response {
	s.t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.web.URL+livePath+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "ApiToken "+as.Token)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	return response
}

// open opens a tenant's stream and reads where it begins.
func (s *liveSite) open(as *blackbox.Client, query string, header ...string) *reader {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	response := s.request(ctx, as, query, header...)
	if response.StatusCode != http.StatusOK {
		s.t.Fatalf("the stream answers %d", response.StatusCode)
	}
	r := &reader{t: s.t, response: response, close: func() { cancel(); _ = response.Body.Close() }, lines: make(chan string)}
	s.t.Cleanup(r.close)
	go func() {
		defer close(r.lines)
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			select {
			case r.lines <- lines.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	if event, ok := r.dispatched(); !ok || event.name != "" || r.retry == "" || r.id == "" {
		s.t.Fatalf("the stream begins with %+v, retry %q, id %q", event, r.retry, r.id)
	}
	return r
}

// resume opens a stream behind the last event of another, which is over.
func (s *liveSite) resume(as *blackbox.Client, was *reader) *reader {
	was.close()
	return s.open(as, "", "Last-Event-ID", was.id)
}

// dispatched reads to the next empty line; ok is false at the stream's end.
func (r *reader) dispatched() (event liveEvent, ok bool) {
	r.t.Helper()
	deadline := time.After(soon)
	for {
		select {
		case <-deadline:
			r.t.Fatal("nothing comes")
		case line, open := <-r.lines:
			if !open {
				return event, false
			}
			if line == "" {
				event.id = r.id
				return event, true
			}
			r.field(&event, line)
		}
	}
}

func (r *reader) field(event *liveEvent, line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "":
		r.comments++
	case "id":
		r.id = value
	case "retry":
		r.retry = value
	case "event":
		event.name = value
	case "data":
		var data struct{ Reason string }
		if err := json.Unmarshal([]byte(value), &data); err != nil {
			r.t.Errorf("%v: %s", err, value)
		}
		event.reason = data.Reason
	default:
		r.t.Errorf("line %q", line)
	}
}

// next is the next event; comments are none.
func (r *reader) next() (liveEvent, bool) {
	r.t.Helper()
	for {
		event, ok := r.dispatched()
		if !ok || event.name != "" {
			return event, ok
		}
	}
}

// want reads status events and checks their reasons, in order, and that their ids grow.
func (r *reader) want(reasons ...string) {
	r.t.Helper()
	for _, reason := range reasons {
		before, _ := strconv.ParseUint(r.id, 10, 64)
		event, ok := r.next()
		if !ok || event.name != stream.LiveStatus || event.reason != reason {
			r.t.Fatalf("%.200s comes, %v, in place of %.100q", fmt.Sprint(event), ok, reason)
		}
		if id, err := strconv.ParseUint(event.id, 10, 64); err != nil || id <= before {
			r.t.Fatalf("id %q after %d", event.id, before)
		}
	}
}

// ends waits for the end of the stream.
func (r *reader) ends() {
	r.t.Helper()
	if event, ok := r.next(); ok {
		r.t.Fatalf("%+v in place of the end", event)
	}
}

// numbered are n reasons.
func numbered(prefix string, n int) (reasons []string) {
	for i := range n {
		reasons = append(reasons, fmt.Sprintf("%s %d", prefix, i))
	}
	return reasons
}
