package streamtest

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/stream"
)

// quick is for tests that wait for a heartbeat.
var quick = api.LiveLimits{Heartbeat: 50 * time.Millisecond}

// Each tenant hears its own events alone, in order (rule 60); one that comes without an id hears what
// is new.
func TestALiveStreamIsItsTenantsOwn(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, api.LiveLimits{})
	advertiser, publisher, third := s.tenant("A"), s.tenant("P"), s.tenant("X")
	s.tell(advertiser, "before anybody listened")
	s.relayed()
	a, again, p, x := s.open(advertiser, ""), s.open(advertiser, ""), s.open(publisher, ""), s.open(third, "")
	s.tell(publisher, numbered("p", 50)...)
	s.tell(advertiser, numbered("a", 50)...)
	s.tell(third, "the end")
	a.want(numbered("a", 50)...)
	again.want(numbered("a", 50)...)
	p.want(numbered("p", 50)...)
	x.want("the end")
	for name, value := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
	} {
		if got := a.response.Header.Get(name); got != value {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A client that comes again with the last id that it had gets everything after it, once; also one that
// was lost before its first event, and one that cannot set headers.
func TestALiveStreamGoesOnBehindTheLastEvent(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, api.LiveLimits{})
	me, other := s.tenant("A"), s.tenant("P")
	r := s.open(me, "")
	for round := range 5 {
		s.tell(other, numbered("not mine", 3)...)
		missed := numbered("round "+strconv.Itoa(round), 4)
		s.tell(me, missed[:2]...)
		if round%2 == 1 {
			r.want(missed[0])
			missed = missed[1:]
		}
		r.close()
		s.tell(me, numbered("round "+strconv.Itoa(round), 4)[2:]...)
		s.relayed()
		r = s.resume(me, r)
		r.want(missed...)
	}
	r.close()
	s.tell(me, "by the query")
	r = s.open(me, "?last_event_id="+r.id)
	r.want("by the query")
	// The header is newer than the address that a browser comes again with.
	r = s.open(me, "?last_event_id=0", "Last-Event-ID", r.id)
	s.tell(me, "by the header")
	r.want("by the header")
}

// Where events are missing that are not kept any more the client is told so, and then hears what is new.
func TestALiveStreamTellsWhatItHasNotKept(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, api.LiveLimits{})
	me := s.tenant("A")
	r := s.open(me, "")
	s.tell(me, "first", "second", "third")
	r.want("first")
	first := r.id
	r.want("second", "third")
	events, err := s.JS.Stream(t.Context(), stream.Live)
	if err != nil {
		t.Fatal(err)
	}
	last, _ := strconv.ParseUint(r.id, 10, 64)
	if err := events.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, id := range []string{first, strconv.FormatUint(last+100, 10), "9223372036854775807"} {
		again := s.open(me, "", "Last-Event-ID", id)
		if event, ok := again.next(); !ok || event.name != "reset" || event.id != strconv.FormatUint(last, 10) {
			t.Fatalf("after %s comes %+v", id, event)
		}
		s.tell(me, "new after "+id)
		told = append(told, "new after "+id)
		again.want("new after " + id)
		last, _ = strconv.ParseUint(again.id, 10, 64)
	}
	s.resume(me, r).want(told...) // it had everything that is not kept
}

// The stream server goes away and comes back: within one connection nothing is lost and nothing comes
// twice.
func TestALiveStreamOutlivesTheStreamServer(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, quick)
	me := s.tenant("A")
	s.options.Port = portOf(t, s.nats.URL())
	idle, r := s.open(me, ""), s.open(me, "")
	s.tell(me, numbered("before", 20)...)
	r.want(numbered("before", 20)...)
	for round := range 2 {
		away := numbered("away "+strconv.Itoa(round), 20)
		s.server.stop(t)
		s.tell(me, away...)
		comments := r.comments
		for r.comments < comments+3 { // the client is not left alone meanwhile
			if event, ok := r.dispatched(); !ok || event.name != "" {
				t.Fatalf("%+v without a server", event)
			}
		}
		s.server.start(t)
		r.want(away...)
	}
	s.tell(me, "after")
	r.want("after")
	idle.want(numbered("before", 20)...) // it has read nothing so far
	idle.want(numbered("away 0", 20)...)
	idle.want(numbered("away 1", 20)...)
	idle.want("after")
}

