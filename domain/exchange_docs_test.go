package domain

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var updateDocs = flag.Bool("update", false, "write the table of docs/exchange.md")

// ownersTable is the table of docs/exchange.md.
func ownersTable() string {
	rows := []string{"| who | fields |", "|---|---|"}
	for _, owner := range []FieldOwner{OwnerAdvertiser, OwnerPublisher, OwnerEither} {
		var names []string
		for _, field := range offerFields {
			if field.Owner == owner {
				names = append(names, "`"+field.Name+"`")
			}
		}
		rows = append(rows, "| "+string(owner)+" | "+strings.Join(names, " ")+" |")
	}
	return strings.Join(rows, "\n") + "\n"
}

// Rule 57: what the documentation says is what the code does. -update writes it.
func TestRule57TableInTheDocumentation(t *testing.T) {
	const path, begin, end = "../docs/exchange.md", "<!-- fields -->\n", "<!-- /fields -->"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found)
	table, after, found := strings.Cut(rest, end)
	require.True(t, found)
	if *updateDocs {
		require.NoError(t, os.WriteFile(path, []byte(before+begin+ownersTable()+end+after), 0o644))
		return
	}
	require.Equal(t, ownersTable(), table, "go test ./domain -run %s -update", t.Name())
}
