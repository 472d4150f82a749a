package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// hearing is one side's live stream and when it told of each version.
type hearing struct {
	mu    sync.Mutex
	heard map[int64]time.Time
	ended chan error
}

// listen opens a tenant's live stream and returns once it is open.
func listen(ctx context.Context, as *blackbox.Client) (*hearing, error) {
	h := &hearing{heard: map[int64]time.Time{}, ended: make(chan error, 1)}
	opened := make(chan struct{})
	go func() {
		h.ended <- as.Live(ctx, "", func() { close(opened) }, h.take)
	}()
	select {
	case <-opened:
		return h, nil
	case err := <-h.ended:
		return nil, fmt.Errorf("the live stream ends: %w", err)
	}
}

func (h *hearing) take(event blackbox.LiveEvent) bool {
	at := time.Now()
	var change struct{ Version int64 }
	if event.Name == "change" && json.Unmarshal(event.Data, &change) == nil {
		h.mu.Lock()
		h.heard[change.Version] = at
		h.mu.Unlock()
	}
	return true
}

// of waits until a version was told of.
func (h *hearing) of(ctx context.Context, version int64) (at time.Time, err error) {
	err = until(ctx, func() (bool, error) {
		select {
		case err := <-h.ended:
			return false, fmt.Errorf("the live stream ends: %w", err)
		default:
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		var ok bool
		at, ok = h.heard[version]
		return ok, nil
	})
	return at, err
}

// measureLive is how long after an edit was sent the other side's live stream tells of it.
func (w *world) measureLive(ctx context.Context, d deal, r *report) error {
	r.section("An edit is sent → the other side's live stream tells of it",
		fmt.Sprintf("%d edits a side, one after the other, from the start of the request to the event.", w.edits),
		"edited by", "sent → answered, p50", "sent → event, p50", "p99", "target for p99, ms")
	for _, side := range []struct {
		name     string
		from, to *blackbox.Client
	}{{"the advertiser", d.advertiser, d.publisher}, {"the publisher", d.publisher, d.advertiser}} {
		answers, events, err := w.editsHeard(ctx, d, side.from, side.to)
		if err != nil {
			return err
		}
		p99 := quantile(events, 0.99)
		_, verdict := versus(float64(p99.Microseconds())/1000, "≤", 500)
		r.row(side.name, millis(quantile(answers, 0.5)), millis(quantile(events, 0.5)), millis(p99), verdict)
	}
	return nil
}

func (w *world) editsHeard(ctx context.Context, d deal, from, to *blackbox.Client) (answers, events []time.Duration, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	h, err := listen(ctx, to)
	if err != nil {
		return nil, nil, err
	}
	offer, err := from.SharedOffer(ctx, d.SharedOfferID)
	if err != nil {
		return nil, nil, err
	}
	for i := range w.edits {
		sent := time.Now()
		fields := map[string]any{"headline": fmt.Sprintf("Edit %d at %d", i, sent.UnixNano())}
		if offer, err = from.Edit(ctx, d.SharedOfferID, offer.Version, fields); err != nil {
			return nil, nil, err
		}
		answers = append(answers, time.Since(sent))
		at, err := h.of(ctx, offer.Version)
		if err != nil {
			return nil, nil, err
		}
		events = append(events, at.Sub(sent))
	}
	return answers, events, nil
}
