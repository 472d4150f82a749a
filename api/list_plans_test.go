package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// sortsItself are the lists whose order no index can have, and why sorting is cheap there.
var sortsItself = map[string]string{
	"/api/v1/offers/{id}/goals":              "the goals of one document",
	"/api/v1/members/{pub_member_id}/offers": "the offers of one member, summed up from the member's clicks",
	"/api/v1/members/{pub_member_id}/ledger": "the entries of one member, which its count reads too",
	"/api/v1/exchange/requests":              "what people asked, one at a time, read through the partnerships of one tenant",
	"/api/v1/offer-wall/offers":              "in memory",
	"/api/v1/offer-wall/pub-member/offers":   "in memory, the offers of one member",
}

// pageQuery is the statement of one page of a list.
var pageQuery = regexp.MustCompile(` LIMIT \d+ OFFSET \d+$`)

// Every list of the OpenAPI document is asked for its first page, and the statement of each is explained
// as the role that sent it, where sorting costs more than anything else: what sorts nevertheless has no
// index that knows the order, and would sort everything that the tenant has. A list that is added is
// tested without being named here.
func TestDefaultListsComeInTheOrderOfAnIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watcher, address := newStripper(t, w.database)
	watcher.watches = true
	w = w.by(t, address+"&default_query_exec_mode=cache_describe") // every statement is sent each time
	asked := 0
	for _, o := range w.surface().operations {
		if o.method != http.MethodGet || !slices.ContainsFunc(o.parameters, func(p parameter) bool { return p.Name == "page_size" }) {
			continue
		}
		t.Run(o.path, func(t *testing.T) {
			nouns := nounsIn(t, o.path)
			answered := 0
			for _, who := range w.whoAsks(t, o) {
				watcher.forget()
				if who.ask(o, who.idsOf(nouns)).status != http.StatusOK {
					continue
				}
				answered++
				if sortsItself[o.path] != "" {
					continue
				}
				pages := watcher.pages()
				require.NotEmpty(t, pages, "no statement of a page was seen: is the list in memory? Then say so in sortsItself")
				for sql, role := range pages {
					plan := w.genericPlan(t, role, sql)
					require.NotRegexp(t, `(?m)^\s*(->\s+)?Sort\s+\(`, plan, "the default order of %s needs an index:\n%s", o.path, sql)
					if role == "offerflow_app" {
						requireConditions(t, plan)
					}
					asked++
				}
			}
			require.NotZero(t, answered, "nobody was answered")
		})
	}
	require.Greater(t, asked, 25, "lists whose plan was looked at")
}

// requireConditions looks for an index that is read whole: it would be in the right order by chance, and
// through the rows of all tenants.
func requireConditions(t *testing.T, plan string) {
	t.Helper()
	lines := strings.Split(plan, "\n")
	for i, line := range lines {
		if strings.Contains(line, "Index Scan") || strings.Contains(line, "Index Only Scan") {
			require.True(t, i+1 < len(lines) && strings.Contains(lines[i+1], "Index Cond"), "an index is read whole:\n%s", plan)
		}
	}
}

// whoAsks are an advertiser, a publisher, one of its partners, and the operator.
func (w *world) whoAsks(t *testing.T, o operation) []*rich {
	publisher := w.tenants[1].in(t)
	who := []*rich{w.tenants[0].in(t), publisher, publisher.withHeaders("Authorization", "Bearer "+operatorToken)}
	if slices.Contains(openToPartners, o.path) {
		who = append(who, publisher.asPartner())
	}
	for _, r := range who {
		r.secret = nil // the operator sees everything
	}
	return who
}

func (s *stripper) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sent)
	clear(s.by)
}

// pages are the statements of pages that were sent, by the role that sent them.
func (s *stripper) pages() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	pages := maps.Clone(s.by)
	maps.DeleteFunc(pages, func(sql, _ string) bool { return !pageQuery.MatchString(sql) })
	return pages
}

// genericPlan explains a statement whatever its parameters are.
func (w *world) genericPlan(t *testing.T, role, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.database)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	for _, set := range []string{"enable_sort = off", "enable_seqscan = off", "enable_bitmapscan = off", "plan_cache_mode = force_generic_plan", "role = " + role} {
		_, err := conn.Exec(t.Context(), "SET "+set)
		require.NoError(t, err)
	}
	_, err = conn.Exec(t.Context(), "SELECT set_config('offerflow.tenant', $1, false)", w.tenants[0].tenantID.String())
	require.NoError(t, err)
	statement, err := conn.Prepare(t.Context(), "page", sql)
	require.NoError(t, err)
	execute := "EXPLAIN EXECUTE page"
	if n := len(statement.ParamOIDs); n > 0 {
		execute += "(" + strings.TrimSuffix(strings.Repeat("NULL, ", n), ", ") + ")"
	}
	rows, err := conn.Query(t.Context(), execute, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err, fmt.Sprint(execute))
	return strings.Join(lines, "\n")
}
