package consumer

import (
	"testing"

	"github.com/stretchr/testify/require"

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
