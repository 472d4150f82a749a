package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Invariant 10 and rule 60 over the whole surface: three tenants, an advertiser and two publishers, and
// a partnership of the advertiser with each. Each of them tries the others' real ids in every route. In
// a path they answer 404, in a body 400 with the field's name, as a filter they find nothing; no answer
// to anything holds what others alone have; and nothing but the asking tenant's own rows changes. The
// routes come from the OpenAPI document, the ids from the makers in foreign_makers_test.go and the
// partnerships in foreign_world_test.go. Public routes have a part of their own
// (foreign_tracking_test.go), and live streams are read to what was told last (foreign_edge_test.go).
//
// Each of the two defences must do that by itself: so once more with every condition on a tenant taken
// out of what the application asks (stripped_test.go), and once more with row-level security off. With
// neither, the same test must fail, or it would prove nothing.
func TestEveryRouteKeepsTenantsApart(t *testing.T) {
	t.Parallel()
	t.Run("as it is", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.keepsApart(t)
		w.filtersFind(t)
		w.tracksApart(t)
		w.servesItsOwn(t)
	})
	t.Run("row-level security alone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.stripFunctions(t)
		stripper, address := newStripper(t, w.database)
		w = w.by(t, address)
		w.keepsApart(t)
		w.tracksApart(t)
		w.servesItsOwn(t)
		stripper.proves(t, 250)
	})
	t.Run("checks alone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.withoutRowSecurity()
		w.selectsEverything(t)
		w.keepsApart(t)
		w.tracksApart(t)
		w.servesItsOwn(t)
	})
	t.Run("neither", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.stripFunctions(t)
		w.withoutRowSecurity()
		_, address := newStripper(t, w.database)
		w.by(t, address).failsToKeepApart(t)
	})
}

// keepsApart lets every tenant try everything.
func (w *world) keepsApart(t *testing.T) {
	t.Helper()
	surface := w.surface()
	for _, me := range w.tenants {
		t.Run(me.member, func(t *testing.T) {
			told, before := w.toldBut(me), w.rowsBut(t, me)
			for _, o := range surface.operations {
				t.Run(o.method+" "+o.path, func(t *testing.T) { w.attack(me.in(t), surface, o) })
			}
			require.Equal(t, before, w.rowsBut(t, me), "rows of other tenants were changed")
			require.Equal(t, told, w.toldBut(me), "other tenants were told something in their live streams")
		})
	}
}

// failsToKeepApart is the control of keepsApart.
func (w *world) failsToKeepApart(t *testing.T) {
	t.Helper()
	surface, failed := w.surface(), map[string]bool{}
	for _, me := range w.tenants {
		before := w.rowsBut(t, me)
		for _, o := range surface.operations {
			if noted(t, func(t testing.TB) { w.attack(me.in(t), surface, o) }) {
				failed[o.method+" "+o.path] = true
			}
		}
		require.NotEqual(t, before, w.rowsBut(t, me), "nothing moved with neither defence")
	}
	require.Greater(t, len(failed), len(surface.operations)/2, "with neither defence the test must fail, but did only at %v", slices.Sorted(maps.Keys(failed)))
}

// attack is one tenant at one route with everything that is not its to see, with its own token and,
// where partners or advertisers may ask, with one of them.
func (w *world) attack(me *rich, s *surface, o operation) {
	me.t.Helper()
	nouns := nounsIn(me.t, o.path)
	asking := []*rich{me}
	if o.method == http.MethodGet && slices.Contains(openToPartners, o.path) {
		asking = append(asking, me.asPartner())
	}
	if o.method == http.MethodGet && slices.Contains(openToAdvertisers, o.path) {
		asking = append(asking, me.asAdvertiser())
	}
	for _, me := range asking {
		for _, h := range w.foreignTo(me) {
			me.foreignPath(o, nouns, h)
		}
		if o.method == http.MethodGet {
			w.foreignFilters(me, o, nouns)
			w.sharedPath(me, o, nouns)
		}
	}
	refused := me.me.with("X-Tenant", w.otherThan(me).tenantID.String()).send(o.method, o.with(me.idsOf(nouns), me.productWord()), nil)
	require.Equal(me.t, http.StatusForbidden, refused.status, "in another tenant's name: %s", refused.body)
	for _, h := range w.foreignTo(me) {
		for _, field := range s.idFields(o) {
			me.foreignField(o, nouns, field, h)
		}
		for name := range s.idQueries(o) {
			me.foreignQuery(o, nouns, name, h)
		}
		me.foreignMember(o, nouns, h)
	}
	if o.method+" "+o.path == filteredReview {
		w.foreignReview(me, o)
	}
}

