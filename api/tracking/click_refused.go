package tracking

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/time/rate"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/domain"
)

// clickSpending bounds how many refused clicks are recorded (rule 46): anybody can make them, at any
// link of an offer that is paused, capped or out of target. Beyond a budget the member is sent along the
// fallback chain as ever, and only a counter knows of the click. The budgets are not those of refused
// postbacks, so that neither uses up what the other needs.
type clickSpending struct {
	addresses, tenants *lookup.Budgets
	total              *rate.Limiter
}

// newClickSpending takes clicks per second. No tenant has more than half of the total: its capped offer
// leaves room for the refused clicks of others.
func newClickSpending(perAddress, total int) clickSpending {
	perTenant := max(1, total/2)
	return clickSpending{
		addresses: lookup.NewBudgets(rate.Limit(perAddress), burstSeconds*perAddress),
		tenants:   lookup.NewBudgets(rate.Limit(perTenant), burstSeconds*perTenant),
		total:     rate.NewLimiter(rate.Limit(total), burstSeconds*total),
	}
}

// mayRecord counts a refused click, spends on it, and says whether there was something left for it.
func (s *clickSpending) mayRecord(click *domain.Click, at time.Time) bool {
	tenant, budget := click.TenantID.String(), ""
	clicksRefused.WithLabelValues(string(click.RefusedReason), tenant).Inc()
	switch {
	case !s.addresses.Allow(domain.AddressKey(click.IP), at):
		budget = spentAddress
	case !s.tenants.Allow(tenant, at):
		budget = spentTenant
	case !s.total.AllowN(at, 1):
		budget = spentTotal
	default:
		return true
	}
	refusedClicksUnrecorded.WithLabelValues(budget).Inc()
	return false
}

const spentTenant = "tenant"

var clicksRefused = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "offerflow_clicks_refused_total",
	Help: "Clicks that could not convert and followed the fallback chain, by reason and the link's tenant, recorded or not.",
}, []string{"reason", "tenant"})

var refusedClicksUnrecorded = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "offerflow_refused_clicks_unrecorded_total",
	Help: "Refused clicks that followed the fallback chain without a record, by the budget used up: address, tenant, total.",
}, []string{"budget"})

func init() {
	for _, budget := range []string{spentAddress, spentTenant, spentTotal} {
		refusedClicksUnrecorded.WithLabelValues(budget)
	}
}
