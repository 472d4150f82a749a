package api

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/semaphore"

	"github.com/offerflow/offerflow/api/problem"
)

// weight says how much of its tenant's share a route's request may take.
type weight int

const (
	// light is most routes: a few statements by key.
	light weight = iota
	// listed routes page through a table.
	listed
	// heavy routes add up or export: reports, CSV.
	heavy
	// endless routes last as long as their client wants, and hold no connection: live streams, uploads.
	endless
)

const (
	// defaultConns is taken where Config.DatabaseConns is not set.
	defaultConns = 40
	// crowdWait is how long a request waits for its tenant's earlier ones.
	crowdWait = 2 * time.Second
	// crowdQueue times as many as may be in flight may wait; what comes then is refused at once.
	crowdQueue = 8
)

var crowdedOut = promauto.NewCounter(prometheus.CounterOpts{
	Name: "offerflow_crowded_out_total", Help: "Requests answered 503 because too many requests of their tenant were in progress.",
})

// crowd bounds the requests with a token that one tenant may have in flight, so that one that sends too
// many waits for itself and not the others for it: it never has more than 2 of 5 of the connections, its
// lists half and its reports a quarter of these, and no more than the cores can work on. The zero
// value is ready.
type crowd struct {
	mu      sync.Mutex
	tenants map[uuid.UUID]*tenantCrowd
}

type tenantCrowd struct {
	// here are its requests in flight and waiting.
	here   int
	shares [heavy + 1]*semaphore.Weighted
}

// crowdShares are how many requests of a tenant may be in flight: of any weight, of lists, of reports. Lists and
// reports keep a core busy here and another in the database: more of them at once than there are cores
// would answer none of them sooner, and others later.
func crowdShares(conns int) [heavy + 1]int64 {
	if conns <= 0 {
		conns = defaultConns
	}
	all, busy := max(2, conns*2/5), max(2, runtime.GOMAXPROCS(0))
	return [heavy + 1]int64{int64(all), int64(max(1, min(all/2, busy))), int64(max(1, min(all/4, busy)))}
}

// enter waits for a place, which leave gives back; ok is false where there is none in time.
func (c *crowd) enter(ctx context.Context, tenantID uuid.UUID, of weight, conns int) (leave func(), ok bool) {
	most := crowdShares(conns)
	c.mu.Lock()
	tenant := c.tenants[tenantID]
	if tenant == nil {
		tenant = &tenantCrowd{}
		for i := range tenant.shares {
			tenant.shares[i] = semaphore.NewWeighted(most[i])
		}
		if c.tenants == nil {
			c.tenants = map[uuid.UUID]*tenantCrowd{}
		}
		c.tenants[tenantID] = tenant
	}
	if tenant.here >= int(most[light])*(1+crowdQueue) {
		c.mu.Unlock()
		return nil, false
	}
	tenant.here++
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, crowdWait)
	defer cancel()
	if !tenant.acquire(ctx, of) {
		c.gone(tenantID, tenant)
		return nil, false
	}
	return func() {
		tenant.release(of)
		c.gone(tenantID, tenant)
	}, true
}

// acquire takes the narrower share first, so that lists that wait for each other take no place from others.
func (t *tenantCrowd) acquire(ctx context.Context, of weight) bool {
	if of != light && t.shares[of].Acquire(ctx, 1) != nil {
		return false
	}
	if t.shares[light].Acquire(ctx, 1) == nil {
		return true
	}
	if of != light {
		t.shares[of].Release(1)
	}
	return false
}

func (t *tenantCrowd) release(of weight) {
	t.shares[light].Release(1)
	if of != light {
		t.shares[of].Release(1)
	}
}

func (c *crowd) gone(tenantID uuid.UUID, tenant *tenantCrowd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tenant.here--; tenant.here == 0 {
		delete(c.tenants, tenantID)
	}
}

// inTurn lets a request in when its tenant has not too many in flight. It stands behind the reading of the
// body: nothing waits for a client in here. The operator's own routes are nobody's share.
func (s *Server) inTurn(of weight) gin.HandlerFunc {
	return func(c *gin.Context) {
		tenantID := principal(c.Request.Context()).TenantID
		if tenantID == uuid.Nil {
			return
		}
		leave, ok := s.crowd.enter(c.Request.Context(), tenantID, of, s.Config.DatabaseConns)
		if !ok {
			problem.Write(c, crowded("This tenant has too many requests in progress. Send fewer at a time."))
			return
		}
		defer leave()
		c.Next()
	}
}

// crowded is 503 for who has too many requests in flight.
func crowded(detail string) *problem.Problem {
	crowdedOut.Inc()
	return problem.New(http.StatusServiceUnavailable, detail).RetryAfter(time.Second)
}

// turnOf is how a route's requests come in.
func (s *Server) turnOf(line route) gin.HandlerFunc {
	turn := s.inTurn(line.weight)
	if line.batched {
		turn = s.inTurnForCSV(turn)
	}
	return turn
}

// inTurnForCSV is inTurn for the CSV of a table: a place is held while a batch is read, and given back while it is
// written, so that a slow reader keeps nobody else from reports. How many exports a token has at once is
// bounded by itself, and with it what is held in memory.
func (s *Server) inTurnForCSV(otherwise gin.HandlerFunc) gin.HandlerFunc {
	return func(c *gin.Context) {
		if wanted, _ := wantsCSV(c.Request); !wanted {
			otherwise(c)
			return
		}
		leave, ok := s.exports.enter(c.Request.Context(), principal(c.Request.Context()).TokenID, heavy, s.Config.DatabaseConns)
		if !ok {
			problem.Write(c, crowded("This token has too many exports in progress. Run fewer at a time."))
			return
		}
		defer leave()
		c.Next()
	}
}

// crowdRetry is how long a batch waits before it asks for a place again.
const crowdRetry = 100 * time.Millisecond

// batchInTurn takes the place of a batch. The first is refused where there is none; what follows waits for one:
// an export that has begun is not broken off because others came.
func (s *Server) batchInTurn(ctx context.Context, isFirst bool) (leave func(), err error) {
	tenantID := principal(ctx).TenantID
	if tenantID == uuid.Nil {
		return func() {}, nil
	}
	for {
		leave, ok := s.crowd.enter(ctx, tenantID, heavy, s.Config.DatabaseConns)
		switch {
		case ok:
			return leave, nil
		case isFirst:
			return nil, crowded("This tenant has too many requests in progress. Send fewer at a time.")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(crowdRetry):
		}
	}
}
