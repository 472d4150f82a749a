package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// copies waits for conversions in publishers' books and notes when each was seen there.
type copies struct {
	w          *world
	every      time.Duration // between looks
	mu         sync.Mutex
	publishers map[uuid.UUID]uuid.UUID // by conversion: those that are waited for
	seen       map[uuid.UUID]time.Time
}

func (c *copies) expect(publisher uuid.UUID, conversion string) error {
	id, err := uuid.Parse(conversion)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publishers[id] = publisher
	return nil
}

// watch looks until ctx is done.
func (c *copies) watch(ctx context.Context) error {
	for {
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.every):
		}
	}
}

func (c *copies) look(ctx context.Context) error {
	var tenants, ids []uuid.UUID
	c.mu.Lock()
	for id, tenant := range c.publishers {
		tenants, ids = append(tenants, tenant), append(ids, id)
	}
	c.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	rows, err := c.w.rows.Query(ctx, `SELECT c.id FROM unnest($1::uuid[], $2::uuid[]) AS waiting(tenant_id, id)
		JOIN conversions c ON c.tenant_id = waiting.tenant_id AND c.id = waiting.id`, tenants, ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	at := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			return err
		}
		c.seen[id] = at
		delete(c.publishers, id)
	}
	return rows.Err()
}

// all waits until none is waited for any more.
func (c *copies) all(ctx context.Context) error {
	return until(ctx, func() (bool, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.publishers) == 0, nil
	})
}

// copiedWhile runs send, which expects conversions, and waits until the books have them all. every is
// between two looks at the books: what looking adds to a time, or takes from the cores.
func (w *world) copiedWhile(ctx context.Context, every time.Duration, send func(c *copies) error) (*copies, error) {
	c := &copies{w: w, every: every, publishers: map[uuid.UUID]uuid.UUID{}, seen: map[uuid.UUID]time.Time{}}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	group, watching := errgroup.WithContext(watching)
	group.Go(func() error { return c.watch(watching) })
	err := send(c)
	if err == nil {
		err = c.all(watching)
	}
	stop()
	if failed := group.Wait(); failed != nil {
		err = failed
	}
	return c, err
}

const (
	// copyRate is how many conversions per second are accepted while their copies are timed.
	copyRate = 20
	// timedEvery is how often books are looked at then.
	timedEvery = 10 * time.Millisecond
)

// measureCopies is how long after the sender's answer a conversion is in the publisher's book.
func (w *world) measureCopies(ctx context.Context, d deal, r *report) error {
	clicks, err := w.parkedClicks(ctx, max(1, int(w.copied.Seconds()*copyRate)), d.link)
	if err != nil {
		return err
	}
	publisher, err := uuid.Parse(d.publisher.TenantID)
	if err != nil {
		return err
	}
	accepted := make([]chain, len(clicks))
	c, err := w.copiedWhile(ctx, timedEvery, func(c *copies) error {
		group, ctx := errgroup.WithContext(ctx)
		begin := time.Now()
		for i, click := range clicks {
			time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / copyRate)))
			group.Go(func() error {
				one, err := w.convertAll(ctx, []string{click})
				if err != nil {
					return err
				}
				accepted[i] = one[0]
				return c.expect(publisher, one[0].conversion)
			})
		}
		return group.Wait()
	})
	if err != nil {
		return err
	}
	answers, lags := make([]time.Duration, len(accepted)), make([]time.Duration, len(accepted))
	for i, one := range accepted {
		answers[i] = one.answered.Sub(one.sent)
		lags[i] = max(0, c.seen[uuid.MustParse(one.conversion)].Sub(one.answered))
	}
	p99 := quantile(lags, 0.99)
	_, verdict := versus(p99.Seconds(), "≤", 1)
	r.section("A conversion accepted in the advertiser's book → visible in the publisher's",
		fmt.Sprintf("%d conversions at %d a second; from the answer to the postback to a committed row, looked for every %v.", len(lags), copyRate, timedEvery),
		"postback → answer, p50", "answer → visible, p50", "p99", "longest", "target for p99, s")
	r.row(millis(quantile(answers, 0.5)), millis(quantile(lags, 0.5)), millis(p99), millis(quantile(lags, 1)), verdict)
	return nil
}
