package activities

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

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
	// earningsPage tenants are looked up at a time.
	earningsPage = 500
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
// fails does not keep the others; a database that is away does. Done again, it does the same again.
func (e *Earnings) RefreshEarnings(ctx context.Context) (done EarningsRefreshed, err error) {
	defer beating(ctx)()
	for after := uuid.Nil; ; {
		tenants, err := queries.SystemTenantIDs(ctx, e.Store.SystemPool(), after, earningsPage)
		if err != nil {
			return done, fmt.Errorf("tenants: %w", err)
		}
		for _, tenantID := range tenants {
			if err := e.refresh(ctx, tenantID, &done); err != nil {
				return done, err
			}
		}
		if len(tenants) < earningsPage {
			return done, nil
		}
		after = tenants[len(tenants)-1]
	}
}

func (e *Earnings) refresh(ctx context.Context, tenantID uuid.UUID, done *EarningsRefreshed) error {
	bounded, cancel := context.WithTimeout(ctx, earningsTimeout)
	defer cancel()
	now := e.Now()
	offers, err := queries.SystemRefreshEarnings(bounded, e.Store.SystemPool(), now, tenantID, domain.EarningsSince(now))
	switch {
	case err == nil:
		earningsRefreshes.WithLabelValues("done").Inc()
		done.Tenants++
		done.Offers += int(offers)
		return nil
	case ctx.Err() != nil, bounded.Err() == nil && db.Unavailable(err):
		return fmt.Errorf("earnings of tenant %s: %w", tenantID, err)
	}
	earningsRefreshes.WithLabelValues("failed").Inc()
	slog.ErrorContext(ctx, "the earnings of a tenant cannot be computed", "tenant", tenantID, "error", err)
	done.Failed++
	return nil
}
