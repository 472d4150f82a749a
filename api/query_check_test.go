package api_test

import (
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A filter that is dropped because it cannot be read finds everything. For every operation of the OpenAPI
// document that takes a token, and every parameter of its query: what cannot be decoded, has the wrong
// kind, is given twice or is misspelt is a 400 that names it.
func TestEveryRouteRefusesAQueryThatItCannotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.tenants[0]
	for _, o := range w.surface().operations {
		t.Run(o.method+" "+o.path, func(t *testing.T) {
			q := &asker{rich: me.in(t), operation: o}
			q.base = url.Values{}
			if required := queries[o.path]; required != nil {
				q.base, _ = url.ParseQuery(required(me))
			}
			q.path = o.with(q.idsOf(nounsIn(t, o.path)), q.productWord())
			q.triesEveryParameter()
			q.triesUnknownNames()
		})
	}
	t.Run("portals", func(t *testing.T) {
		for scope, noun := range map[string]string{"partner": "partner", "advertiser": "advertiser"} {
			var made struct{ Token string }
			me.me.post("/api/v1/tokens", map[string]any{"name": scope, "scope": scope, scope + "Id": me.own(noun)}).into(http.StatusCreated, &made)
			path := "/api/v1/sdk-conversion-system/conversions?" + queries["/api/v1/sdk-conversion-system/conversions"](me)
			w.as(made.Token).in(t).get(path).into(http.StatusOK, nil)
			for _, wrong := range []string{"&filter.offerId=%zz", "&filter.offerId=a;b", "&offerId=1", "&page=1&page=2"} {
				require.Equal(t, http.StatusBadRequest, w.as(made.Token).in(t).get(path+wrong).status, "%s %s", scope, wrong)
			}
		}
	})
}

// A body that has a key twice, in any case and at any depth, is read differently by different programs: a
// 400 that names the key, from every route that takes JSON.
func TestEveryRouteRefusesAKeyGivenTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.tenants[0]
	tried := 0
	for _, o := range w.surface().operations {
		of := o.schema.resolved(o.schemas)
		if of == nil || len(of.Properties) == 0 {
			continue
		}
		t.Run(o.method+" "+o.path, func(t *testing.T) {
			asking := me.in(t)
			path, ask := o.with(asking.idsOf(nounsIn(t, o.path)), asking.productWord()), asking.me
			if strings.HasPrefix(o.path, "/api/v1/tenants") {
				ask = w.as(operatorToken).in(t)
			}
			if versioned[o.method+" "+o.path] {
				var shown struct{ Version int64 }
				ask.get(path).into(http.StatusOK, &shown)
				ask = ask.with("If-Match", strconv.FormatInt(shown.Version, 10))
			}
			name := slices.Sorted(maps.Keys(of.Properties))[0]
			for _, second := range []string{name, strings.ToUpper(name), "\\u00" + hex.EncodeToString([]byte(name[:1])) + name[1:]} {
				body := `{"` + name + `":"1","` + second + `":"2"}`
				answer := ask.send(o.method, path, body)
				require.Equal(t, http.StatusBadRequest, answer.status, "%s: %s", body, answer.body)
				require.Contains(t, string(answer.body), "is given more than once", "%s: %s", body, answer.body)
			}
			tried++
		})
	}
	require.Greater(t, tried, 20)
	// Nested, in an import of many.
	me.in(t).me.post("/api/v1/integrations/offer-providers/custom/offers",
		`{"concurrencyRequestId":"1","operation":"Insert","offers":[{"name":"a"},{"name":"b","events":[{"revenue":"1","Revenue":"100"}]}]}`).
		refused(http.StatusBadRequest, "offers[1].events[0].Revenue")
}

type asker struct {
	*rich
	operation
	path string
	base url.Values
}

// refuses sends the base query with more behind it.
func (q *asker) refuses(name, more string, without ...string) {
	q.t.Helper()
	base := url.Values{}
	for known, values := range q.base {
		if !slices.Contains(without, known) {
			base[known] = values
		}
	}
	query := strings.TrimPrefix(base.Encode()+"&"+more, "&")
	me := q.me
	if strings.HasPrefix(q.operation.path, "/api/v1/tenants") || q.operation.path == "/metrics" {
		me = q.as(operatorToken)
	}
	if versioned[q.method+" "+q.operation.path] {
		var shown struct{ Version int64 }
		me.get(q.path).into(http.StatusOK, &shown)
		me = me.with("If-Match", strconv.FormatInt(shown.Version, 10))
	}
	a := me.send(q.method, q.path+"?"+query, q.body())
	require.Equal(q.t, http.StatusBadRequest, a.status, "%s: %s", query, a.body)
	var problem struct{ Errors []struct{ Field string } }
	require.NoError(q.t, json.Unmarshal(a.body, &problem))
	for _, e := range problem.Errors {
		if strings.EqualFold(e.Field, name) {
			return
		}
	}
	require.Fail(q.t, "the field is not named", "%s in %s: %s", name, query, a.body)
}

