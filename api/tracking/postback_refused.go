package tracking

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/time/rate"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/domain"
)

// Anybody can send postbacks that come to nothing. They have a stream of their own, and budgets:
// beyond them senders get 503. Postbacks that verify are never cut by what others send.

// RefusedBudgets are how many refused postbacks an API writes down per second; 0 takes the default.
// Ten seconds of each may come at once.
type RefusedBudgets struct{ PerAddress, PerKey, Total int }

// DefaultRefusedBudgets are generous to networks that are set up wrongly, and to carriers that put many
// people behind one address. In all they are a few MB of disk per second at most.
var DefaultRefusedBudgets = RefusedBudgets{PerAddress: 50, PerKey: 100, Total: 500}

// burstSeconds of a budget may be spent at once.
const burstSeconds = 10

// A postback whose click is known may still come to nothing, again and again: duplicates, an event that
// is not there. An address has 2,000 of them per click at once and ten a second after that: more than any
// sender repeats by mistake, and little to decide.
const (
	futilePerSecond = 10
	futileBurst     = 2000
)

// A goal that is recorded as a click (rule 70) is counted at each postback, for as long as the click is
// known. One sender has 500 of one goal and click at once, and one in ten seconds after that.
const (
	countedPerSecond = 0.1
	countedBurst     = 500
)

// spending is what strangers may still have written down.
type spending struct {
	addresses, keys, futiles *lookup.Budgets
	// nameless are postbacks without a click id, whose click is looked for by address and browser.
	nameless *lookup.Budgets
	// counted are postbacks of goals that are recorded as a click (rule 70).
	counted *lookup.Budgets
	total   *rate.Limiter
	clicks  clickSpending
}

func newSpending(given RefusedBudgets) *spending {
	perAddress := cmp.Or(given.PerAddress, DefaultRefusedBudgets.PerAddress)
	perKey := cmp.Or(given.PerKey, DefaultRefusedBudgets.PerKey)
	total := cmp.Or(given.Total, DefaultRefusedBudgets.Total)
	return &spending{
		addresses: lookup.NewBudgets(rate.Limit(perAddress), burstSeconds*perAddress),
		keys:      lookup.NewBudgets(rate.Limit(perKey), burstSeconds*perKey),
		futiles:   lookup.NewBudgets(futilePerSecond, futileBurst),
		nameless:  lookup.NewBudgets(rate.Limit(perAddress), burstSeconds*perAddress),
		counted:   lookup.NewBudgets(countedPerSecond, countedBurst),
		total:     rate.NewLimiter(rate.Limit(total), burstSeconds*total),
		clicks:    newClickSpending(perAddress, total),
	}
}

// The budgets, as the metric names them.
const (
	spentAddress  = "address"
	spentKey      = "key"
	spentTotal    = "total"
	spentClick    = "click"
	spentGoal     = "goal"
	spentNameless = "nameless"
	spentDisk     = "disk"
)

// refused spends on a postback that is refused, and names the budget that has nothing left.
func (s *spending) refused(p *domain.Postback, at time.Time) (spent string) {
	switch {
	case !s.addresses.Allow(domain.AddressKey(p.SourceIP), at):
		return spentAddress
	case p.KeyHash() != "" && !s.keys.Allow(p.KeyHash(), at):
		return spentKey
	case p.Address != nil && p.Address.Opaque && p.Address.OfferID != nil && !s.keys.Allow(p.Address.OfferID.String(), at):
		return spentKey
	case !s.total.AllowN(at, 1):
		return spentTotal
	default:
		return ""
	}
}

// futile names the budget that has nothing left for a postback that is to be decided: those of this
// sender about this click came to nothing too often, or nothing in it can be verified.
func (s *spending) futile(form *conversionForm, p *domain.Postback, at time.Time) (spent string) {
	switch {
	case p.ClickID == nil && !s.nameless.Allow(domain.AddressKey(p.SourceIP), at):
		return spentNameless
	case p.ClickID == nil:
		return ""
	case form.waits && s.futiles.IsSpent(futileKey(p), at), !form.waits && !s.futiles.Allow(futileKey(p), at): // what becomes of a pixel is not heard of
		return spentClick
	case !s.counted.IsEmpty() && s.counted.IsSpent(countedKey(p), at): // most have no such goals
		return spentGoal
	default:
		return ""
	}
}

// spend counts a postback that changed nothing, as far as is known, against its sender and click: never
// against an address alone, behind which others send what does. One that was only counted is counted
// against its goal too, so that the click's conversions are taken when a goal has nothing left.
func (s *spending) spend(p *domain.Postback, answer *domain.Answer, at time.Time) {
	if p.ClickID == nil {
		return
	}
	isCounted := answer.RecordedAs() == domain.RecordAsClick
	if isCounted {
		s.counted.Allow(countedKey(p), at)
	}
	if isCounted || answer.Outcome != domain.OutcomeAccepted && answer.Outcome != domain.OutcomeHeld {
		s.futiles.Allow(futileKey(p), at)
	}
}

func futileKey(p *domain.Postback) string { return p.ClickID.String() + domain.AddressKey(p.SourceIP) }

// countedKey tells goals apart by the names that the sender gives them.
func countedKey(p *domain.Postback) string {
	return futileKey(p) + " " + p.EventID + "\x00" + p.GoalID + "\x00" + p.GoalName
}

var refusalsShed = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "offerflow_refusals_shed_total",
	Help: "Postbacks answered 503 because they would have been refused or changed nothing, by the budget used up; disk: they could not be stored.",
}, []string{"budget"})

func init() {
	for _, budget := range []string{spentAddress, spentKey, spentTotal, spentClick, spentGoal, spentNameless, spentDisk} {
		refusalsShed.WithLabelValues(budget)
	}
}

// errSpent is the name of a budget that has nothing left.
type errSpent string

func (e errSpent) Error() string { return "too many refused postbacks, by " + string(e) }

// shed answers what a budget has nothing left for.
func shed(c *gin.Context, form *conversionForm, budget errSpent) {
	refusalsShed.WithLabelValues(string(budget)).Inc()
	form.busy(c, "Too many postbacks from this sender were refused, please send again later.")
}

// refuse is the answer to a postback that the edge refuses, once that is on disk for the log.
func (t *Edge) refuse(ctx context.Context, postback *domain.Postback) (domain.Answer, error) {
	if budget := t.spending.refused(postback, t.now()); budget != "" {
		return domain.Answer{}, errSpent(budget)
	}
	refused := postback.AsRefused(postback.Refused)
	// Not cut short by a sender that hangs up: it would not know whether to send again.
	if err := t.refusals.Publish(context.WithoutCancel(ctx), &refused); err != nil {
		slog.DebugContext(ctx, "refused postback not recorded", "error", err)
		return domain.Answer{}, errSpent(spentDisk)
	}
	return domain.Answer{
		PostbackID: refused.ID, Outcome: domain.OutcomeRefused, Reason: refused.Refused, Detail: refused.Detail,
		Warnings: refused.Warnings, Verdict: postback.Verdict(),
	}, nil
}
