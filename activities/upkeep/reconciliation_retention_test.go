package upkeep

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
)

// Rule 61: old comparisons that found both books equal go with the retention. What differed stays, and
// so does each partnership's last one, from which the next goes on.
func TestRule61EqualComparisonsAreForgotten(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	_, p := rig.ReconciledOffer()
	_, old := rig.ReconciledOffer()
	const insert = `INSERT INTO reconciliations (partnership_id, id, at, from_day, to_day, days, differences, found, repaired)
		SELECT $1, gen_random_uuid(), now() - make_interval(days => n), current_date, current_date, '[]', '[]', $3, 0 FROM unnest($2::int[]) n`
	rig.System(insert, p.ID, []int{1, 364, 366, 400}, 0)
	rig.System(insert, p.ID, []int{399}, 1)
	rig.System(insert, old.ID, []int{500, 501}, 0)
	days := func(of uuid.UUID) (left []int) {
		rows, err := rig.Store.SystemPool().Query(t.Context(), `SELECT round(extract(epoch FROM now() - at) / 86400)::int FROM reconciliations WHERE partnership_id = $1 ORDER BY 1`, of)
		require.NoError(t, err)
		left, err = pgx.CollectRows(rows, pgx.RowTo[int])
		require.NoError(t, err)
		return left
	}
	retention := &Retention{Store: rig.Store, After: year, Now: time.Now}
	gone, err := retention.DropExpired(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, gone.Reconciliations)
	require.Equal(t, []int{1, 364, 399}, days(p.ID))
	require.Equal(t, []int{500}, days(old.ID), "the last one")

	// Whatever the setting, the database keeps what is younger than 60 days, and what differed.
	_, err = rig.Store.SystemPool().Exec(t.Context(), `DELETE FROM reconciliations WHERE partnership_id = $1`, p.ID)
	require.NoError(t, err)
	require.Equal(t, []int{1, 399}, days(p.ID))
}
