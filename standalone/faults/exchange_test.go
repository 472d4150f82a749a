package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// equalBooks is invariant 13: what differs between the two books of any partnership.
var equalBooks = []rule{
	{"13: conversions", `SELECT coalesce(a.id, p.id) || ' ' || coalesce(a.status || a.sequence, 'none') || ' / ' || coalesce(p.status || p.sequence, 'none')
		FROM (SELECT * FROM conversions WHERE side = 'advertiser') a FULL JOIN (SELECT * FROM conversions WHERE side = 'publisher') p ON p.id = a.id
		WHERE (a.offer_id, a.click_id, a.event_id, a.status, a.rejection_reason, a.sequence, a.revenue_micros, a.currency, a.received_at)
			IS DISTINCT FROM (p.offer_id, p.click_id, p.event_id, p.status, p.rejection_reason, p.sequence, p.revenue_micros, p.currency, p.received_at)`},
	{"13: transitions", `SELECT c.id || ' ' || t.sequence FROM conversions c JOIN transitions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id
		WHERE c.side <> 'owner' GROUP BY c.id, t.sequence, t.to_status, t.reason, t.at HAVING count(*) <> 2`},
	{"13: cost and revenue in the ledgers", `SELECT c.id::text FROM conversions c
		JOIN ledger_transactions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id
		JOIN ledger_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id AND e.account IN ('advertising_expense', 'advertiser_receivable')
		WHERE c.side <> 'owner' GROUP BY c.id
		HAVING sum(e.amount_micros) FILTER (WHERE c.side = 'advertiser') IS DISTINCT FROM sum(e.amount_micros) FILTER (WHERE c.side = 'publisher')`},
}

// trade is an advertiser with several publishers, each on a shared offer of its own.
type trade struct {
	studio     *blackbox.Client
	publishers []*publisher
	accepted   atomic.Int64
	edits      atomic.Int64
}

type publisher struct {
	cast
	offerID, link string
}

func newTrade(ctx context.Context, t *testing.T, operator *blackbox.Client, mail *mail, publishers int) *trade {
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	studio, err := operator.NewTenant(ctx, map[string]any{"name": "Studio", "product": "advertiser"})
	fatal(err)
	advertiser, err := studio.NewAdvertiser(ctx, nil)
	fatal(err)
	age, err := studio.EveryoneAge(ctx)
	fatal(err)
	offerID, _, err := studio.NewOffer(ctx, blackbox.MultiEvent(advertiser.ID, age, []map[string]any{
		blackbox.Event("Install", nil, nil), blackbox.Event("Level 7", nil, map[string]any{"pendingTime": in(24*time.Hour, time.Second)}),
	}, map[string]any{"name": "Shared"}))
	fatal(err)
	all := &trade{studio: studio}
	for n := range publishers {
		p := &publisher{}
		p.tenant, err = operator.NewTenant(ctx, map[string]any{"name": fmt.Sprintf("Publisher %d", n), "rewardRatio": 10})
		fatal(err)
		p.inbox, err = mail.open(ctx, p.tenant)
		fatal(err)
		fatal(p.tenant.List(ctx, "rewards", fmt.Sprintf("publisher-%d@example.com", n)))
		shared, err := studio.Share(ctx, offerID, p.tenant.TenantID)
		fatal(err)
		offer, err := p.tenant.Offer(ctx, shared.SharedOfferID)
		fatal(err)
		link, err := url.Parse(offer.RedirectLink)
		fatal(err)
		p.offerID, p.link = shared.SharedOfferID, link.Path
		all.publishers = append(all.publishers, p)
	}
	return all
}

// run clicks, posts, takes back and edits until stop, whatever is down meanwhile.
func (all *trade) run(ctx context.Context, seed uint64, stop <-chan struct{}) {
	var group sync.WaitGroup
	for n, p := range all.publishers {
		for k := range 2 {
			group.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(n*10+k)))
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					all.one(ctx, rng, p, fmt.Sprintf("member-%d-%d-%d", n, k, i))
				}
			})
		}
	}
	group.Wait()
}

// one member's story. What is not answered is not counted: it may have happened or not.
func (all *trade) one(ctx context.Context, rng *rand.Rand, p *publisher, member string) {
	click, _, err := p.tenant.Click(ctx, p.link, url.Values{"pub_member_id": {member}})
	if err != nil {
		_ = rest(ctx)
		return
	}
	for _, event := range []string{"Install", "Level 7"} {
		answer, err := all.studio.Convert(ctx, click, event)
		if err != nil || answer.ConversionID == "" {
			_ = rest(ctx)
			continue
		}
		all.accepted.Add(1)
		switch rng.IntN(4) {
		case 0:
			_, _ = all.studio.Review(ctx, "reverse", answer.ConversionID)
		case 1:
			_, _ = all.studio.Review(ctx, "reverse", answer.ConversionID)
			_, _ = all.studio.Review(ctx, "approve", answer.ConversionID)
		case 2:
			all.edit(ctx, p, member)
		}
	}
}

