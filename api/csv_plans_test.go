package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// csvQuery is the statement of one batch.
var csvQuery = regexp.MustCompile(` LIMIT 501$`)

// Conversions are asked for by each of their times, as pages and in CSV of more than one batch, by each who may:
// every statement is read in the order of an index that begins with whose they are, and the second batch begins
// in the index where the first ended.
func TestConversionsByAnyTimeComeInTheOrderOfAnIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.tenants[1]
	id := me.own("conversion")
	w.write(fmt.Sprintf(`INSERT INTO conversions (SELECT (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'unique_per', 'none',
		'partner_id', '%s', 'payout_rule', '{"kind": "event"}'::jsonb, 'created_at', c.created_at - n * interval '1 second', 'decided_at', c.created_at - n * interval '1 second',
		'user_completed_at', c.created_at - n * interval '1 second'))).* FROM conversions c, generate_series(1, 1100) n WHERE c.id = '%s')`, me.own("partner"), id))
	watcher, address := newStripper(t, w.database)
	watcher.watches = true
	there := w.by(t, address+"&default_query_exec_mode=cache_describe")
	looked := 0
	for _, prefix := range []string{"user_completed_at_", "created_at_", "decided_at_"} {
		for whose, who := range map[string]*rich{
			"tenant_id": there.tenants[1].in(t), "partner_id": there.tenants[1].in(t).asPartner(), "advertiser_id": there.tenants[1].in(t).asAdvertiser(),
		} {
			path := conversionsPath + "?" + prefix + "from=" + day(-30) + "&" + prefix + "to=" + day(30)
			watcher.forget()
			require.Equal(t, http.StatusOK, who.me.get(path).status)
			require.Greater(t, len(who.me.csv(path)), 1100)
			statements := watcher.statements()
			maps.DeleteFunc(statements, func(sql, _ string) bool { return !pageQuery.MatchString(sql) && !csvQuery.MatchString(sql) })
			require.Len(t, statements, 3, "a page, the first batch, and one behind it")
			for sql, role := range statements {
				plan := w.genericPlan(t, role, sql)
				require.NotRegexp(t, `(?m)^\s*(->\s+)?(Incremental )?Sort\s+\(`, plan, sql)
				requireConditions(t, plan)
				require.Regexp(t, `Index Cond: .*\(`+whose+` = `, plan, "others' rows are passed over one by one:\n%s", sql)
				if strings.Contains(sql, ", c.id) < ($") {
					require.Contains(t, plan, "ROW(", "the next batch begins where the last ended:\n%s", plan)
				}
				looked++
			}
		}
	}
	require.Equal(t, 27, looked)
}

// statements are what was sent, by the role that sent it.
func (s *stripper) statements() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.by)
}
