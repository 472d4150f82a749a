package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api"
)

// Lists are cheap however many clicks there are: each filter reads the index that has its rows in their
// order, one page and no more, whether or not the plan knows the values. The clicks of the tenant beside
// have the same offers, partners and members.
func TestListsOfClicksReadOnlyTheirPage(t *testing.T) {
	t.Parallel()
	watcher, b := watchedBook(t)
	b.manyClicks(30_000, b.tenantID, uuid.New())
	idOf := func(name string) string { return b.textValue("SELECT md5($1)::uuid::text", name) }
	since := b.textValue("SELECT to_char(now() - interval '4 hours', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')", nil)
	for _, c := range []struct {
		index  string
		filter map[string]string
	}{
		{"clicks_tenant", nil},
		{"clicks_tenant", map[string]string{"to": since}},
		{"clicks_member", map[string]string{"pubMemberId": "m2"}},
		{"clicks_member", map[string]string{"pubMemberId": "m2", "to": since}},
		{"clicks_offer", map[string]string{"offerId": idOf("offer1")}},
		{"clicks_partner", map[string]string{"partnerId": idOf("partner2")}},
		{"clicks_reason", map[string]string{"refusedReason": "capped"}},
		{"clicks_offer_reason", map[string]string{"refusedReason": "capped", "offerId": idOf("offer0")}},
		{"clicks_sub_1", map[string]string{"pubSub1": "campaign2"}},
		{"clicks_sub_2", map[string]string{"pubSub2": "own1234"}},
		{"clicks_sub_15", map[string]string{"pubSub15": "none"}},
	} {
		t.Run(fmt.Sprint(c.index, c.filter), func(t *testing.T) {
			query, values := url.Values{}, []string{b.tenantID.String()}
			for _, name := range slices.Sorted(maps.Keys(c.filter)) {
				query.Set("filter."+name, c.filter[name])
				values = append(values, c.filter[name])
			}
			watcher.forget()
			b.me.get("/api/v1/clicks?"+query.Encode()).into(http.StatusOK, nil)
			pages := watcher.pages()
			require.Len(t, pages, 1)
			for sql, role := range pages {
				require.Equal(t, "offerflow_app", role)
				for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
					plan := b.analyzed(t, role, mode, sql, values)
					require.Contains(t, b.indexesOf(plan), c.index, "%s: %s", mode, plan)
					require.LessOrEqual(t, rowsRead(t, plan), 200, "%s: %s", mode, plan)
				}
			}
		})
	}
}

// A member's postbacks and deliveries are found by way of its clicks and conversions: the log is not read.
func TestListsOfAMemberReadNoOtherRows(t *testing.T) {
	t.Parallel()
	watcher, b := watchedBook(t)
	b.manyClicks(20_000, b.tenantID)
	b.exec(`
		INSERT INTO postbacks (tenant_id, id, received_at, click_id, method, path, source_ip, params, outcome, decided_at)
			SELECT tenant_id, id, clicked_at, id, 'GET', '/track', '', '{}', 'refused', clicked_at FROM clicks;
		INSERT INTO conversions (tenant_id, id, click_id, postback_id, offer_id, offer_version, event_id, advertiser_id, pub_member_id, status, sequence, currency,
			revenue_micros, payout_micros, reward_micros, received_at, created_at, user_completed_at, unique_per, is_counted, counted_day, counted_week, counted_month)
			SELECT tenant_id, id, id, id, offer_id, 1, gen_random_uuid(), advertiser_id, pub_member_id, 'Pending', 1, 'USD', 0, 0, 0, clicked_at, clicked_at, clicked_at,
				'click', false, now(), now(), now() FROM clicks;
		INSERT INTO deliveries (tenant_id, id, kind, endpoint_id, conversion_id, sequence, status, state, body, created_at)
			SELECT tenant_id, id, 'callback', gen_random_uuid(), id, 1, 'Pending', 'delivered', '{}', clicked_at FROM clicks;
		ANALYZE postbacks; ANALYZE conversions; ANALYZE deliveries`)
	for path, index := range map[string]string{"/api/v1/postbacks": "postbacks_click", "/api/v1/deliveries": "deliveries_lane"} {
		watcher.forget()
		var list page[struct{ ID string }]
		b.me.get(path+"?filter.pubMemberId=m2").into(http.StatusOK, &list)
		require.Equal(t, 40, list.TotalCount, path)
		for sql, role := range watcher.pages() {
			for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
				plan := b.analyzed(t, role, mode, sql, []string{b.tenantID.String(), "m2"})
				require.Contains(t, b.indexesOf(plan), index, "%s: %s", mode, plan)
				require.LessOrEqual(t, rowsRead(t, plan), 200, "%s: %s", mode, plan)
			}
		}
	}
}

// watchedBook is a book whose statements are seen.
func watchedBook(t *testing.T) (*stripper, *book) {
	t.Helper()
	b := newBook(t)
	watcher, address := newStripper(t, b.database)
	watcher.watches = true
	there := *b
	there.site = newSiteOn(t, b.database, address+"&default_query_exec_mode=cache_describe", func(s *api.Server) { s.Keys, s.Config = b.api.Keys, b.api.Config })
	there.me = &caller{site: there.site, t: t, headers: b.me.headers}
	return watcher, &there
}

var indexRead = regexp.MustCompile(`(?:using|Bitmap Index Scan on) (\w+)`)

// indexesOf are the indexes that a plan reads, those of partitions by the name of the whole.
func (b *book) indexesOf(plan string) (names []string) {
	b.t.Helper()
	for _, found := range indexRead.FindAllStringSubmatch(plan, -1) {
		names = append(names, b.textValue("SELECT coalesce((SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = $1::text::regclass), $1::text)", found[1]))
	}
	return names
}

var (
	scanned = regexp.MustCompile(`Scan .*\(actual rows=(\d+) loops=(\d+)\)`)
	removed = regexp.MustCompile(`Rows Removed by (?:Filter|Index Recheck): (\d+)`)
)

// rowsRead is how many rows and entries of indexes the scans of a plan came across.
func rowsRead(t *testing.T, plan string) (rows int) {
	t.Helper()
	for _, found := range append(scanned.FindAllStringSubmatch(plan, -1), removed.FindAllStringSubmatch(plan, -1)...) {
		read := 1
		for _, figure := range found[1:] {
			n, err := strconv.Atoi(figure)
			require.NoError(t, err)
			read *= n
		}
		rows += read
	}
	return rows
}

// textValue reads one text as the superuser.
func (b *book) textValue(query string, arg any) (text string) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.database)
	require.NoError(b.t, err)
	defer conn.Close(b.t.Context())
	var args []any
	if arg != nil {
		args = append(args, arg)
	}
	require.NoError(b.t, conn.QueryRow(b.t.Context(), query, args...).Scan(&text))
	return text
}

// analyzed runs a statement as its role and says how, and how many rows it read.
func (b *book) analyzed(t *testing.T, role, mode, sql string, values []string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), b.database)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	for _, set := range []string{"plan_cache_mode = " + mode, "jit = off", "role = " + role} {
		_, err := conn.Exec(t.Context(), "SET "+set)
		require.NoError(t, err)
	}
	_, err = conn.Exec(t.Context(), "SELECT set_config('offerflow.tenant', $1, false)", b.tenantID.String())
	require.NoError(t, err)
	_, err = conn.Prepare(t.Context(), "page", sql)
	require.NoError(t, err)
	rows, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE page('"+strings.Join(values, "', '")+"')", pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err, sql)
	return strings.Join(lines, "\n")
}
