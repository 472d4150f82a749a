package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/worker/workertest"
)

// The tracking edge of TestEveryRouteKeepsTenantsApart, with all that a worker does behind it: at once,
// so that nothing is waited for, and on the real database, so that decisions are tried like routes are.

// edge is the way of clicks and postbacks, and what came along it.
type edge struct {
	*site
	decisions *attribution.Decisions

	mu sync.Mutex
	// clicks and postbacks are the ids of those that came since the last call of came, failures what
	// went wrong behind the edge.
	clicks, postbacks []uuid.UUID
	failures          []error
}

// edgeOf gives a server, before its routes are made, an edge, and live streams that show what the log
// keeps. It needs behind before anything comes.
func edgeOf(t *testing.T, server *api.Server, live *liveLog) *edge {
	t.Helper()
	e := &edge{}
	require.NoError(t, server.TrackWith(t.Context(), e.takeClick, e.takePostback))
	server.FollowLive(live)
	t.Cleanup(server.EndLiveStreams)
	return e
}

// behind is what a worker does behind the edge.
func (e *edge) behind(t *testing.T, s *site, decisions *attribution.Decisions) *edge {
	t.Helper()
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	deliveries := delivery.NewDeliveries(s.store, s.api.Keys, outbound.New(loopback, nil), nil)
	t.Cleanup(deliveries.Wait)
	e.site, e.decisions = s, decisions
	relay := &testsNews{edge: e, deliveries: deliveries}
	s.api.Relay, decisions.Nudge = relay, relay.Nudge
	return e
}

// came are the clicks and postbacks that came since it was called last.
func (e *edge) came() (clicks, postbacks []uuid.UUID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	clicks, postbacks = e.clicks, e.postbacks
	e.clicks, e.postbacks = nil, nil
	return clicks, postbacks
}

func (e *edge) failed(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures = append(e.failures, err)
}

func (e *edge) takeClick(click domain.Click) error {
	e.mu.Lock()
	e.clicks = append(e.clicks, click.ID)
	e.mu.Unlock()
	packed, err := json.Marshal([]domain.Click{click})
	if err != nil {
		return err
	}
	return (&attribution.Clicks{Store: e.store}).Insert(context.Background(), packed)
}

// takePostback lets the worker's consumer decide, the way it does without a workflow engine.
func (e *edge) takePostback(postback domain.Postback) (domain.Answer, bool) {
	e.mu.Lock()
	e.postbacks = append(e.postbacks, postback.ID)
	e.mu.Unlock()
	answer, err := workertest.ConsumerOf(e.decisions).Answer(context.Background(), &postback, false)
	if err != nil { // the sender is told something at once: it would wait for a decision
		e.failed(err)
		answer = domain.Answer{PostbackID: postback.ID, Outcome: domain.OutcomeRefused, Reason: domain.ReasonMalformed}
	}
	return answer, true
}

// testsNews brings the news of test conversions to their endpoints, and leaves all other news in the
// outbox: it is another tenant's, as often as not, and rows of others are compared.
type testsNews struct {
	*edge
	deliveries *delivery.Deliveries
}

func (n *testsNews) Nudge() {
	ctx := context.Background()
	messages, err := n.taken(`subject = '` + stream.SubjectConversion + `' AND payload @> '{"isTest": true}'`)
	for _, message := range messages {
		var event stream.ConversionEvent
		if err == nil {
			err = json.Unmarshal(message.Data, &event)
		}
		if err == nil {
			err = n.deliveries.HandleConversion(ctx, event)
		}
	}
	if err != nil {
		n.failed(err)
	}
}

type sent struct {
	Subject string
	Data    []byte
}

// taken are messages out of the outbox, in order.
func (s *site) taken(where string) ([]sent, error) {
	rows, err := s.store.SystemPool().Query(context.Background(), `WITH gone AS (DELETE FROM outbox WHERE `+where+` RETURNING position, subject, payload)
		SELECT subject, payload FROM gone ORDER BY position`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[sent])
}

// liveLog stands in for the stream server behind live streams: it keeps what was told to whom.
type liveLog struct {
	mu   sync.Mutex
	kept []sent
	// more is closed when there is more.
	more chan struct{}
}

func newLiveLog() *liveLog { return &liveLog{more: make(chan struct{})} }

// relay takes live events out of the outbox.
func (l *liveLog) relay(s *site) {
	s.t.Helper()
	events, err := s.taken(`starts_with(subject, '` + stream.SubjectLive + `')`)
	require.NoError(s.t, err)
	for _, event := range events {
		l.tell(event.Subject, event.Data)
	}
}

func (l *liveLog) tell(subject string, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, sent{subject, data})
	close(l.more)
	l.more = make(chan struct{})
}

// toldBut is how much was told to whom, but for one tenant.
func (l *liveLog) toldBut(r *rich) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := map[string]int{}
	for _, event := range l.kept {
		if event.Subject != stream.SubjectLive+r.tenantID.String() && !isMarker(event.Data) {
			told[event.Subject]++
		}
	}
	return told
}

func (l *liveLog) after(place uint64) (events []sent, more chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept[place:], l.more
}

// LiveKept is the stream server's.
func (l *liveLog) LiveKept(context.Context) (first, last uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return 1, uint64(len(l.kept)), nil
}

// Follow is the stream server's.
func (l *liveLog) Follow(ctx context.Context, subject string, place uint64) (<-chan stream.Followed, error) {
	followed := make(chan stream.Followed)
	go func() {
		defer close(followed)
		for {
			events, more := l.after(place)
			for _, event := range events {
				place++
				if event.Subject != subject {
					continue
				}
				select {
				case followed <- stream.Followed{Sequence: place, Data: event.Data}:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-more:
			case <-ctx.Done():
				return
			}
		}
	}()
	return followed, nil
}

const marker = "the end of what was told"

func isMarker(data []byte) bool { return strings.Contains(string(data), marker) }

// listen reads a tenant's live stream from its first event to one that marks the end of what was told so
// far: an answer without an end is not waited for.
func (r *rich) listen(path string) *answer {
	r.t.Helper()
	end := marker + " " + uuid.NewString()
	r.live.relay(r.site)
	event, err := stream.NewLiveEvent(uuid.New(), stream.LiveStatus, clocktest.Now(), stream.LivePartnershipData{Reason: end})
	require.NoError(r.t, err)
	r.live.tell(stream.SubjectLive+r.tenantID.String(), event)

	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	require.NoError(r.t, err)
	request.Header.Set("Last-Event-ID", "0")
	for name, value := range r.me.headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(r.t, err)
	defer response.Body.Close()
	out := &answer{t: r.t, status: response.StatusCode, header: response.Header}
	if response.StatusCode != http.StatusOK {
		out.body, err = io.ReadAll(response.Body)
		require.NoError(r.t, err)
		return out
	}
	lines := bufio.NewReader(response.Body)
	for !strings.Contains(string(out.body), end) {
		line, err := lines.ReadString('\n')
		require.NoError(r.t, err, "the stream ends: %s", out.body)
		out.body = append(out.body, line...)
	}
	return out
}

// toldBut is how much was told in the live streams of all tenants but one.
func (w *world) toldBut(r *rich) map[string]int {
	w.t.Helper()
	w.live.relay(w.site)
	return w.live.toldBut(r)
}
