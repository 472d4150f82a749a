package api_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// csvRows are an answer in CSV, its names first.
type csvRows [][]string

// byName is a row, by the names of its columns.
func (r csvRows) byName(row int) map[string]string {
	named := map[string]string{}
	for i, name := range r[0] {
		named[name] = r[row][i]
	}
	return named
}

func (c *caller) csv(path string) csvRows {
	c.t.Helper()
	return c.with("Accept", "text/csv").get(path).asCSV()
}

func (a *answer) asCSV() csvRows {
	a.t.Helper()
	require.Equal(a.t, http.StatusOK, a.status, "%s", a.body)
	require.Equal(a.t, "text/csv; charset=utf-8", a.header.Get("Content-Type"))
	require.Equal(a.t, "Accept", a.header.Get("Vary"))
	require.Regexp(a.t, `^attachment; filename="[a-z-]+\.csv"$`, a.header.Get("Content-Disposition"))
	rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
	require.NoError(a.t, err)
	require.NotEmpty(a.t, rows)
	return rows
}

// Every GET of the OpenAPI document whose answer has rows is asked with a token of every scope: who is
// answered in JSON is answered in CSV, by the header and by the parameter, with every row and every field.
// A list or a report that is added is tested without being named here.
func TestEveryListAndReportAnswersInCSV(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tables := w.tables()
	require.Greater(t, len(tables), 35)
	scopes, answered := w.everyScope(t), map[string]int{}
	for _, o := range tables {
		t.Run(o.path, func(t *testing.T) {
			require.True(t, o.csv, "the document does not say that this answers in CSV")
			for _, who := range scopes {
				who = who.in(t)
				nouns := nounsIn(t, o.path)
				inJSON := who.ask(o, who.idsOf(nouns), "page_size=100")
				if inJSON.status == http.StatusBadRequest { // what is not paged takes no page_size
					inJSON = who.ask(o, who.idsOf(nouns))
				}
				if inJSON.status != http.StatusOK {
					continue
				}
				byHeader := who.withHeaders("Accept", "text/csv").ask(o, who.idsOf(nouns)).asCSV()
				byParameter := who.ask(o, who.idsOf(nouns), "format=csv").asCSV()
				require.Equal(t, byHeader, byParameter)
				require.Equal(t, http.StatusOK, who.withHeaders("Accept", "text/csv").ask(o, who.idsOf(nouns), "format=json").status)
				items := itemsOf(t, inJSON)
				require.Len(t, byHeader, max(inJSON.total(), len(items))+1)
				requireEveryField(t, items, byHeader[0])
				requireNoFormula(t, byHeader)
				answered[o.path]++
			}
		})
	}
	for _, o := range tables {
		require.NotZero(t, answered[o.path], "nobody was answered at %s", o.path)
	}
	require.Contains(t, string(w.tenants[0].me.get("/api/v1/partners?format=xml").body), "is none of: csv, json")
}

// tables are the GETs whose answer has rows.
func (w *world) tables() (tables []operation) {
	var document struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]struct{ Schema *schema }
			}
		}
		Components struct{ Schemas map[string]*schema }
	}
	w.as("").get("/openapi.json").into(http.StatusOK, &document)
	for _, o := range w.site.operations() {
		answer := document.Paths[o.path]["get"].Responses["200"].Content["application/json"].Schema.resolved(document.Components.Schemas)
		if o.method != http.MethodGet || answer == nil {
			continue
		}
		for _, form := range append(answer.AnyOf, answer) {
			form = form.resolved(document.Components.Schemas)
			if form.Properties["items"] != nil || form.Properties["data"] != nil {
				tables = append(tables, o)
				break
			}
		}
	}
	return tables
}

// everyScope are callers with a token of each scope, of an advertiser and of a publisher.
func (w *world) everyScope(t *testing.T) (who []*rich) {
	for _, tenant := range w.tenants[:2] {
		me := tenant.in(t)
		who = append(who, me, me.asPartner(), me.asAdvertiser(), me.withHeaders("Authorization", "Bearer "+operatorToken))
		for _, scope := range []string{"finance", "readonly"} {
			who = append(who, me.withHeaders("Authorization", me.me.token(scope).headers["Authorization"]))
		}
	}
	for _, one := range who {
		one.secret = nil // the operator sees everything
	}
	return who
}

func itemsOf(t *testing.T, a *answer) []map[string]any {
	t.Helper()
	var body struct{ Items, Data []map[string]any }
	a.into(http.StatusOK, &body)
	return append(body.Items, body.Data...)
}

// requireEveryField looks for each field of JSON among the names of CSV. A report has names of its own for
// what is inside a field.
func requireEveryField(t *testing.T, items []map[string]any, header []string) {
	t.Helper()
	require.Len(t, header, len(slices.Compact(slices.Sorted(slices.Values(header)))), "a name twice: %v", header)
	for _, item := range items {
		for name, value := range item {
			_, inner := value.(map[string]any)
			require.True(t, slices.ContainsFunc(header, func(column string) bool {
				return column == name || strings.HasPrefix(column, name+".") ||
					inner && (strings.HasSuffix(column, "Conversions") || strings.HasPrefix(column, "pub_sub_"))
			}), "%s is in no column of %v", name, header)
		}
	}
	for _, name := range []string{"offer", "advertiser", "partner", "placement", "tier"} {
		if slices.Contains(header, name+"Id") {
			require.Contains(t, header, name+"Name", "ids without names")
		}
	}
}

