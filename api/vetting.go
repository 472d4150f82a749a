package api

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/txmark"
	"github.com/offerflow/offerflow/outbound"
)

// Look-ups of host names that may be under way at once. A name server that does not answer is waited for
// some seconds each time, and a tenant chooses whose name server is asked.
const (
	lookupsPerTenant = 4
	lookupsInAll     = 64
)

// vetURL refuses an address that would not be called (rule 53), naming the field. It looks the host's name
// up, for which no transaction may wait.
func (s *Server) vetURL(ctx context.Context, field, raw string) error {
	tenantID := principal(ctx).TenantID
	if !s.vetting.enter(tenantID) {
		return problem.New(http.StatusServiceUnavailable,
			"Too many addresses are being looked up at once. Try again.").RetryAfter(2 * time.Second)
	}
	defer s.vetting.leave(tenantID)
	err := outbound.New(s.Config.CallbackAllowCIDRs, s.Config.Resolver, s.Config.OwnParts...).CheckURL(ctx, raw)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, txmark.ErrInTransaction):
		return err
	}
	return problem.BadField(field, err.Error())
}

// nameLookups counts those under way.
type nameLookups struct {
	mu      sync.Mutex
	all     int
	tenants map[uuid.UUID]int
}

func (l *nameLookups) enter(tenantID uuid.UUID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= lookupsInAll || l.tenants[tenantID] >= lookupsPerTenant {
		return false
	}
	if l.tenants == nil {
		l.tenants = map[uuid.UUID]int{}
	}
	l.all++
	l.tenants[tenantID]++
	return true
}

func (l *nameLookups) leave(tenantID uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.tenants[tenantID]--; l.tenants[tenantID] == 0 {
		delete(l.tenants, tenantID)
	}
}