// ofAnyRequest is what two answers to the same question differ in.
var ofAnyRequest = regexp.MustCompile(`"(exportedAt|jobId)":"[^"]*"`)

// foreignPath puts others' ids where an id stands in the path, one at a time and all at once.
func (r *rich) foreignPath(o operation, nouns []string, h holding) {
	r.t.Helper()
	if len(nouns) > 0 && nouns[0] == "member" { // no row of ours: a foreign member is one that was never seen
		for _, member := range h.all("member") {
			theirs, nobody := r.ask(o, []string{member}), r.ask(o, []string{"nobody-at-all"})
			require.Equal(r.t, nobody.status, theirs.status)
			shown := strings.ReplaceAll(string(theirs.body), member, "nobody-at-all")
			require.Equal(r.t, ofAnyRequest.ReplaceAllString(string(nobody.body), ""), ofAnyRequest.ReplaceAllString(shown, ""), "another tenant's member is seen")
		}
		return
	}
	for i := range nouns {
		if h.ids[nouns[i]] == "" {
			continue
		}
		ids := r.idsOf(nouns)
		for j := i; j < len(nouns); j++ {
			if id := h.ids[nouns[j]]; id != "" {
				ids[j] = id
			}
		}
		answer := r.ask(o, ids)
		require.Equal(r.t, http.StatusNotFound, answer.status, "a %s of %s in the path: %s\n(if this is a refusal of the body, give bodies in foreign_makers_test.go one that is right)", nouns[i], h.name, answer.body)
		answer.refused(http.StatusNotFound)
	}
}

// sharedPath looks at what two tenants have together, as one of them: it is there, without what is the
// other's alone.
func (w *world) sharedPath(r *rich, o operation, nouns []string) {
	r.t.Helper()
	if len(nouns) != 1 {
		return
	}
	for _, h := range w.ownOf(r) {
		if id := h.ids[nouns[0]]; id != "" && len(h.of) > 1 && !r.isOutside {
			answer := r.ask(o, []string{id})
			require.Equal(r.t, http.StatusOK, answer.status, "the %s of %s: %s", nouns[0], h.name, answer.body)
		}
	}
}

// foreignField sets one id of a body to another's.
func (r *rich) foreignField(o operation, nouns []string, field string, h holding) {
	r.t.Helper()
	key, noun := o.method+" "+o.path, r.nounOfField(o, field)
	if h.ids[noun] == "" {
		return
	}
	answer := r.sendField(o, nouns, field, h.ids[noun])
	switch {
	case forbiddenTo[key] == r.productWord():
		require.Equal(r.t, http.StatusForbidden, answer.status, "%s", answer.body)
	case perItem[key+" "+strings.TrimSuffix(field, "[]")]:
		never := uuid.NewString()
		unknown := r.sendField(o, nouns, field, never)
		require.Equal(r.t, unknown.status, answer.status)
		require.Equal(r.t, strings.ReplaceAll(string(unknown.body), never, h.ids[noun]), string(answer.body))
	case filterBody[key]:
		var found struct{ Count *int }
		answer.into(answer.status, &found)
		require.NotNil(r.t, found.Count, "%s", answer.body)
		require.Zero(r.t, *found.Count, "%s", answer.body)
	default:
		require.Equal(r.t, http.StatusBadRequest, answer.status, "a %s of %s in %s: %s", noun, h.name, field, answer.body)
		require.Contains(r.t, answer.fields(), strings.TrimSuffix(field, "[]"), "the refusal names another field: %s", answer.body)
	}
}

