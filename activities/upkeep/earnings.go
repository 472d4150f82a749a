package upkeep

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/domain"
)

// Earnings keeps what offers brought of late, from which their EPC is (rule 43).
type Earnings struct {
	Store *db.Store
	// Now is a clock.
	Now func() time.Time
}

const (
	// earningsTimeout ends a tenant's statement, so that one with more than the database can add up
	// keeps no other waiting.
	earningsTimeout = time.Minute
)

var earningsRefreshes = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "offerflow_earnings_refreshes_total", Help: "Tenants whose offers' earnings were computed, or could not be.",
}, []string{"result"})

// EarningsRefreshed is what a run did.
type EarningsRefreshed struct {
	Tenants, Offers int
	// Failed tenants keep what was computed before.
	Failed int
}

// RefreshEarnings computes the earnings of each tenant's offers, a tenant in one statement. One that
// fails does not keep the others; a database that stays away does. Done again, it does the same again.
func (e *Earnings) RefreshEarnings(ctx context.Context) (done EarningsRefreshed, err error) {
	defer activities.Heartbeat(ctx)()
	next := func(after *uuid.UUID) ([]uuid.UUID, error) {
		if after == nil {
			after = new(uuid.UUID)
		}
		tenants, err := queries.SystemTenantIDs(ctx, e.Store.SystemPool(), *after, activities.ItemsPage)
		if err != nil {
			return nil, fmt.Errorf("tenants: %w", err)
		}
		return tenants, nil
	}
	all, err := activities.InPages(ctx, "earnings", next, func(tenantID *uuid.UUID) error { return e.refresh(ctx, *tenantID, &done) })
	done.Failed = all.Failed
	return done, err
}

func (e *Earnings) refresh(ctx context.Context, tenantID uuid.UUID, done *EarningsRefreshed) error {
	bounded, cancel := context.WithTimeout(ctx, earningsTimeout)
	defer cancel()
	now := e.Now()
	offers, err := queries.SystemRefreshEarnings(bounded, e.Store.SystemPool(), now, tenantID, domain.EarningsSince(now))
	if err != nil {
		earningsRefreshes.WithLabelValues("failed").Inc()
		return fmt.Errorf("earnings of tenant %s: %w", tenantID, err)
	}
	earningsRefreshes.WithLabelValues("done").Inc()
	done.Tenants++
	done.Offers += int(offers)
	return nil
}
