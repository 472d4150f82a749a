package api_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A readonly token leaves nothing behind: every route is called with it, as its tenant would call it, and
// no row of any table is another afterwards. With the token that may write, the two GETs that write do.
func TestAReadonlyTokenWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	surface := w.surface()
	var readers []*rich
	for _, me := range w.tenants {
		reader := *me.in(t)
		reader.me, reader.secret = me.me.token("readonly"), nil
		readers = append(readers, &reader)
	}
	before := w.contents()
	for _, me := range readers {
		for _, o := range surface.operations {
			if slices.Contains(streaming, o.path) {
				continue
			}
			var body map[string]any // a body that fits would be made with rows of its own
			if o.takesBody {
				body = map[string]any{}
			}
			answer := me.askWith(o, me.idsOf(nounsIn(t, o.path)), body)
			if o.method == http.MethodGet {
				require.Less(t, answer.status, http.StatusInternalServerError, "%s %s: %s", o.method, o.path, answer.body)
				continue
			}
			require.Equal(t, http.StatusForbidden, answer.status, "%s %s: %s", o.method, o.path, answer.body)
		}
	}
	after := w.contents()
	for _, table := range slices.Sorted(maps.Keys(before)) {
		require.Equal(t, before[table], after[table], "table %s", table)
	}
	// Shown without a view, which would be a row.
	var shown struct{ ViewID *string }
	publisher, reader := w.tenants[1], readers[1]
	details := "/api/v1/offer-wall/offer-details?" + queries["/api/v1/offer-wall/offer-details"](publisher)
	reader.me.get(details).into(http.StatusOK, &shown)
	require.Nil(t, shown.ViewID)
	publisher.me.get(details).into(http.StatusOK, &shown)
	require.NotNil(t, shown.ViewID)
	require.NotEqual(t, after["offer_views"], w.contents()["offer_views"], "the control: a view was made")
}

// contents are the number of rows of each table and a sum of what they hold.
func (w *world) contents() map[string]string {
	w.t.Helper()
	rows, err := w.store.SystemPool().Query(w.t.Context(), `SELECT c.relname, query_to_xml(format(
		'SELECT count(*) AS n, coalesce(sum(hashtextextended(t::text, 0)), 0) AS sum FROM %I.%I t', n.nspname, c.relname), false, true, '')::text
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND has_table_privilege(c.oid, 'SELECT')`)
	require.NoError(w.t, err)
	defer rows.Close()
	contents := map[string]string{}
	for rows.Next() {
		var table, sum string
		require.NoError(w.t, rows.Scan(&table, &sum))
		contents[table] = sum
	}
	require.NoError(w.t, rows.Err())
	require.Greater(w.t, len(contents), 30)
	return contents
}
