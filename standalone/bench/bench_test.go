package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

// Every figure is taken once with tiny numbers, so that the benchmarks never rot. What comes out is
// not judged: a machine that runs tests is not one that measures.
func TestEveryFigureIsMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("boots two sites to measure them")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tiny := scale{
		pairs: 1, window: 200 * time.Millisecond, steady: 300 * time.Millisecond, conns: 8,
		backlog: 200, parked: 60, drained: 40, postbacks: 20, chains: 20, reviewed: 150, calm: 2,
		copied: 300 * time.Millisecond, edits: 2, partnerships: 3,
	}
	var out strings.Builder
	r, err := measure(ctx, tiny, figures, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	text := r.markdown("go test")
	for _, figure := range []string{
		"Durable redirects", "Latency at 500", "Clicks into rows", "while a backlog", "Postbacks decided", "single postback",
		"Whole chains", "falls due", "parked click takes", "reviewed by a job", "A file of", "visible in the publisher's", "live stream tells", "through both books",
	} {
		if !strings.Contains(text, figure) {
			t.Errorf("no figure %q in:\n%s", figure, text)
		}
	}
}

func TestMedianQuantileAndTargets(t *testing.T) {
	if m := median([]float64{3, 1, 2}); m != 2 {
		t.Error(m)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Error(m)
	}
	if q := quantile([]time.Duration{3, 1, 2}, 0.99); q != 3 {
		t.Error(q)
	}
	if _, verdict := versus(0.69, "≥", 0.7); verdict != "≥ 0.7: **no**" {
		t.Error(verdict)
	}
	if _, verdict := versus(1.9, "≤", 2); verdict != "≤ 2: yes" {
		t.Error(verdict)
	}
}
