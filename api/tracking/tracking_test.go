package tracking

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/api/offercache/cachetest"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/inbound"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

// edge is the tracking edge with streams and answers in memory.
type edge struct {
	*Edge
	engine *gin.Engine
	mu     sync.Mutex
	failed error
	click  []domain.Click
	posted []stream.PostbackMessage
	// decide makes the decision on a postback; nil makes none.
	decide func(domain.Postback) *domain.Answer
	stored map[uuid.UUID]domain.Answer

	tenant  dbgen.Tenant
	offer   domain.Offer
	partner dbgen.Partner
	link    dbgen.Link
	at      time.Time
	// store is the database of save.
	store *db.Store
}

type clickRecorder struct{ *edge }

func (r clickRecorder) Publish(_ context.Context, click *domain.Click) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.edge.click = append(r.edge.click, *click)
	return r.failed
}

type messageRecorder struct{ *edge }

func (r messageRecorder) Publish(_ context.Context, _, id string, data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return r.failed
	}
	var message stream.PostbackMessage
	if err := json.Unmarshal(data, &message); err != nil {
		return err
	}
	if id != message.Postback.ID.String() {
		return errors.New("message id is not the postback's")
	}
	r.posted = append(r.posted, message)
	if r.edge.decide != nil && message.ReplyTo != "" {
		if answer := r.edge.decide(message.Postback); answer != nil {
			reply, _ := json.Marshal(answer)
			r.replies.heard(message.ReplyTo, reply)
		}
	}
	return nil
}

type refusalRecorder struct{ *edge }

func (r refusalRecorder) Publish(_ context.Context, refused *domain.Postback) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.posted = append(r.posted, stream.PostbackMessage{Postback: *refused})
	}
	return r.failed
}

// unbounded budgets are for tests of something else.
func unbounded() *spending {
	const many = 1 << 30
	all := newSpending(RefusedBudgets{PerAddress: many / burstSeconds, PerKey: many / burstSeconds, Total: many / burstSeconds})
	all.futiles = lookup.NewBudgets(1, many)
	return all
}

type storedAnswerRecorder struct{ *edge }

func (r storedAnswerRecorder) answer(_ context.Context, id uuid.UUID) (domain.Answer, error) {
	answer, ok := r.stored[id]
	if !ok {
		return answer, pgx.ErrNoRows
	}
	return answer, nil
}

func newEdge(t testing.TB) *edge {
	t.Helper()
	gin.SetMode(gin.TestMode)
	keys, err := keyring.Parse(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{at: time.Date(2026, 5, 13, 12, 0, 0, 0, time.UTC), stored: map[uuid.UUID]domain.Answer{}}
	places, err := NewGeoIP(Config{TrustedProxies: []string{"10.0.0.0/8"}, CountryHeader: "CF-IPCountry"})
	if err != nil {
		t.Fatal(err)
	}
	e.Edge = &Edge{
		cookieScope: cookieScope("https://offers.example"), keys: keys, offers: offercache.New(nil, keys), clicks: clickRecorder{e}, messages: messageRecorder{e},
		answers: storedAnswerRecorder{e}, asked: lookup.NewAsked("answer"), replies: newReplies("_INBOX.test"), places: places,
		waiting: inbound.NewPlaces(4, 4), now: func() time.Time { return e.at },
		refusals: refusalRecorder{e}, spending: unbounded(),
	}
	s := cachetest.New(keys, e.at)
	e.tenant, e.partner, e.offer, e.link = s.Tenant, s.Partner, s.Offer, s.Link
	e.engine = gin.New()
	if err := e.engine.SetTrustedProxies([]string{"10.0.0.0/8"}); err != nil {
		t.Fatal(err)
	}
	e.engine.HandleMethodNotAllowed, e.engine.UseRawPath = true, true
	e.Strays(e.engine)
	e.engine.GET("/c/:linkId", e.ClickTracked)
	e.engine.HEAD("/c/:linkId", e.LinkProbed)
	e.engine.GET("/wall", e.WallClickTracked)
	e.engine.GET("/track", e.PostbackTracked)
	e.engine.POST("/track", e.PostbackTracked)
	e.engine.GET("/track/:advertiserKey", e.KeyedGetTracked)
	e.engine.POST("/track/:advertiserKey", e.PostbackTracked)
	e.engine.GET("/aff_c", e.TuneClickTracked)
	e.engine.GET("/aff_l", e.LeadPixelTracked)
	e.engine.GET("/pixel.gif", e.ImagePixelTracked)
	e.engine.GET("/pixel", e.FramePixelTracked)
	e.engine.GET("/SL:code", e.OpaquePixelTracked)
	e.engine.GET("/GL:code", e.OpaqueGoalPixelTracked)
	for path, handler := range map[string]gin.HandlerFunc{
		"/aff_lsr": e.LeadTracked, "/aff_goal": e.GoalTracked, "/SP:code": e.OpaqueTracked, "/GP:code": e.OpaqueGoalTracked,
	} {
		e.engine.GET(path, handler)
		e.engine.POST(path, handler)
	}
	return e
}

// save puts the edge's tenant, partner, offer and link into a database, and leaves its memory empty.
func (e *edge) save(t testing.TB) *pgx.Conn {
	t.Helper()
	s := cachetest.Sample{Tenant: e.tenant, Partner: e.partner, Offer: e.offer, Link: e.link}
	store, conn := s.Save(t)
	e.store, e.offers = store, offercache.New(store, e.keys)
	return conn
}

// load puts the edge's tenant, offer, partner and link into its memory.
func (e *edge) load(t testing.TB) {
	t.Helper()
	document, err := json.Marshal(e.offer)
	if err != nil {
		t.Fatal(err)
	}
	e.offers.PutTenant(e.tenant)
	e.offers.PutPartner(e.partner)
	if err := e.offers.PutOffer(e.offer.ID, e.offer.Version, document, nil, nil); err != nil {
		t.Fatal(err)
	}
	e.offers.PutLink(&e.link)
}

func (e *edge) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	inbound.CloseUnread(Tolerant(e.engine)).ServeHTTP(w, r)
	return w
}

func (e *edge) get(path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr = "10.1.1.1:1234"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return e.serve(r)
}
