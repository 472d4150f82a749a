package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api"
)

// Invariant 10 over the whole surface: one tenant's token with another's real ids. In a path they
// answer 404, in a body 400 with the field's name, as a filter they find nothing; and nothing of the
// other tenant changes. The routes come from the OpenAPI document, the ids from the makers in
// foreign_makers_test.go.
func TestEveryRouteKeepsTenantsApart(t *testing.T) {
	t.Parallel()
	theirs, mine := twoRichTenants(t)
	surface := theirs.surface()
	before, rows := theirs.everyAnswer(surface), theirs.everyRow()

	for _, o := range surface.operations {
		key := o.method + " " + o.path
		t.Run(key, func(t *testing.T) {
			nouns := nounsIn(t, o.path)
			mine.foreignPath(t, o, nouns, theirs)
			if o.method == http.MethodGet {
				mine.foreignFilters(t, o, nouns, theirs)
			}
			for _, field := range surface.idFields(o) {
				if notHere[key] != "" {
					continue
				}
				mine.foreignField(t, o, nouns, field, theirs)
			}
			for name := range surface.idQueries(o) {
				mine.foreignQuery(t, o, nouns, name, theirs)
			}
		})
	}

	require.Equal(t, rows, theirs.everyRow(), "rows of the other tenant were changed")
	for path, answer := range theirs.everyAnswer(surface) {
		require.Equal(t, before[path], answer, "%s answers something else to its own tenant", path)
	}
	// Only now, since it changes things: the same requests with the same ids are good ones of their own
	// tenant, so that nothing above was refused for another reason.
	for _, o := range surface.operations {
		if nouns := nounsIn(t, o.path); len(nouns) > 0 {
			t.Run("its own: "+o.method+" "+o.path, func(t *testing.T) { theirs.ownPath(t, o, nouns) })
		}
	}
}

