package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// app is a tenant's server: it answers every callback with 204 and remembers when it came. It does
// not verify signatures: that would be the receiver's work, not ours.
type app struct {
	server *http.Server
	mu     sync.Mutex
	got    map[string]callback // by conversion
}

type callback struct {
	at        time.Time
	createdAt time.Time
	releaseAt *time.Time
}

// openApp makes a tenant of its own with a callback endpoint, and serves that.
func (w *world) openApp(ctx context.Context) (*app, *blackbox.Client, error) {
	tenant, err := w.operator.NewTenant(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	a := &app{got: map[string]callback{}}
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = a.server.Serve(listener) }()
	err = tenant.Call(ctx, http.MethodPut, "/api/v1/callback-endpoint", map[string]any{
		"url": "http://" + listener.Addr().String() + "/callbacks", "events": []string{"success"},
	}, nil)
	return a, tenant, err
}

// ServeHTTP satisfies http.Handler.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	var message struct {
		Conversion struct {
			ConversionID string     `json:"conversionId"`
			CreatedAt    time.Time  `json:"createdAt"`
			ReleaseAt    *time.Time `json:"releaseAt"`
		} `json:"conversion"`
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &message) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c := message.Conversion
	a.mu.Lock()
	a.got[c.ConversionID] = callback{at, c.CreatedAt, c.ReleaseAt}
	a.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (a *app) of(conversion string) (callback, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.got[conversion]
	return c, ok
}

// all waits for the callbacks of all conversions and returns the instant of the last one.
func (a *app) all(ctx context.Context, conversions []string) (last time.Time, err error) {
	for _, id := range conversions {
		err := until(ctx, func() (bool, error) {
			c, ok := a.of(id)
			if c.at.After(last) {
				last = c.at
			}
			return ok, nil
		})
		if err != nil {
			return last, err
		}
	}
	return last, nil
}

// measureChains is how many whole chains per second are finished, and how late callbacks are.
func measureChains(ctx context.Context, w *world, r *report) error {
	a, tenant, err := w.openApp(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = a.server.Close() }()
	advertiser, err := tenant.NewAdvertiser(ctx, nil)
	if err != nil {
		return err
	}
	links := make([]string, manyOffers)
	for i := range links {
		if _, links[i], err = tenant.NewOffer(ctx, blackbox.SingleEvent(advertiser.ID, w.age, nil)); err != nil {
			return err
		}
	}
	if err := w.wholeChains(ctx, a, links, r); err != nil {
		return err
	}
	pending := float64(dueAfter) / float64(24*time.Hour)
	_, link, err := tenant.NewOffer(ctx, blackbox.SingleEvent(advertiser.ID, w.age, map[string]any{"pendingTime": json.Number(fmt.Sprintf("%.6f", pending))}))
	if err != nil {
		return err
	}
	return w.dueRewards(ctx, a, link, r)
}

// chain is one postback with the instants of its stages.
type chain struct {
	conversion     string
	sent, answered time.Time
}

func (w *world) wholeChains(ctx context.Context, a *app, links []string, r *report) error {
	var rates []float64
	var answers, decisions, callbacks []time.Duration
	for range w.pairs {
		clicks, err := w.parkedClicks(ctx, w.chains, links...)
		if err != nil {
			return err
		}
		begin := time.Now()
		chains, err := w.convertAll(ctx, clicks)
		if err != nil {
			return err
		}
		ids := make([]string, len(chains))
		for i, c := range chains {
			ids[i] = c.conversion
		}
		last, err := a.all(ctx, ids)
		if err != nil {
			return err
		}
		rates = append(rates, float64(len(clicks))/last.Sub(begin).Seconds())
		for _, c := range chains {
			got, _ := a.of(c.conversion)
			answers = append(answers, c.answered.Sub(c.sent))
			decisions = append(decisions, got.createdAt.Sub(c.sent))
			callbacks = append(callbacks, got.at.Sub(got.createdAt))
		}
	}
	r.section("Whole chains per second: postback, Success, ledger, signed callback answered 2xx",
		fmt.Sprintf("%d chains a turn, %d postbacks at once, median of %d turns.", w.chains, updatesAtOnce, w.pairs),
		"chains/s", "sent → deciding, p50", "sent → answered, p50", "deciding → callback received, p50", "p99")
	r.row(number(median(rates))+"/s", millis(quantile(decisions, 0.5)), millis(quantile(answers, 0.5)),
		millis(quantile(callbacks, 0.5)), millis(quantile(callbacks, 0.99)))
	return nil
}

func (w *world) convertAll(ctx context.Context, clicks []string) ([]chain, error) {
	chains := make([]chain, len(clicks))
	err := atOnce(ctx, updatesAtOnce, len(clicks), func(ctx context.Context, i int) error {
		chains[i].sent = time.Now()
		answer, err := w.tenant.Convert(ctx, clicks[i], "")
		if err == nil && answer.Outcome == "queued" {
			answer, err = w.tenant.Decided(ctx, answer.PostbackID)
		}
		if err == nil && answer.Outcome != "accepted" {
			err = fmt.Errorf("the postback of click %s was answered %q, %q", clicks[i], answer.Outcome, answer.Reason)
		}
		chains[i].answered, chains[i].conversion = time.Now(), answer.ConversionID
		return err
	})
	return chains, err
}

// dueAfter is how long rewards are Pending where their lateness is measured.
const dueAfter = 5 * time.Second

// dueRewards is how long after its release a reward's callback arrives, at ten rewards a second.
func (w *world) dueRewards(ctx context.Context, a *app, link string, r *report) error {
	clicks, err := w.parkedClicks(ctx, 2*w.calm, link)
	if err != nil {
		return err
	}
	ids := make([]string, 0, len(clicks))
	for _, click := range clicks {
		time.Sleep(100 * time.Millisecond)
		chains, err := w.convertAll(ctx, []string{click})
		if err != nil {
			return err
		}
		ids = append(ids, chains[0].conversion)
	}
	if _, err := a.all(ctx, ids); err != nil {
		return err
	}
	late := make([]time.Duration, len(ids))
	for i, id := range ids {
		got, _ := a.of(id)
		if got.releaseAt == nil {
			return fmt.Errorf("conversion %s was not Pending", id)
		}
		late[i] = got.at.Sub(*got.releaseAt)
	}
	r.section("A reward falls due → its callback arrives",
		fmt.Sprintf("%d rewards that were Pending for %v, ten a second, against releaseAt.", len(ids), dueAfter), "p50", "p99")
	r.row(millis(quantile(late, 0.5)), millis(quantile(late, 0.99)))
	return nil
}