func (q *asker) body() any {
	if q.takesBody {
		return map[string]any{}
	}
	return nil
}

func (q *asker) triesEveryParameter() {
	for _, p := range q.parameters {
		if p.In != "query" {
			continue
		}
		for _, text := range []string{"%zz", "%", "a%2", "a;b", "1;" + p.Name + "=1"} {
			q.refuses(p.Name, p.Name+"="+text, p.Name)
		}
		for _, value := range wrongValues(p) {
			if p.Name == "filter.eventId" { // takes the advertiser's names too
				continue
			}
			q.refuses(p.Name, p.Name+"="+url.QueryEscape(value), p.Name)
		}
		if p.Schema.kind() != "array" && !strings.HasPrefix(p.Name, "filter.") {
			q.refuses(p.Name, p.Name+"=1&"+p.Name+"=2", p.Name)
		}
		if !strings.HasPrefix(p.Name, "pub_") && p.Name != "tz" && p.Name != "to" {
			for _, other := range []string{strings.ToUpper(p.Name), strings.ReplaceAll(p.Name, "_", "-") + "_"} {
				q.refuses(other, other+"=1")
			}
		}
	}
}

func (q *asker) triesUnknownNames() {
	q.refuses("filter.noSuchField", "filter.noSuchField=1")
	q.refuses("Filter.OfferId", "Filter.OfferId=x")
	q.refuses("filter[offerId]", "filter[offerId]=x")
	q.refuses("filter.a%zz", "filter.a%zz=1")
	takes := slices.ContainsFunc(q.parameters, func(p parameter) bool { return p.In == "query" })
	if !openQueries[q.operation.path] && (takes || q.method != http.MethodGet) {
		q.refuses("offerid", "offerid=1")
		q.refuses("dryrun", "dryrun=true")
		q.refuses("noSuchField", "noSuchField=1")
	}
}

// openQueries are the routes whose callers add parameters of their own.
var openQueries = map[string]bool{
	"/api/v1/offer-wall/offers": true, "/api/v1/offer-wall/pub-member/offers": true, "/api/v1/offer-wall/offer-details": true,
	"/api/v1/offer-wall/offer-link": true, "/api/v1/integrations/cost-report/singular/json": true, "/api/v1/integrations/cost-report/appsflyer/json": true,
}

// wrongValues are values of another kind than the parameter's.
func wrongValues(p parameter) []string {
	of := p.Schema
	if of.Items != nil {
		of = *of.Items
	}
	dates := []string{"yesterday", "2026-13-40", "31.01.2026", "1767225600"}
	switch {
	case p.Name == "page":
		return []string{"x", "-1", "1.5", "99999999999999999999", "0x1"}
	case p.Name == "page_size":
		return []string{"x", "0", "101", "1e1"}
	case of.kind() == "integer":
		return []string{"x", "1.5", "99999999999999999999"}
	case of.kind() == "boolean":
		return []string{"maybe", "2", "yes"}
	case of.Format == "uuid":
		return []string{"x", "01890000-0000-7000-8000-00000000000", "null"}
	case len(of.Enum) > 0:
		return []string{"nonesuch"}
	case of.Description == "RFC 3339, or a date.", p.Name == "from", p.Name == "to", strings.HasSuffix(p.Name, "_from"), strings.HasSuffix(p.Name, "_to"):
		return dates
	case of.Description == "A decimal number.":
		return []string{"x", "1,5", "1e", "NaN"}
	case p.Name == "orderby":
		return []string{"nonesuch", "id;drop", "id desc"}
	case p.Name == "group_by":
		return []string{"nonesuch", "period", "offer,nonesuch", "pub_sub_16"}
	case p.Name == "tz":
		return []string{"Mars/Olympus", "Local", "+02:00"}
	case p.Name == "creativeOrder", p.Name == "last_event_id":
		return []string{"x", "-1"}
	}
	return nil
}
