package erasure_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
)

const membersPage = "../../docs/members-data.md"

// Every column that can hold a text stands in docs/members-data.md, with what becomes of it: a column that is
// added later must be thought about.
func TestThePageOfMembersDataHasEveryColumn(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 2)
	conn, err := pgx.Connect(t.Context(), rig.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	rows, err := conn.Query(t.Context(), activitytest.TextColumns)
	require.NoError(t, err)
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[activitytest.TextColumn])
	require.NoError(t, err)
	page, err := os.ReadFile(membersPage)
	require.NoError(t, err)
	named := regexp.MustCompile("`([a-z_0-9]+)`")
	listed := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 {
			continue
		}
		for _, table := range named.FindAllStringSubmatch(cells[1], -1) {
			for _, column := range named.FindAllStringSubmatch(cells[2], -1) {
				listed[table[1]+"."+column[1]] = true
			}
		}
	}
	there := map[string]bool{}
	var missing []string
	for _, c := range columns {
		name := c.Table + "." + c.Column
		there[name] = true
		if !listed[name] {
			missing = append(missing, name)
		}
	}
	require.Empty(t, missing, "add them to the tables of %s: what is exported, what an erasure does, what is kept and why", membersPage)
	for name := range listed {
		require.True(t, there[name], "%s is in the page, and not in the schema", name)
	}
}
