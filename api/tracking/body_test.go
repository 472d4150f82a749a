package tracking

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/inbound"
	"github.com/offerflow/offerflow/keyring"
)

// dial connects to an edge that is served over the network.
func (e *edge) dial(t *testing.T, server *httptest.Server) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn, bufio.NewReader(conn)
}

func (e *edge) overNetwork(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(inbound.CloseUnread(Tolerant(e.engine)))
	t.Cleanup(server.Close)
	return server
}

// postbackPaths are all forms of a postback's address that take a body.
func (e *edge) postbackPaths() []string {
	return []string{
		"/track", "/track/akey", "/aff_lsr", "/aff_goal", "/SP" + e.code(domain.OpaquePostback, uuid.Nil), "/GP" + e.code(domain.OpaqueGoalPostback, uuid.Must(uuid.NewV7())),
		"/track/no/such/address", "/postback/far/away", "/aff_lsr/x", "/aff_goal/x",
	}
}

// A body that never arrives holds no place, whatever the form of the postback: the server asks for
// the body (100 Continue) while every place is free.
func TestBodyThatNeverArrivesHoldsNoPlace(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.decide = func(domain.Postback) *domain.Answer { return &domain.Answer{Outcome: domain.OutcomeAccepted} }
	server := e.overNetwork(t)
	for _, path := range e.postbackPaths() {
		conn, in := e.dial(t, server)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n", path)
		line, err := in.ReadString('\n')
		require.NoError(t, err, path)
		require.Contains(t, line, "100 Continue", path)
		require.Zero(t, e.waiting.Held(), path)
	}
	answer, err := server.Client().Get(server.URL + "/track?gk_click_id=" + e.keys.NewID(keyring.KindClick, e.at).String())
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusOK, answer.StatusCode)
}

// The body of a GET or HEAD is not read, on any route: the answer comes without it, and the
// connection is closed.
func TestBodyOfGetIsNotRead(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.decide = func(domain.Postback) *domain.Answer { return &domain.Answer{Outcome: domain.OutcomeAccepted} }
	e.load(t)
	server := e.overNetwork(t)
	click, link := e.keys.NewID(keyring.KindClick, e.at).String(), e.link.ID.String()
	sent := strings.NewReader("gk_click_id=" + click)
	r := httptest.NewRequest(http.MethodGet, "/track", sent)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	require.Equal(t, http.StatusBadRequest, e.serve(r).Code, "what stands in the body of a GET says nothing")
	for _, request := range []string{
		"GET /track?gk_click_id=" + click, "GET /track/akey?gk_click_id=" + click, "GET /aff_lsr?transaction_id=" + click,
		"GET /aff_goal?a=lsr&transaction_id=" + click, "GET /aff_l?transaction_id=" + click, "GET /pixel?gk_click_id=" + click,
		"GET /pixel.gif?gk_click_id=" + click, "GET /c/" + link, "HEAD /c/" + link, "GET /aff_c?offer_id=x", "GET /no/such/route",
	} {
		for _, length := range []string{"Content-Length: 1", "Content-Length: 999999999", "Transfer-Encoding: chunked"} {
			t.Run(request+" "+length, func(t *testing.T) {
				t.Parallel()
				conn, in := e.dial(t, server)
				method, _, _ := strings.Cut(request, " ")
				fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", request, length)
				answer, err := http.ReadResponse(in, &http.Request{Method: method})
				require.NoError(t, err)
				require.True(t, answer.Close, "the connection is not kept")
				_, err = io.Copy(io.Discard, answer.Body)
				require.NoError(t, err)
				_, err = in.ReadByte()
				require.ErrorIs(t, err, io.EOF, "the connection is closed")
			})
		}
	}
}

// A POST that is answered without its body, as where no route is for it, is not waited for either.
// What is read keeps its connection.
func TestUnreadBodyEndsTheConnection(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.decide = func(domain.Postback) *domain.Answer { return &domain.Answer{Outcome: domain.OutcomeAccepted} }
	server := e.overNetwork(t)
	conn, in := e.dial(t, server)
	fmt.Fprint(conn, "POST /no/such/route HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
	answer, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, answer.StatusCode)
	require.True(t, answer.Close)

	conn, in = e.dial(t, server)
	body := "gk_click_id=" + e.keys.NewID(keyring.KindClick, e.at).String()
	for range 2 {
		fmt.Fprintf(conn, "POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		answer, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.StatusCode)
		require.False(t, answer.Close, "the connection is kept")
		_, err = io.Copy(io.Discard, answer.Body)
		require.NoError(t, err)
	}
}

// Of a body that is too long no more is read than shows it; the postback is in the log all the same.
func TestLongPostbackBodyIsNotRead(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	sent := &counted{Reader: strings.NewReader(strings.Repeat("x", 1<<20))}
	w := e.serve(httptest.NewRequest(http.MethodPost, "/track?gk_click_id="+e.keys.NewID(keyring.KindClick, e.at).String(), sent))
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, w.Body.String(), "64 KiB")
	require.LessOrEqual(t, sent.read, 2*maxPostbackBody)
	require.Len(t, e.posted, 1)
}

type counted struct {
	io.Reader
	read int
}

func (r *counted) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.read += n
	return n, err
}

// A place is not held while the answer is written: a client that does not read keeps nothing.
func TestAnswerHoldsNoPlace(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.decide = func(domain.Postback) *domain.Answer {
		require.Equal(t, 1, e.waiting.Held(), "one is held while the decision is waited for")
		return &domain.Answer{Outcome: domain.OutcomeAccepted}
	}
	click := e.keys.NewID(keyring.KindClick, e.at).String()
	for _, path := range []string{"/track?gk_click_id=" + click, "/track", "/aff_lsr?transaction_id=" + click, "/aff_lsr", "/pixel.gif?gk_click_id=" + click} {
		w := &watchedWriter{ResponseRecorder: httptest.NewRecorder(), wrote: func() { require.Zero(t, e.waiting.Held(), path) }}
		e.engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.NotZero(t, w.Body.Len())
	}
}

type watchedWriter struct {
	*httptest.ResponseRecorder
	wrote func()
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	w.wrote()
	return w.ResponseRecorder.Write(p)
}

// One address takes no more than its part of the places: another is served beside it.
func TestPlacesOfOneAddress(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.waiting = inbound.NewPlaces(4, 2)
	e.decide = func(p domain.Postback) *domain.Answer {
		return &domain.Answer{PostbackID: p.ID, Outcome: domain.OutcomeAccepted}
	}
	attacker, neighbour := "192.0.2.1", "192.0.2.2"
	for e.waiting.Enter(inbound.ParseSource(attacker)) {
	}
	path := "/track?gk_click_id=" + e.keys.NewID(keyring.KindClick, e.at).String()
	w := e.get(path, "X-Forwarded-For", attacker)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	require.Equal(t, http.StatusOK, e.get(path, "X-Forwarded-For", neighbour).Code)
}
