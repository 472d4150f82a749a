package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// deal is an advertiser and a publisher on one live offer.
type deal struct {
	advertiser, publisher *blackbox.Client
	blackbox.Shared
	link string // the publisher's own, its path
}

// measureExchange is how soon the publisher's book has what the advertiser's has, how soon one side
// hears of the other's edit, and what many partnerships cost a conversion.
func measureExchange(ctx context.Context, w *world, r *report) error {
	one, err := w.newDeals(ctx, 1)
	if err != nil {
		return err
	}
	if err := w.measureCopies(ctx, one[0], r); err != nil {
		return err
	}
	if err := w.measureLive(ctx, one[0], r); err != nil {
		return err
	}
	return w.measurePartnerships(ctx, one[0], r)
}

// newDeals is an advertiser's tenant whose offer is shared with n publishers.
func (w *world) newDeals(ctx context.Context, n int) ([]deal, error) {
	advertiser, err := w.operator.NewTenant(ctx, map[string]any{"name": "Studio", "product": "advertiser"})
	if err != nil {
		return nil, err
	}
	entry, err := advertiser.NewAdvertiser(ctx, nil)
	if err != nil {
		return nil, err
	}
	offer, _, err := advertiser.NewOffer(ctx, blackbox.SingleEvent(entry.ID, w.age, nil))
	if err != nil {
		return nil, err
	}
	deals := make([]deal, n)
	err = atOnce(ctx, 4, n, func(ctx context.Context, i int) (err error) {
		deals[i], err = w.share(ctx, advertiser, offer)
		return err
	})
	return deals, err
}

// share shares an offer with a publisher of its own.
func (w *world) share(ctx context.Context, advertiser *blackbox.Client, offer string) (d deal, err error) {
	d.advertiser = advertiser
	if d.publisher, err = w.operator.NewTenant(ctx, nil); err != nil {
		return d, err
	}
	if err := d.publisher.List(ctx, "bench", "partners@coins.example"); err != nil {
		return d, err
	}
	if d.Shared, err = advertiser.Share(ctx, offer, d.publisher.TenantID); err != nil {
		return d, err
	}
	mine, err := d.publisher.Offer(ctx, d.SharedOfferID)
	if err != nil {
		return d, err
	}
	link, err := url.Parse(mine.RedirectLink)
	if err == nil {
		d.link = link.Path
	}
	return d, err
}

const (
	// copiesAtOnce are fewer postbacks than elsewhere: one that waits for more than 3 s is answered
	// "queued", and asking for its answer again and again would be measured in place of its decision.
	copiesAtOnce = 16
	// countedEvery is how often books are looked at while conversions are counted.
	countedEvery = 50 * time.Millisecond
)

// throughput is what one turn of conversions came to.
type throughput struct {
	perSecond float64
	cpu       time.Duration // of this process per conversion, PostgreSQL's not included
}

// measurePartnerships is how many conversions per second get through both books for an advertiser with
// one partnership, against one with many; and, beside them, through the one book of an offer that is
// not shared.
func (w *world) measurePartnerships(ctx context.Context, one deal, r *report) error {
	many, err := w.newDeals(ctx, w.partnerships)
	if err != nil {
		return err
	}
	contenders := []struct {
		name  string
		deals []deal
	}{
		{"the only partnership", []deal{one}},
		{fmt.Sprintf("one of %d partnerships", len(many)), many[:1]},
		{fmt.Sprintf("all of %d partnerships in turn", len(many)), many},
		{"an offer that is not shared: one book", nil},
	}
	rates, cpus := make([][]float64, len(contenders)), make([][]float64, len(contenders))
	for pair := range w.pairs {
		for i := range contenders {
			which := (i + pair) % len(contenders)
			turn, err := w.copyThroughput(ctx, contenders[which].deals)
			if err != nil {
				return err
			}
			rates[which] = append(rates[which], turn.perSecond)
			cpus[which] = append(cpus[which], float64(turn.cpu.Microseconds())/1000)
		}
	}
	r.section("Conversions through both books per second, by the advertiser's partnerships",
		fmt.Sprintf("%d conversions a turn, %d postbacks at once, until the last is visible in its publisher's book; median of %d turns. "+
			"CPU is that of this process, PostgreSQL's not included.", w.postbacks, copiesAtOnce, w.pairs),
		"conversions of", "per second", "CPU each", "rate against one partnership", "from–to", "target")
	for i, c := range contenders {
		ratios := ratiosOf(rates[i], rates[0])
		ratio, verdict := versus(median(append([]float64{}, ratios...)), "≥", 0.9)
		if i == 0 || c.deals == nil {
			verdict = ""
		}
		r.row(c.name, number(median(append([]float64{}, rates[i]...)))+"/s", number(median(cpus[i]))+" ms", ratio, spread(ratios), verdict)
	}
	return nil
}

// copyThroughput is one turn; without deals it is on the offer that is not shared.
func (w *world) copyThroughput(ctx context.Context, deals []deal) (throughput, error) {
	links := []string{w.link}
	if deals != nil {
		links = make([]string, len(deals))
		for i, d := range deals {
			links[i] = d.link
		}
	}
	clicks, err := w.parkedClicks(ctx, w.postbacks, links...)
	if err != nil {
		return throughput{}, err
	}
	publishers, err := w.publishersOf(ctx, clicks)
	if err != nil {
		return throughput{}, err
	}
	begin, busy := time.Now(), cpuTime()
	_, err = w.copiedWhile(ctx, countedEvery, func(c *copies) error {
		return atOnce(ctx, copiesAtOnce, len(clicks), func(ctx context.Context, i int) error {
			one, err := w.convertAll(ctx, clicks[i:i+1])
			if publisher, shared := publishers[clicks[i]]; err == nil && shared {
				err = c.expect(publisher, one[0].conversion)
			}
			return err
		})
	})
	n := len(clicks)
	return throughput{float64(n) / time.Since(begin).Seconds(), (cpuTime() - busy) / time.Duration(max(1, n))}, err
}

// publishersOf are the tenants whose links were clicked: links are taken in turn, answers come as they
// come.
func (w *world) publishersOf(ctx context.Context, clicks []string) (map[string]uuid.UUID, error) {
	rows, err := w.rows.Query(ctx, "SELECT id, tenant_id FROM clicks WHERE id = ANY($1::uuid[]) AND side = 'publisher'", clicks)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	publishers := map[string]uuid.UUID{}
	for rows.Next() {
		var click, tenant uuid.UUID
		if err := rows.Scan(&click, &tenant); err != nil {
			return nil, err
		}
		publishers[click.String()] = tenant
	}
	return publishers, rows.Err()
}