// What is no id is refused, as are those who may not read, and those above the bounds are to come later.
func TestALiveStreamIsRefused(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, api.LiveLimits{PerTenant: 2, PerProcess: 3})
	me, other, third := s.tenant("A"), s.tenant("P"), s.tenant("X")
	status := func(as *blackbox.Client, query string, header ...string) (int, string, string) {
		t.Helper()
		response := s.request(t.Context(), as, query, header...)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, response.Header.Get("Retry-After"), string(body)
	}
	for _, id := range []string{"x", "-1", "1.5", "1 2", "0x1", "9223372036854775808", "1e3"} {
		code, _, body := status(me, "", "Last-Event-ID", id)
		if code != http.StatusBadRequest || !strings.Contains(body, "Last-Event-ID") {
			t.Errorf("header %q: %d %s", id, code, body)
		}
	}
	if code, _, body := status(me, "?last_event_id=x"); code != http.StatusBadRequest || !strings.Contains(body, "last_event_id") {
		t.Errorf("%d %s", code, body)
	}
	if code, _, _ := status(blackbox.New(s.web.URL, "of_nobodys"), ""); code != http.StatusUnauthorized {
		t.Errorf("a stranger: %d", code)
	}
	if code, _, _ := status(s.partnerOf(me), ""); code != http.StatusForbidden {
		t.Errorf("a partner: %d", code)
	}
	r := s.open(me, "")
	s.open(me, "")
	if code, retry, body := status(me, ""); code != http.StatusServiceUnavailable || retry == "" || !strings.Contains(body, "maximum of 2 open") {
		t.Errorf("a third of a tenant: %d, %q, %s", code, retry, body)
	}
	s.open(other, "")
	if code, retry, _ := status(third, ""); code != http.StatusServiceUnavailable || retry == "" {
		t.Errorf("a fourth of the process: %d, %q", code, retry)
	}
	r.close()
	eventually(t, "a place is free again", func() bool {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		response := s.request(ctx, third, "")
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

func (s *liveSite) partnerOf(tenant *blackbox.Client) *blackbox.Client {
	s.t.Helper()
	id, err := tenant.NewPartner(s.t.Context(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return blackbox.New(s.web.URL, s.token(tenant, map[string]any{"name": "partner", "scope": "partner", "partnerId": id}).Token)
}

type madeToken struct{ ID, Token string }

func (s *liveSite) token(tenant *blackbox.Client, fields map[string]any) (made madeToken) {
	s.t.Helper()
	if err := tenant.Call(s.t.Context(), http.MethodPost, "/api/v1/tokens", fields, &made); err != nil {
		s.t.Fatal(err)
	}
	return made
}

// While the stream server is away nothing can be followed: the client is to come again.
func TestALiveStreamNeedsTheStreamServer(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, api.LiveLimits{})
	me := s.tenant("A")
	s.server.stop(t)
	response := s.request(t.Context(), me, "")
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("%d", response.StatusCode)
	}
}

// A token that is revoked, or expires, ends the stream at the next heartbeat, and no other's.
func TestALiveStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, quick)
	me := s.tenant("A")
	revoked := s.token(me, map[string]any{"name": "revoked", "scope": "readonly"})
	expires := s.token(me, map[string]any{"name": "expires", "scope": "finance", "expiresAt": time.Now().Add(time.Hour)})
	keeps := s.open(me, "")
	first, second := s.open(blackbox.New(s.web.URL, revoked.Token), ""), s.open(blackbox.New(s.web.URL, expires.Token), "")
	if err := me.Call(t.Context(), http.MethodDelete, "/api/v1/tokens/"+revoked.ID, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SystemPool().Exec(t.Context(), "UPDATE api_tokens SET expires_at = now() WHERE id = $1", expires.ID); err != nil {
		t.Fatal(err)
	}
	first.ends()
	second.ends()
	s.tell(me, "after")
	keeps.want("after")
	eventually(t, "a heartbeat", func() bool { // all that came before may have taken less time than its interval
		s.tell(me, "again")
		keeps.want("again")
		return keeps.comments > 0
	})
}

// A reader that takes nothing is dropped; others hear everything meanwhile.
func TestASlowReaderIsDropped(t *testing.T) {
	t.Parallel()
	// Long for a reader that only waits for its turn on a busy machine, short for one that reads nothing.
	s := newLiveSite(t, api.LiveLimits{PerTenant: 2, WriteWithin: 3 * time.Second})
	me := s.tenant("A")
	slow, err := net.Dial("tcp", s.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := io.WriteString(slow, "GET "+livePath+" HTTP/1.1\r\nHost: x\r\nAuthorization: ApiToken "+me.Token+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := s.open(me, "")
	full := func() bool {
		response := s.request(t.Context(), me, "")
		defer response.Body.Close()
		return response.StatusCode == http.StatusServiceUnavailable
	}
	eventually(t, "two are open", full)
	long := strings.Repeat("x", 200<<10)
	eventually(t, "the slow reader goes", func() bool {
		s.tell(me, long, long)
		r.want(long, long)
		return !full()
	})
	s.tell(me, "after")
	r.want("after")
}

// A stop of the process does not wait for live streams, and their clients lose nothing by it.
func TestAStopEndsLiveStreams(t *testing.T) {
	t.Parallel()
	s := newLiveSite(t, quick)
	me := s.tenant("A")
	r := s.open(me, "")
	s.tell(me, "before")
	r.want("before")
	began := time.Now()
	for time.Since(began) < 3*s.web.Config.ReadTimeout { // it has outlived the deadline of its request
		if _, ok := r.dispatched(); !ok {
			t.Fatal("cut")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := s.web.Config.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	r.ends()
}

// An edit of very long texts is told without them: what the stream server never takes would hold up
// every other event.
func TestALongChangeIsToldWithoutItsValues(t *testing.T) {
	t.Parallel()
	change := func(value string) stream.LiveChangeData {
		return stream.LiveChangeData{Version: 2, Side: domain.SideAdvertiser, Changes: []stream.LiveFieldChange{
			{Field: "name", Old: []byte(`"old"`), New: []byte(`"` + value + `"`)},
		}}
	}
	for value, want := range map[string]string{
		"new":                      `"changes":[{"field":"name","old":"old","new":"new"}],"at":"0001-01-01T00:00:00Z"}`,
		strings.Repeat("n", 1<<20): `"changes":[{"field":"name","old":null,"new":null}],"at":"0001-01-01T00:00:00Z","truncated":true}`,
	} {
		text, err := stream.NewLiveEvent(uuid.New(), stream.LiveChange, time.Time{}, change(value))
		if err != nil || !strings.Contains(string(text), want) || len(text) > 300<<10 {
			t.Errorf("%v: %.300s", err, text)
		}
	}
}