func twoRichTenants(t *testing.T) (theirs, mine *rich) {
	t.Helper()
	b := newBook(t, func(s *api.Server) {
		s.Config.CallbackAllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	theirs = &rich{book: b, member: "their-member", ids: map[string]string{}}
	mine = &rich{book: b.neighbour("Other"), member: "my-member", ids: map[string]string{}}
	return theirs.everything(), mine.everything()
}

// foreignPath puts the other tenant's id where an id stands in the path, one at a time and all at once.
func (r *rich) foreignPath(t *testing.T, o operation, nouns []string, other *rich) {
	t.Helper()
	if len(nouns) == 0 {
		return
	}
	if nouns[0] == "member" { // no row of ours: a foreign member is one that was never seen
		mine, nobody := r.ask(t, o, []string{other.member}), r.ask(t, o, []string{"nobody-at-all"})
		require.Equal(t, nobody.status, mine.status)
		require.Equal(t, string(nobody.body), string(mine.body), "another tenant's member is seen")
		return
	}
	for i := range nouns {
		ids := r.idsOf(nouns)
		for j := i; j < len(nouns); j++ {
			ids[j] = other.own(nouns[j])
		}
		answer := r.ask(t, o, ids)
		require.Equal(t, http.StatusNotFound, answer.status, "a foreign %s in the path: %s\n(if this is a refusal of the body, give bodies in foreign_makers_test.go one that is right)", nouns[i], answer.body)
		answer.refused(http.StatusNotFound)
	}
}

// ownPath is the control of foreignPath.
func (r *rich) ownPath(t *testing.T, o operation, nouns []string) {
	t.Helper()
	answer := r.ask(t, o, r.idsOf(nouns))
	require.NotContains(t, []int{http.StatusNotFound, http.StatusBadRequest, http.StatusForbidden}, answer.status,
		"its own ids: %s\n(the maker makes the wrong thing, or bodies in foreign_makers_test.go lacks this route)", answer.body)
	require.Less(t, answer.status, 500, "%s", answer.body)
}

// foreignField sets one id of a body to the other tenant's.
func (r *rich) foreignField(t *testing.T, o operation, nouns []string, field string, other *rich) {
	t.Helper()
	key, name := o.method+" "+o.path, field[strings.LastIndex(field, ".")+1:]
	noun := nounOf(key, strings.TrimSuffix(name, "[]"))
	require.NotEmpty(t, noun, "whose id is %s in the body of %s? Add %q to nounOfField in foreign_makers_test.go, or to notAnID", field, key, name)
	send := func(owner *rich) *answer {
		body := r.bodyOf(o)
		maps.Copy(body, bodiesWith[key+" "+field])
		setField(body, strings.Split(field, "."), owner.own(noun))
		return r.askWith(t, o, r.idsOf(nouns), body)
	}
	answer := send(other)
	if perItem[key] {
		foreign, never := other.own(noun), uuid.NewString()
		unknown := send(&rich{book: r.book, ids: map[string]string{noun: never}})
		require.Equal(t, unknown.status, answer.status)
		require.Equal(t, strings.ReplaceAll(string(unknown.body), never, foreign), string(answer.body))
		return
	}
	if filterBody[key] {
		var found struct{ Count *int }
		answer.into(answer.status, &found)
		require.NotNil(t, found.Count, "%s", answer.body)
		require.Zero(t, *found.Count, "%s", answer.body)
		return
	}
	require.Equal(t, http.StatusBadRequest, answer.status, "a foreign %s in %s: %s", noun, field, answer.body)
	require.Contains(t, answer.fields(), strings.TrimSuffix(field, "[]"), "the refusal names another field: %s", answer.body)
	require.NotContains(t, send(r).fields(), strings.TrimSuffix(field, "[]"), "its own is refused too: the test proves nothing")
}

func nounOf(key, name string) string {
	if noun := nounOfField[key+" "+name]; noun != "" {
		return noun
	}
	return nounOfField[name]
}

// foreignQuery gives a parameter that takes an id the other tenant's.
func (r *rich) foreignQuery(t *testing.T, o operation, nouns []string, name string, other *rich) {
	t.Helper()
	noun := nounOf(o.method+" "+o.path, name)
	require.NotEmpty(t, noun, "whose id is ?%s= of %s %s? Add %q to nounOfField in foreign_makers_test.go", name, o.method, o.path, name)
	answer := r.ask(t, o, r.idsOf(nouns), name+"="+other.own(noun))
	if answer.status == http.StatusOK {
		require.Zero(t, answer.total(), "a foreign %s finds something: %s", noun, answer.body)
		return
	}
	require.Contains(t, []int{http.StatusBadRequest, http.StatusNotFound}, answer.status, "%s", answer.body)
}

var knownFilters = regexp.MustCompile(`is not a filter here; there are: ([A-Za-z0-9, ]+)`)

// foreignFilters tries all of the other tenant's ids in every filter of a list. The list itself says
// which filters it has.
func (r *rich) foreignFilters(t *testing.T, o operation, nouns []string, other *rich) {
	t.Helper()
	whole := r.ask(t, o, r.idsOf(nouns), "page_size=100")
	for _, id := range other.ids {
		require.NotContains(t, string(whole.body), id, "shows another tenant's id")
	}
	if whole.total() < 0 {
		return // not a list
	}
	names := knownFilters.FindStringSubmatch(string(r.ask(t, o, r.idsOf(nouns), "filter.noSuchField=1").body))
	require.NotNil(t, names, "a list refuses an unknown filter and names the known ones")
	ids, hits := slices.Sorted(maps.Values(other.ids)), 0
	takesIDs := false
	for name := range strings.SplitSeq(names[1], ", ") {
		isID := strings.Contains(string(r.ask(t, o, r.idsOf(nouns), "filter."+name+"=x").body), "must be an id")
		foreign := url.Values{}
		for _, id := range ids {
			if !isID || strings.Count(id, "-") == 4 {
				foreign.Add("filter."+name, id)
			}
		}
		answer := r.ask(t, o, r.idsOf(nouns), foreign.Encode())
		if isID || answer.status != http.StatusBadRequest { // dates and numbers refuse ids
			require.Equal(t, http.StatusOK, answer.status, "%s", answer.body)
			require.Zero(t, answer.total(), "filter.%s finds another tenant's: %s", name, answer.body)
		}
		if isID {
			takesIDs = true
			hits += other.ask(t, o, other.idsOf(nouns), foreign.Encode()).total()
		}
	}
	require.False(t, takesIDs && hits == 0, "the other tenant has nothing in this list, so that the test proves nothing: add a maker to foreign_makers_test.go")
}

// idsOf are the tenant's own ids.
func (r *rich) idsOf(nouns []string) []string {
	ids := make([]string, len(nouns))
	for i, noun := range nouns {
		ids[i] = r.own(noun)
	}
	return ids
}

// ask sends a request that is right but for its ids.
func (r *rich) ask(t *testing.T, o operation, ids []string, query ...string) *answer {
	t.Helper()
	if !o.takesBody {
		return r.askWith(t, o, ids, nil, query...)
	}
	return r.askWith(t, o, ids, r.bodyOf(o), query...)
}

func (r *rich) askWith(t *testing.T, o operation, ids []string, body map[string]any, query ...string) *answer {
	t.Helper()
	path := o.with(ids)
	if required := queries[o.path]; required != nil && o.method == http.MethodGet {
		query = append(query, required())
	}
	if len(query) > 0 {
		path += "?" + strings.Join(query, "&")
	}
	me := r.me.in(t).with(headers[o.method+" "+o.path]...)
	if body == nil {
		return me.send(o.method, path, nil)
	}
	return me.send(o.method, path, body)
}

// bodyOf is a body that the tenant may send.
func (r *rich) bodyOf(o operation) map[string]any {
	if body := bodies[o.method+" "+o.path]; body != nil {
		return body(r)
	}
	required, _ := sample(o.schema, o.schemas, r).(map[string]any)
	if required == nil {
		required = map[string]any{}
	}
	return required
}

// total is a list's totalCount, or -1 where the answer is no list.
func (a *answer) total() int {
	var list struct {
		TotalCount *int `json:"totalCount"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &list) != nil || list.TotalCount == nil {
		return -1
	}
	return *list.TotalCount
}

// fields are those that a refusal names.
func (a *answer) fields() (fields []string) {
	var p refusal
	_ = json.Unmarshal(a.body, &p)
	for _, e := range p.Errors {
		fields = append(fields, strings.TrimSuffix(e.Field, "[0]"))
	}
	return fields
}

// everyAnswer is what every GET answers to the tenant itself.
func (r *rich) everyAnswer(s *surface) map[string]string {
	r.t.Helper()
	answers := map[string]string{}
	for _, o := range s.operations {
		if o.method != http.MethodGet {
			continue
		}
		answer := r.ask(r.t, o, r.idsOf(nounsIn(r.t, o.path)))
		if answer.status == http.StatusForbidden { // the operator's
			continue
		}
		require.Equal(r.t, http.StatusOK, answer.status, "GET %s: %s\n(does it require a query? Add it to queries in foreign_makers_test.go)", o.path, answer.body)
		answers[o.path] = string(answer.body)
	}
	return answers
}

// everyRow is a digest of the tenant's rows in every table.
func (r *rich) everyRow() map[string]string {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.database)
	require.NoError(r.t, err)
	defer conn.Close(r.t.Context())
	rows, err := conn.Query(r.t.Context(), `SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE a.attname = 'tenant_id' AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND NOT c.relispartition`)
	require.NoError(r.t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(r.t, err)
	digests := map[string]string{}
	for _, table := range tables {
		var digest string
		require.NoError(r.t, conn.QueryRow(r.t.Context(), fmt.Sprintf(
			`SELECT count(*) || ' ' || coalesce(md5(string_agg(x::text, E'\n' ORDER BY x::text)), '') FROM %s x WHERE tenant_id = $1`,
			pgx.Identifier{table}.Sanitize()), r.tenantID).Scan(&digest))
		digests[table] = digest
	}
	return digests
}
