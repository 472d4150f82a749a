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

const (
	rolesPage = "../docs/roles-and-tokens.md"
	rolesMark = "<!-- Written by the test of scopes from here on. -->\n"
)

// docs/roles-and-tokens.md shows the same as a table.
func TestTheDocsShowWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	columns := []string{"management", "finance", "readonly", "partner", "advertiser", "operator"}
	var table strings.Builder
	table.WriteString("\n| route | " + strings.Join(columns, " | ") + " |\n|---|" + strings.Repeat(":-:|", len(columns)) + "\n")
	scopes, err := os.ReadFile(scopesFile)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(scopes)), "\n")
	slices.SortFunc(lines, func(a, b string) int { // by path, then by method
		methodA, pathA, _ := strings.Cut(a, " ")
		methodB, pathB, _ := strings.Cut(b, " ")
		return strings.Compare(pathA+" "+methodA, pathB+" "+methodB)
	})
	for _, line := range lines {
		route, may, found := strings.Cut(line, ": ")
		require.True(t, found, line)
		table.WriteString("| `" + route + "` |")
		for _, column := range columns {
			if slices.Contains(strings.Fields(may), column) {
				table.WriteString(" yes |")
			} else {
				table.WriteString(" – |")
			}
		}
		table.WriteString("\n")
	}
	page, err := os.ReadFile(rolesPage)
	require.NoError(t, err)
	written, shown, found := strings.Cut(string(page), rolesMark)
	require.True(t, found)
	if *updateScopes {
		require.NoError(t, os.WriteFile(rolesPage, []byte(written+rolesMark+table.String()), 0o644))
		return
	}
	require.Equal(t, table.String(), shown, "go test ./api -run TestTheDocsShowWhoMayDoWhat -update-scopes")
}