func requireNoFormula(t *testing.T, rows [][]string) {
	t.Helper()
	for _, row := range rows {
		for _, cell := range row {
			require.False(t, strings.ContainsAny(cell[:min(1, len(cell))], "=+@\t\r\n") || strings.HasPrefix(cell, "-") && !json.Valid([]byte(cell)), "%q", cell)
		}
	}
}

// What anybody may have called itself runs nowhere; figures stay figures.
func TestCSVHoldsNoFormula(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	for _, name := range []string{"=1+1", "+49", "-5", "@me", "＝1", "plain"} {
		b.me.made("/api/v1/partners", map[string]any{"name": name})
	}
	rows := b.me.csv("/api/v1/partners?order_asc=true")
	var names []string
	for _, row := range rows[1:] {
		names = append(names, row[slices.Index(rows[0], "name")])
	}
	require.Subset(t, names, []string{"'=1+1", "'+49", "'-5", "'@me", "'＝1", "plain"})
	id := b.converted("anna", eventBuy)
	b.review(&id, "approve")
	b.review(&id, "reverse")
	ledger := b.me.csv("/api/v1/members/anna/ledger")
	require.Equal(t, "-300.00", ledger[1][slices.Index(ledger[0], "points")])
}

// Names stand beside ids, and every sub id in a column of its own.
func TestCSVHasNamesAndSubs(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	partner := b.me.made("/api/v1/partners", map[string]any{"name": "Blog"})
	partnerID := uuid.MustParse(partner)
	b.postback(b.click("anna", func(c *domain.Click) { c.PartnerID, c.PubSubs = &partnerID, []string{"summer", "", "=third"} }), eventInstall)
	row := b.me.csv(lately()).byName(1)
	require.Equal(t, []string{partner, "Blog", "summer", "", "'=third", ""},
		[]string{row["partnerId"], row["partnerName"], row["pubSub1"], row["pubSub2"], row["pubSub3"], row["pubSub15"]})
	require.NotEmpty(t, row["advertiserName"])
	own := b.me.token("partner", "partnerId", partner).csv(lately()).byName(1)
	require.Equal(t, []string{"summer", "'=third"}, []string{own["pubSub1"], own["pubSub3"]})
	require.NotContains(t, own, "partnerName")
	require.Equal(t, "Coin Inc", b.me.csv(offersPath).byName(1)["advertiserName"], "looked up, where JSON has the id alone")
}

// Who reads an export slowly holds a place of its token's alone: of the tenant's others nobody waits, and its own
// come in again when it has gone.
func TestASlowReaderOfCSVKeepsNobodyFromReports(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	b.exec(fmt.Sprintf(`INSERT INTO partners (tenant_id, id, name, status, created_at) SELECT '%s', gen_random_uuid(), repeat('x', 200), 'active', now()
		FROM generate_series(1, 50000) n`, b.tenantID)) // more than sockets hold
	slow := b.me.token("readonly")
	var readers []io.Closer
	for {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/api/v1/partners?format=csv", nil)
		require.NoError(t, err)
		request.Header.Set("Authorization", slow.headers["Authorization"])
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		readers = append(readers, response.Body)
		if response.StatusCode != http.StatusOK {
			require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
			require.NotEmpty(t, response.Header.Get("Retry-After"))
			break
		}
		require.Less(t, len(readers), 100, "exports of a token are not bounded")
	}
	require.Greater(t, len(readers), 1)
	b.me.get("/api/v1/reports/performance?"+spanOfTests().Encode()).into(http.StatusOK, nil)
	require.Len(t, b.me.csv("/api/v1/tokens"), 3)
	for _, reader := range readers {
		require.NoError(t, reader.Close())
	}
	require.Eventually(t, func() bool { return slow.with("Accept", "text/csv").get("/api/v1/advertisers").status == http.StatusOK }, 20*time.Second, 50*time.Millisecond)
}

// A list in another order than that of its index is sorted once for all, and so is bounded.
func TestCSVSortsAtMostSoManyRows(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	b.exec(fmt.Sprintf(`INSERT INTO partners (tenant_id, id, name, status, created_at) SELECT '%s', gen_random_uuid(), 'P' || n, 'active', now()
		FROM generate_series(1, 10001) n`, b.tenantID))
	require.Len(t, b.me.csv("/api/v1/partners"), 10_002)
	problem := b.me.with("Accept", "text/csv").get("/api/v1/partners?orderby=name").refused(http.StatusBadRequest, "orderby")
	require.Contains(t, problem.Errors[0].Reason, "CSV cannot sort more than 10000 rows by name: omit orderby, or filter")
	require.Len(t, b.me.csv("/api/v1/partners?orderby=name&order_asc=true&filter.name=P1000"), 4)
}
