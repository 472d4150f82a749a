package api_test

import (
	"flag"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var updateScopes = flag.Bool("update-scopes", false, "write testdata/scopes.txt anew: read the difference, it says who may do what")

const scopesFile = "testdata/scopes.txt"

// Who may call each route stands in a file that a person reads when it changes. Every route of the
// OpenAPI document is tried with a token of every scope: exactly those in the file are let in.
func TestEveryScopeDoesWhatItMay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, management := s.tenant("Coins")
	partner := management.made("/api/v1/partners", map[string]any{"name": "P"})
	advertiser := management.made("/api/v1/advertisers", map[string]any{"name": "A"})
	scopes := []string{"management", "finance", "readonly", "partner", "advertiser"}
	tokens := map[string]*caller{
		"management": management, "finance": management.token("finance"), "readonly": management.token("readonly"),
		"partner": management.token("partner", "partnerId", partner), "advertiser": management.token("advertiser", "advertiserId", advertiser),
	}
	var lines []string
	for _, o := range s.operations() {
		key := o.method + " " + o.path
		var may []string
		for _, scope := range scopes {
			if slices.Contains(streaming, o.path) && scope != "partner" && scope != "advertiser" {
				may = append(may, scope) // it would answer without an end
				continue
			}
			answer := tokens[scope].in(t).send(o.method, o.filled(), nil)
			if answer.status != http.StatusForbidden || !strings.Contains(string(answer.body), "A token of scope "+scope+" may not do this.") {
				require.NotEqual(t, http.StatusUnauthorized, answer.status, "%s as %s: %s", key, scope, answer.body)
				require.Less(t, answer.status, 500, "%s as %s: %s", key, scope, answer.body)
				may = append(may, scope)
			}
		}
		if len(may) == 0 {
			may = []string{"operator"}
			if !slices.Contains(streaming, o.path) {
				answer := s.as(operatorToken).in(t).send(o.method, o.filled(), nil)
				require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, answer.status, "%s: %s", key, answer.body)
			}
		}
		lines = append(lines, key+": "+strings.Join(may, " "))
	}
	slices.Sort(lines)
	found := strings.Join(lines, "\n") + "\n"
	if *updateScopes {
		require.NoError(t, os.WriteFile(scopesFile, []byte(found), 0o644))
	}
	expected, err := os.ReadFile(scopesFile)
	require.NoError(t, err)
	require.Equal(t, string(expected), found, "who may do what has changed: where that is meant, go test ./api -run TestEveryScopeDoesWhatItMay -update-scopes")
}
