package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What docs/install.md puts into the files of one machine works: its settings are read by an ordinary user's
// process in a folder of the mode that the page makes, the unit names that user and the installed program, and
// its last command creates a tenant.
func TestTheInstallPagesFilesWork(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may start a process as another user")
	}
	text, err := os.ReadFile("../docs/install.md")
	require.NoError(t, err)
	page := regexp.MustCompile(`(?m)^ {3}`).ReplaceAllString(string(text), "")

	unit := heredoc(t, page, "UNIT")
	user := regexp.MustCompile(`useradd .* (\w+)\n`).FindStringSubmatch(page)
	require.NotNil(t, user)
	require.Contains(t, unit, "User="+user[1]+"\n")
	installed := regexp.MustCompile(`bin/standalone (/\S+)`).FindStringSubmatch(page)
	require.NotNil(t, installed)
	require.Contains(t, unit, "ExecStart="+installed[1]+"\n")
	settings := regexp.MustCompile(`sudo tee (/etc/\S+) >/dev/null <<'ENV'`).FindStringSubmatch(page)
	require.NotNil(t, settings)
	require.Contains(t, unit, "EnvironmentFile="+settings[1]+"\n")
	verifyUnit(t, unit)

	dir := dataDir(t)
	change := ordinary(t, filepath.Dir(dir))
	var asked map[string]string
	p := bootChild(t, dir, func(cmd *exec.Cmd) {
		change(cmd)
		asked = environmentOf(t, heredoc(t, page, "ENV"))
		for name, value := range asked {
			if name != "OFFERFLOW_DATA_DIR" {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
		}
	})
	require.NotContains(t, p.output.String(), "did you mean")
	require.Contains(t, get(t, p.addresses["Offerflow"]+"/readyz"), `"status":"ok"`)

	create := regexp.MustCompile(`(?s)curl -sS https://offers\.example\.com/api/v1/tenants .*?\n` + "```").FindString(page)
	require.NotEmpty(t, create)
	create = strings.NewReplacer(asked["OFFERFLOW_PUBLIC_URL"], p.addresses["Offerflow"], "sudo cat "+asked["OFFERFLOW_DATA_DIR"], "cat "+dir, "```", "").Replace(create)
	out, err := exec.CommandContext(t.Context(), "sh", "-c", create).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), `"apiToken":"`)
}

// heredoc is what the page writes into a file.
func heredoc(t *testing.T, page, mark string) string {
	t.Helper()
	found := regexp.MustCompile(`(?s)<<'` + mark + `'\n(.*?)` + mark + `\n`).FindStringSubmatch(page)
	require.NotNil(t, found, mark)
	return found[1]
}

func environmentOf(t *testing.T, file string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for line := range strings.Lines(file) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		require.True(t, ok, line)
		found[name] = value
	}
	return found
}

// verifyUnit has systemd read the unit, where the machine has it.
func verifyUnit(t *testing.T, unit string) {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("no systemd here: the unit's options are not checked")
		return
	}
	unit = regexp.MustCompile(`ExecStart=\S+`).ReplaceAllString(unit, "ExecStart=/bin/true")
	unit = regexp.MustCompile(`User=\w+|EnvironmentFile=\S+`).ReplaceAllString(unit, "")
	file := filepath.Join(t.TempDir(), "offerflow.service")
	require.NoError(t, os.WriteFile(file, []byte(unit), 0o600))
	out, err := exec.CommandContext(t.Context(), analyze, "verify", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), file, "%s", out)
}