// nounOfField is whose id a field of a body takes.
func (r *rich) nounOfField(o operation, field string) string {
	r.t.Helper()
	key, name := o.method+" "+o.path, strings.TrimSuffix(field[strings.LastIndex(field, ".")+1:], "[]")
	noun := nounOf(key, name)
	require.NotEmpty(r.t, noun, "whose id is %s in the body of %s? Add %q to nounOfField in foreign_makers_test.go, or to notAnID", field, key, name)
	return noun
}

// sendField sends a body that the tenant may send, but for one id.
func (r *rich) sendField(o operation, nouns []string, field, id string) *answer {
	r.t.Helper()
	body := r.bodyOf(o)
	maps.Copy(body, bodiesWith[o.method+" "+o.path+" "+field])
	setField(body, strings.Split(field, "."), id)
	return r.askWith(o, r.idsOf(nouns), body)
}

func nounOf(key, name string) string {
	if noun := nounOfField[key+" "+name]; noun != "" {
		return noun
	}
	return nounOfField[name]
}

// foreignQuery gives a parameter that takes an id another's.
func (r *rich) foreignQuery(o operation, nouns []string, name string, h holding) {
	r.t.Helper()
	noun := nounOf(o.method+" "+o.path, name)
	require.NotEmpty(r.t, noun, "whose id is ?%s= of %s %s? Add %q to nounOfField in foreign_makers_test.go", name, o.method, o.path, name)
	if h.ids[noun] == "" {
		return
	}
	answer := r.ask(o, r.idsOf(nouns), name+"="+h.ids[noun])
	if answer.status == http.StatusOK {
		require.Zero(r.t, answer.total(), "a %s of %s finds something: %s", noun, h.name, answer.body)
		return
	}
	require.Contains(r.t, []int{http.StatusBadRequest, http.StatusNotFound}, answer.status, "%s", answer.body)
}

// viewIDs are new in each answer.
var viewIDs = regexp.MustCompile(`"viewId":"[^"]*"`)

// foreignMember asks for another's member: to the tenant it is one that was never seen.
func (r *rich) foreignMember(o operation, nouns []string, h holding) {
	r.t.Helper()
	if !slices.ContainsFunc(o.parameters, func(p parameter) bool { return p.In == "query" && p.Name == "pub_member_id" }) {
		return
	}
	for _, member := range h.all("member") {
		theirs, nobody := r.ask(o, r.idsOf(nouns), "pub_member_id="+member), r.ask(o, r.idsOf(nouns), "pub_member_id=nobody-at-all")
		require.Equal(r.t, nobody.status, theirs.status, "%s", theirs.body)
		require.Equal(r.t, viewIDs.ReplaceAllString(string(nobody.body), ""), viewIDs.ReplaceAllString(string(theirs.body), ""), "another tenant's member is seen")
	}
}

// servesItsOwn is the control of attack, and comes after it, since it changes things: the same requests
// with ids of the tenant's own are good ones, so that none was refused for another reason.
func (w *world) servesItsOwn(t *testing.T) {
	t.Helper()
	surface, told := w.surface(), w.toldBut(w.tenants[0])
	for _, me := range w.tenants {
		for _, o := range surface.operations {
			t.Run("its own: "+me.member+" "+o.method+" "+o.path, func(t *testing.T) {
				me, nouns := me.in(t), nounsIn(t, o.path)
				me.secret = nil // what one of them does here may be for another to see
				me.ownPath(o, nouns)
				for _, field := range surface.idFields(o) {
					me.ownField(o, nouns, field)
				}
			})
		}
	}
	require.NotEqual(t, told, w.toldBut(w.tenants[0]), "what they do with their own is told to nobody, so that the test proves nothing")
}

