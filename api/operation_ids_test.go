package api_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api"
)

// Clients are generated with the operation ids. The file holds those that were released: such a line
// never changes. The line of a new route joins it with the release.
func TestOperationIDsAreUniqueAndStay(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	require.NoError(t, api.PrintOpenAPI(&text))
	var document struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	require.NoError(t, json.Unmarshal(text.Bytes(), &document))
	now, routeOf := map[string]string{}, map[string]string{}
	for path, methods := range document.Paths {
		for method, operation := range methods {
			route := strings.ToUpper(method) + " " + path
			require.Regexp(t, `^[a-z][A-Za-z0-9]+$`, operation.OperationID, route)
			require.Empty(t, routeOf[operation.OperationID], "%s has the operation id %q of another route", route, operation.OperationID)
			now[route], routeOf[operation.OperationID] = operation.OperationID, route
		}
	}
	released, err := os.ReadFile("testdata/operation_ids.txt")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(released)), "\n")
	require.Greater(t, len(lines), 120)
	for _, line := range lines {
		at := strings.LastIndex(line, " ")
		require.Equal(t, line[at+1:], now[line[:at]], "the operation id of %s was released and cannot change", line[:at])
	}
}
