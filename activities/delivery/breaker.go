package delivery

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// Limits of rule 52, per process.
const (
	// maxPerEndpoint is how many attempts one endpoint may have in flight.
	maxPerEndpoint = 32
	// maxPerTenant is how many attempts all endpoints of one tenant together may have in flight: slow
	// receivers of one leave room for those of the others.
	maxPerTenant = 128
	// maxMailsPerTenant is the same of mails, which all go to one server.
	maxMailsPerTenant = maxPerEndpoint / 4
	// maxFirstAttempts is how many first attempts all endpoints of one breaker together may have in
	// flight: it bounds memory. What finds it used up goes to the durable retry.
	maxFirstAttempts = 512
	// breakAfter failures in a row, an endpoint's events skip their first attempt for breakFor.
	breakAfter = 5
	breakFor   = 30 * time.Second
)

// breaker keeps one dead or slow endpoint from delaying the others (rule 52). It never waits: it lets
// an attempt through or says no, and the attempt is then made by the durable retry.
type breaker struct {
	mu        sync.Mutex
	first     int
	endpoints map[uuid.UUID]*endpointLoad
	tenants   map[uuid.UUID]int
	// oneServer says that the same server stands behind all endpoints: they are one to the limits.
	oneServer bool
}

// breaker is that of callbacks, of partners or of mail.
func (d *Deliveries) breaker(kind string) *breaker {
	switch kind {
	case kindPartner:
		return &d.partners
	case kindEmail:
		return &d.mails
	default:
		return &d.callbacks
	}
}

func (d *Deliveries) breakerOf(a *attempt) *breaker { return d.breaker(a.row.Kind) }

type endpointLoad struct {
	inFlight int
	failures int
	// openUntil is when a broken endpoint gets a first attempt again, as a probe.
	openUntil time.Time
}

// admitFirst lets a first attempt through, unless the endpoint's breaker is open and the caller
// does not insist.
func (g *breaker) admitFirst(tenantID, endpoint uuid.UUID, now time.Time, insist bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	load := g.load(endpoint)
	if load.failures >= breakAfter && !insist {
		if now.Before(load.openUntil) {
			return false
		}
		// One probe at a time: the others wait for what it finds.
		load.openUntil = now.Add(breakFor)
	}
	if g.first >= maxFirstAttempts || !g.admit(tenantID, load) {
		return false
	}
	g.first++
	return true
}

// admitRetry lets an attempt of the durable retry through: its schedule is its own, whatever the
// breaker says.
func (g *breaker) admitRetry(tenantID, endpoint uuid.UUID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.admit(tenantID, g.load(endpoint))
}

// admit counts an attempt in, where its endpoint and its tenant have room for it.
func (g *breaker) admit(tenantID uuid.UUID, load *endpointLoad) bool {
	most := maxPerTenant
	if g.oneServer {
		most = maxMailsPerTenant
	}
	if load.inFlight >= maxPerEndpoint || g.tenants[tenantID] >= most {
		return false
	}
	if g.tenants == nil {
		g.tenants = map[uuid.UUID]int{}
	}
	g.tenants[tenantID]++
	load.inFlight++
	return true
}

func (g *breaker) load(endpoint uuid.UUID) *endpointLoad {
	if g.endpoints == nil {
		g.endpoints = map[uuid.UUID]*endpointLoad{}
	}
	endpoint = g.limitKey(endpoint)
	load := g.endpoints[endpoint]
	if load == nil {
		load = &endpointLoad{}
		g.endpoints[endpoint] = load
	}
	return load
}

// limitKey is the endpoint as the limits know it.
func (g *breaker) limitKey(endpoint uuid.UUID) uuid.UUID {
	if g.oneServer {
		return uuid.Nil
	}
	return endpoint
}

// record tells the breaker how one attempt went.
func (g *breaker) record(endpoint uuid.UUID, ok bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	load := g.load(endpoint)
	if ok {
		load.failures = 0
		return
	}
	load.failures++
	if load.failures == breakAfter {
		load.openUntil = now.Add(breakFor)
		breakerOpened.Inc()
	}
}

// release gives back what enterFirst or enterRetry took.
func (g *breaker) release(tenantID, endpoint uuid.UUID, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if first {
		g.first--
	}
	if g.tenants[tenantID]--; g.tenants[tenantID] == 0 {
		delete(g.tenants, tenantID)
	}
	load := g.load(endpoint)
	load.inFlight--
	if load.inFlight == 0 && load.failures == 0 {
		delete(g.endpoints, g.limitKey(endpoint))
	}
}