func (r *rich) ownPath(o operation, nouns []string) {
	r.t.Helper()
	if o.method != http.MethodGet && len(nouns) == 0 {
		return
	}
	answer := r.ask(o, r.idsOf(nouns))
	if slices.Contains(streaming, o.path) {
		require.Contains(r.t, string(answer.body), r.own("shared offer"), "nothing was told: the test proves nothing")
	}
	if o.method == http.MethodGet && answer.status != http.StatusForbidden { // the operator's
		require.Equal(r.t, http.StatusOK, answer.status, "GET %s: %s\n(does it require a query? Add it to queries in foreign_makers_test.go)", o.path, answer.body)
	}
	if len(nouns) > 0 {
		require.NotContains(r.t, []int{http.StatusNotFound, http.StatusBadRequest, http.StatusForbidden}, answer.status,
			"its own ids: %s\n(the maker makes the wrong thing, or bodies in foreign_makers_test.go lacks this route)", answer.body)
	}
	require.Less(r.t, answer.status, 500, "%s", answer.body)
}

func (r *rich) ownField(o operation, nouns []string, field string) {
	r.t.Helper()
	key := o.method + " " + o.path
	if perItem[key+" "+strings.TrimSuffix(field, "[]")] || filterBody[key] || forbiddenTo[key] == r.productWord() {
		return
	}
	answer := r.sendField(o, nouns, field, r.own(r.nounOfField(o, field)))
	require.NotContains(r.t, answer.fields(), strings.TrimSuffix(field, "[]"), "its own is refused too: the test proves nothing: %s", answer.body)
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
func (r *rich) ask(o operation, ids []string, query ...string) *answer {
	r.t.Helper()
	if !o.takesBody {
		return r.askWith(o, ids, nil, query...)
	}
	return r.askWith(o, ids, r.bodyOf(o), query...)
}

func (r *rich) askWith(o operation, ids []string, body map[string]any, query ...string) *answer {
	r.t.Helper()
	path := o.with(ids, r.productWord())
	if required := queries[o.path]; required != nil && o.method == http.MethodGet {
		query = append(query, required(r))
	}
	if len(query) > 0 {
		path += "?" + strings.Join(query, "&")
	}
	if slices.Contains(streaming, o.path) {
		return r.keptSecret(r.listen(path), path)
	}
	me := r.me
	if versioned[o.method+" "+o.path] {
		var shown struct{ Version int64 }
		_ = json.Unmarshal(me.get(path).body, &shown) // of an offer that is not the caller's there is none
		me = me.with("If-Match", strconv.FormatInt(max(shown.Version, 1), 10))
	}
	if body == nil {
		return r.keptSecret(me.send(o.method, path, nil), path)
	}
	return r.keptSecret(me.send(o.method, path, body), path+" "+jsonText(body))
}

// times are in answers with six digits of a second, which now and then are those of a figure;
// PostgreSQL's JSON has no Z behind them.
var times = regexp.MustCompile(`\d\d:\d\d:\d\d\.\d+`)

// keptSecret checks that an answer holds nothing of what others alone have, but for what was asked with.
func (r *rich) keptSecret(a *answer, request string) *answer {
	r.t.Helper()
	body := times.ReplaceAllString(string(a.body), "")
	for _, secret := range r.secret {
		if strings.Contains(body, secret) {
			require.Contains(r.t, request, secret, "an answer shows what another tenant alone has: %s", a.body)
		}
	}
	return a
}

// bodyOf is a body that the tenant may send.
func (r *rich) bodyOf(o operation) map[string]any {
	if body := bodies[o.method+" "+o.path]; body != nil {
		return body(r)
	}
	required, _ := Sample(o.schema, o.schemas, r).(map[string]any)
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

// notes is a testing.TB that notes a failure in place of failing: for controls that must fail.
type notes struct {
	testing.TB
	failed bool
}

// stopped ends what failed.
type stopped struct{}

func (n *notes) Errorf(string, ...any) { n.failed = true }
func (n *notes) FailNow()              { n.failed = true; panic(stopped{}) }

// noted says whether a test fails.
func noted(t *testing.T, test func(t testing.TB)) (failed bool) {
	n := &notes{TB: t}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(stopped); !ok {
				panic(r)
			}
			failed = true
		}
	}()
	test(n)
	return n.failed
}
