package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
)

func TestCommandLines(t *testing.T) {
	for line, want := range map[string]struct {
		code int
		says string
	}{
		"help":        {0, "usage: standalone [COMMAND]"},
		"--help":      {0, "  demo        start, then play the story"},
		"demo --help": {0, "usage: standalone demo\n"},
		"version":     {0, "standalone "},
		"config":      {0, "OFFERFLOW_DATA_DIR="},
		"dmeo":        {2, `standalone: unknown command "dmeo"; did you mean demo?`},
		"demo now":    {2, `unexpected argument "now"`},
	} {
		t.Run(line, func(t *testing.T) {
			var out, errs strings.Builder
			require.Equal(t, want.code, standalone().Main(t.Context(), strings.Fields(line), &out, &errs))
			require.Contains(t, out.String()+errs.String(), want.says)
		})
	}
}

// Settings of the parts that it brings along have no effect: it says so rather than ignore them.
func TestSettingsWithoutEffectAreToldOf(t *testing.T) {
	found := strings.Join(warnings(func(name string) string {
		return map[string]string{"OFFERFLOW_DATABASE_URL": "postgres://u:hunter2@db/x"}[name]
	}), "\n")
	require.Contains(t, found, "OFFERFLOW_DATABASE_URL has no effect: standalone runs its own PostgreSQL, NATS and Temporal")
	require.NotContains(t, found, "hunter2")
}

// The demo's mail server leaves it to the engine to make the data folder: PostgreSQL's user must be able to
// enter it, or the database goes elsewhere.
func TestTheDemosMailsMakeNoDataFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	box, err := openMailbox(&process.Config{}, dir)
	require.NoError(t, err)
	require.NoError(t, box.Close())
	require.NoDirExists(t, dir)
}

// Its own settings are the ones that it reads, and the page names each with its default.
func TestOwnSettings(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	for _, one := range ownSettings {
		require.Contains(t, string(page), one.Name)
		if one.Name == "OFFERFLOW_DATA_DIR" {
			continue // every text is a folder's name
		}
		_, err := optionsFromEnv(func(name string) string {
			if name == one.Name {
				return "nonsense"
			}
			return ""
		}, io.Discard)
		require.ErrorContains(t, err, one.Name+` is "nonsense"`)
	}
}
