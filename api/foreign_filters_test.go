package api_test

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Filters in TestEveryRouteKeepsTenantsApart: of lists, of reports and of reviews.

// foreignFilters looks through a whole list, in every form that it has, and tries all that is others' in every filter of it.
func (w *world) foreignFilters(me *rich, o operation, nouns []string) {
	me.t.Helper()
	if o.csv {
		me.withHeaders("Accept", "text/csv").ask(o, me.idsOf(nouns))
	}
	isList := me.ask(o, me.idsOf(nouns), "page_size=100").total() >= 0
	filters := me.filtersOf(o, nouns)
	require.True(me.t, len(filters) > 0 || !isList, "a list refuses an unknown filter and names the known ones")
	for _, f := range filters {
		foreign := url.Values{"filter." + f.name: idsOf(w.foreignTo(me))}
		if !f.isID {
			for _, h := range w.foreignTo(me) {
				foreign["filter."+f.name] = slices.AppendSeq(foreign["filter."+f.name], maps.Values(h.ids))
			}
		}
		answer := me.ask(o, me.idsOf(nouns), foreign.Encode())
		if f.isID || answer.status != http.StatusBadRequest { // dates and numbers refuse ids
			require.Equal(me.t, http.StatusOK, answer.status, "%s", answer.body)
			require.Zero(me.t, answer.found(), "filter.%s finds another tenant's: %s", f.name, answer.body)
		}
	}
}

// filter is one of a list's.
type filter struct {
	name string
	isID bool
}

var knownFilters = regexp.MustCompile(`is not a filter here; use one of: ([A-Za-z0-9, ]+)`)

// filtersOf asks a list or a report itself which filters it has, and which of them take ids.
func (r *rich) filtersOf(o operation, nouns []string) (filters []filter) {
	r.t.Helper()
	names := knownFilters.FindStringSubmatch(string(r.ask(o, r.idsOf(nouns), "filter.noSuchField=1").body))
	if names == nil {
		return nil
	}
	for name := range strings.SplitSeq(names[1], ", ") {
		refused := string(r.ask(o, r.idsOf(nouns), "filter."+name+"=x").body)
		filters = append(filters, filter{name, strings.Contains(refused, "must be an id")})
	}
	return filters
}

// filtersFind is the control of foreignFilters: the same ids find something for those whose they are.
func (w *world) filtersFind(t *testing.T) {
	t.Helper()
	for _, o := range w.surface().operations {
		if o.method != http.MethodGet || everybodys[o.path] {
			continue
		}
		t.Run("filters of "+o.path, func(t *testing.T) {
			takesIDs, hits := false, 0
			for _, me := range w.tenants {
				me = me.in(t)
				nouns := nounsIn(t, o.path)
				for _, f := range me.filtersOf(o, nouns) {
					if !f.isID {
						continue
					}
					takesIDs = true
					own := url.Values{"filter." + f.name: idsOf(w.ownOf(me))}
					hits += me.ask(o, me.idsOf(nouns), own.Encode()).found()
				}
			}
			require.False(t, takesIDs && hits == 0, "nobody has anything in this list, so that the test proves nothing: add a maker to foreign_makers_test.go")
		})
	}
}

// filteredReview takes a filter in its body.
const filteredReview = "POST /api/v1/conversions/review"

// foreignReview gives each filter of a review that takes ids all that are others', and its own as the
// control.
func (w *world) foreignReview(me *rich, o operation) {
	me.t.Helper()
	review := func(name string, values ...string) *answer {
		return me.askWith(o, nil, map[string]any{"action": "reject", "dryRun": true, "filter": map[string]any{
			"user_completed_at_from": day(-30), "user_completed_at_to": day(30), name: values,
		}})
	}
	count := func(name string, values ...string) int {
		var out struct{ Totals struct{ Count *int } }
		review(name, values...).into(http.StatusOK, &out)
		require.NotNil(me.t, out.Totals.Count)
		return *out.Totals.Count
	}
	names := knownFilters.FindStringSubmatch(string(review("noSuchField", "1").body))
	require.NotNil(me.t, names)
	hits := 0
	for name := range strings.SplitSeq(names[1], ", ") {
		if !strings.Contains(string(review(name, "x").body), "must be an id") {
			continue
		}
		require.Zero(me.t, count(name, idsOf(w.foreignTo(me))...), "filter %s finds another tenant's", name)
		hits += count(name, idsOf(w.ownOf(me))...)
	}
	require.NotZero(me.t, hits, "no filter finds anything of its own: the test proves nothing")
}

// idsOf are all that are UUIDs. An opaque code may have as many hyphens.
func idsOf(holdings []holding) (ids []string) {
	for _, h := range holdings {
		for _, id := range h.ids {
			if _, err := uuid.Parse(id); err == nil {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// found is how much a list or a report has.
func (a *answer) found() int {
	if n := a.total(); n >= 0 {
		return n
	}
	var report struct{ Items []any }
	a.into(http.StatusOK, &report)
	return len(report.Items)
}
