package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// operation is one line of the surface, as the OpenAPI document tells it: a route that is added
// later is tested without being named here.
type operation struct {
	method, path string
	takesBody    bool
	// csv says that it answers in CSV too.
	csv bool
	// What surface adds.
	parameters []parameter
	schema     *schema
	schemas    map[string]*schema
}

// open are the routes that take no token.
var open = []string{"/healthz", "/readyz", "/openapi.json", "/docs", "/c/", "/track", "/postback", "/api/v1/conversion", "/api/v1/offer-link/", "/api/v1/offer-wall/offer-link-redirect",
	"/pixel.gif", "/pixel", "/aff_c", "/aff_l", "/aff_lsr", "/aff_goal", "/SP{code}", "/GP{code}", "/SL{code}", "/GL{code}"}

func (s *site) operations() []operation {
	return slices.DeleteFunc(s.documented(), func(o operation) bool { return isOpen(o.path) })
}

// documented are all lines of the OpenAPI document.
func (s *site) documented() []operation {
	var document struct {
		Paths map[string]map[string]struct {
			RequestBody json.RawMessage `json:"requestBody"`
			Responses   map[string]struct{ Content map[string]any }
		}
	}
	s.as("").get("/openapi.json").into(http.StatusOK, &document)
	var all []operation
	for _, path := range slices.Sorted(maps.Keys(document.Paths)) {
		for method, line := range document.Paths[path] {
			all = append(all, operation{
				method: strings.ToUpper(method), path: path, takesBody: line.RequestBody != nil, csv: line.Responses["200"].Content["text/csv"] != nil,
			})
		}
	}
	return all
}

func isOpen(path string) bool {
	for _, prefix := range open {
		if path == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(path, prefix+"/") || strings.HasSuffix(prefix, "/") && strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// filled puts something well-formed that exists nowhere into a path's parameters.
func (o operation) filled() string {
	return strings.NewReplacer("{product}", "publisher", "{kind}", "ages", "{id}", "01890000-0000-7000-8000-000000000000",
		"{pub_member_id}", "nobody").Replace(o.path)
}

// Every route that takes a token: bad credentials, bad bodies and tricks in the path are refused
// with a problem, nothing is a 5xx, and nothing is stored.
// roomy are the routes that take more than 2 MiB, and how much.
var roomy = map[string]int{"/api/v1/integrations/offer-providers/custom/offers": 16 << 20}

func TestEveryRouteRefusesBadInput(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, management := s.tenant("Coins")
	readonly := management.token("readonly")
	before := s.rows()
	operations := s.operations()
	require.Greater(t, len(operations), 40, "the document lists the surface")
	for _, o := range operations {
		t.Run(o.method+" "+o.path, func(t *testing.T) {
			path := o.filled()
			s.as("").in(t).send(o.method, path, nil).refused(http.StatusUnauthorized)
			s.as("of_no_such_token").in(t).send(o.method, path, nil).refused(http.StatusUnauthorized)
			if o.method != http.MethodGet {
				require.Equal(t, http.StatusForbidden, readonly.in(t).send(o.method, path, map[string]any{}).status)
			}
			me := management.in(t)
			if o.takesBody {
				for name, body := range map[string]any{
					"malformed": `{"name": `, "not JSON": "name=x", "wrong type": `[1, 2]`, "unknown": `{"noSuchFieldAnywhere": 1}`,
					"null": `null`, "deep": strings.Repeat("[", 20_000), "bytes": "{\"name\":\"\xff\xfe\"}", "twice": `{"a":1}{"a":1}`,
				} {
					answer := me.send(o.method, path, body)
					require.True(t, answer.status >= 400 && answer.status < 500, "%s: %d %s", name, answer.status, answer.body)
				}
				answer := me.send(o.method, path, `{"name":"`+strings.Repeat("x", max(3<<20, roomy[o.path]+1))+`"}`)
				require.Contains(t, []int{http.StatusRequestEntityTooLarge, http.StatusForbidden}, answer.status, "%s", answer.body)
			}
			tricks := []string{"%00", "%2e%2e%2f", "%ff", "%252e", "/", "'--"}
			if o.method == http.MethodDelete && strings.HasSuffix(o.path, "{pub_member_id}") {
				tricks = nil // any text is the id of a member that can be erased
			}
			for _, trick := range tricks {
				answer := me.send(o.method, path+trick, nil)
				require.Less(t, answer.status, 500, "%s%s: %s", path, trick, answer.body)
				if answer.status >= 400 {
					require.Equal(t, "application/problem+json", answer.header.Get("Content-Type"))
				}
			}
		})
	}
	require.Equal(t, before, s.rows(), "a refused request stores nothing")
}

// rows counts what a refused request must not change.
func (s *site) rows() map[string]int64 {
	counts := map[string]int64{}
	for _, table := range []string{
		"tenants", "advertisers", "partners", "placements", "offers", "offer_versions", "links", "ages", "categories",
		"callback_endpoints", "deliveries", "conversions", "transitions", "audit_log", "outbox",
	} {
		counts[table] = (&shop{site: s}).count("SELECT count(*) FROM " + table)
	}
	return counts
}
