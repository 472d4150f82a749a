package consumer

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/workflows"
)

// A full stream of starts stops no row: the start is owed in the database, and made up for.
func refusedStarts(t *testing.T, r *rig) {
	found, err := r.js.Stream(t.Context(), stream.Starts)
	require.NoError(t, err)
	before := found.CachedInfo().Config
	full := before
	full.MaxBytes = 1
	_, err = r.js.UpdateStream(t.Context(), full)
	require.NoError(t, err)
	click := r.click(t, r.ordered)
	r.until(t, "the workflow of the click", func() bool { return r.waits(t, workflows.ClickWorkflowID(click)) })
	r.until(t, "nothing owed", func() bool { return r.count(t, `SELECT count(*) FROM owed_starts`) == 0 })
	_, err = r.js.UpdateStream(t.Context(), before)
	require.NoError(t, err)
}

// A release a day away, and one that waits for a verdict: both runs end once the verdict has come.
func verdictEndsTheWait(t *testing.T, r *rig) {
	for _, c := range []struct {
		event, first, verdict string
		want                  domain.Status
	}{{"Third", "", "rejected", domain.StatusRejected}, {"First", "pending", "approved", domain.StatusSuccess}} {
		click := r.click(t, r.ordered)
		p := r.postback(click, c.event)
		p.Status = c.first
		pending := answered(t, r.send(t, p))
		require.Equal(t, domain.StatusPending, pending.Status)
		run := workflows.ConversionWorkflowID(*pending.ConversionID)
		r.until(t, "the wait of the Pending conversion", func() bool { return r.waits(t, run) })
		p = r.postback(click, c.event)
		p.Status = c.verdict
		settled := answered(t, r.send(t, p))
		require.Equal(t, []any{c.want, *pending.ConversionID}, []any{settled.Status, *settled.ConversionID})
		r.until(t, "the end of its wait", func() bool { return r.ended(t, run) })
	}
}