// edit changes the headline from one side or the other.
func (all *trade) edit(ctx context.Context, p *publisher, headline string) {
	who := all.studio
	if len(headline)%2 == 0 {
		who = p.tenant
	}
	offer, err := who.SharedOffer(ctx, p.offerID)
	if err != nil {
		return
	}
	if _, err = who.Edit(ctx, p.offerID, offer.Version, map[string]any{"headline": headline}); err == nil {
		all.edits.Add(1)
	}
}

// rest waits a moment after an error.
func rest(ctx context.Context) error {
	select {
	case <-time.After(50 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Worker, NATS and Temporal are killed during syncs, and one publisher's endpoint and the mail server
// answer nothing all the while: both books of each partnership converge to equal, each callback and
// each mail has one effect, and the other publisher's are not late (rules 49, 56, 58, 61, invariant 13).
func TestExchangeSurvivesItsParts(t *testing.T) {
	office := newPostOffice(t)
	p := startParts(t, office.settings()...)
	ctx := t.Context()
	all := newTrade(ctx, t, blackbox.New(p.at().URL, operatorToken), openMail(t), 2)
	all.publishers[1].inbox.answer = func(string, int) int { return http.StatusInternalServerError }
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		all.run(ctx, *firstSeed, stop)
	}()
	for _, role := range []string{roleWorker, roleNATS, roleTemporal} {
		before := all.accepted.Load()
		waitFor(ctx, t, "conversions before "+role+" is killed", func() (bool, error) { return all.accepted.Load() > before+20, nil })
		p.killAndRestart(t, role, 2*time.Second)
	}
	last := all.accepted.Load()
	waitFor(ctx, t, "conversions after the last", func() (bool, error) { return all.accepted.Load() > last+20, nil })
	close(stop)
	<-ended
	i := inspect(t, p.at())
	waitFor(ctx, t, "equal books", func() (bool, error) {
		found, err := i.broken(ctx, equalBooks)
		return err == nil && len(found) == 0, err
	})
	all.publishers[1].recovers(ctx, t)
	office.opens(ctx, t, all)
	i.settle(t)
	t.Logf("%d conversions and %d edits were answered", all.accepted.Load(), all.edits.Load())
	all.verify(t, i)
	office.verify(ctx, t, i)
}

// recovers lets a dead endpoint answer again, and has what waits for it sent now.
func (p *publisher) recovers(ctx context.Context, t *testing.T) {
	t.Helper()
	p.inbox.mu.Lock()
	p.inbox.answer = func(string, int) int { return 0 }
	p.inbox.mu.Unlock()
	waitFor(ctx, t, "the deliveries that waited", func() (bool, error) {
		var sent struct{ Count int }
		err := p.tenant.Call(ctx, http.MethodPost, "/api/v1/deliveries/resend", map[string]any{"kind": "callback", "state": "waiting"}, &sent)
		return err == nil && sent.Count == 0, err
	})
}

func (all *trade) verify(t *testing.T, i *inspector) {
	t.Helper()
	ctx := t.Context()
	found, err := i.broken(ctx, append(equalBooks, rule{"56: every edit is in the log, and a log entry is an edit", `SELECT v.offer_id || ' ' || v.version FROM offer_versions v
		JOIN partnerships p ON p.offer_id = v.offer_id LEFT JOIN offer_changes c ON c.offer_id = v.offer_id AND c.version = v.version
		WHERE v.version > 1 GROUP BY v.offer_id, v.version HAVING count(c.field) <> 1`}, rule{"56: one notice per edit", `SELECT c.offer_id || ' ' || c.version FROM offer_changes c
		JOIN partnerships p ON p.offer_id = c.offer_id LEFT JOIN deliveries d ON d.endpoint_id = p.id AND d.sequence = c.version AND d.kind = 'email'
			AND d.tenant_id = CASE c.side WHEN 'advertiser' THEN p.publisher_tenant_id ELSE p.advertiser_tenant_id END
		GROUP BY c.offer_id, c.version HAVING count(d.id) <> 1`}))
	if err != nil {
		t.Fatal(err)
	}
	for _, publisher := range all.publishers {
		more, err := i.broken(ctx, always, publisher.tenant.TenantID)
		if err != nil {
			t.Fatal(err)
		}
		wrong, err := i.callbacks(ctx, &publisher.cast, nil)
		if err != nil {
			t.Fatal(err)
		}
		found = append(append(found, more...), wrong...)
	}
	for _, what := range found {
		t.Error(what)
	}
	var conversions int
	err = i.db.QueryRow(ctx, `SELECT count(*) FROM conversions WHERE side = 'publisher'`).Scan(&conversions)
	if err != nil || int64(conversions) < all.accepted.Load() {
		t.Errorf("%d conversions are in the publishers' books, %d were answered: %v", conversions, all.accepted.Load(), err)
	}
}

// waitFor asks until ok, for as long as a healed system may take.
func waitFor(ctx context.Context, t *testing.T, what string, ok func() (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	var last error
	for {
		done, err := ok()
		if done {
			return
		}
		if err != nil {
			last = err
		}
		if err := rest(ctx); err != nil {
			t.Fatalf("%s did not come within %v: %v", what, settleWithin, errors.Join(last, err))
		}
	}
}
