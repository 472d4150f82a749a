package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// envFile is a new .env, made as an operator makes it.
func envFile(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "offerflow")
	copyFile(t, filepath.Join(root, ".env.example"), filepath.Join(dir, ".env.example"))
	copyFile(t, filepath.Join(root, "scripts/env.sh"), filepath.Join(dir, "scripts/env.sh"))
	runs(t, dir, "scripts/env.sh")
	return filepath.Join(dir, ".env")
}

func runs(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.Command("bash", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
	require.NoError(t, os.WriteFile(to, text, 0o755))
}

// load reads docker-compose.yml as Docker Compose does: by its schema, with its variables filled from .env.
func load(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")},
		cli.WithEnvFiles(envFile(t)), cli.WithDotEnv, cli.WithProfiles([]string{"*"}))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

// Whatever is pulled is pulled by digest: a tag may come to mean something else.
func TestEveryImageIsBuiltHereOrPinned(t *testing.T) {
	project := load(t)
	built := map[string]string{"offerflow:local": "", "offerflow-engine:local": "engine"}
	digest := regexp.MustCompile(`^[a-z0-9./-]+:[A-Za-z0-9._-]+@sha256:[0-9a-f]{64}$`)
	require.Len(t, project.Services, 8)
	for name, service := range project.Services {
		if service.Build == nil {
			require.Regexp(t, digest, service.Image, name)
			continue
		}
		target, known := built[service.Image]
		require.True(t, known, "%s: %s", name, service.Image)
		require.Equal(t, target, service.Build.Target, name)
	}
	for _, name := range []string{"nats", "temporal", "temporal-ui"} {
		require.Equal(t, "offerflow-engine:local", project.Services[name].Image, name)
	}
}

// The check that `make verify` runs finds every way to name an image.
func TestTheCheckOfDigestsFindsEveryImage(t *testing.T) {
	const pinned = "@sha256:d74eeac9a635390a49bc21bd49fccd973de707e2a53a76ac49b552b8712ec46f"
	for name, one := range map[string]struct {
		compose, dockerfile string
		finds               []string
	}{
		"all is well": {"services:\n  a:\n    image: a:1" + pinned + "\n  b:\n    image: offerflow:local\n",
			"FROM go:1" + pinned + " AS build\nFROM build AS more\nFROM --platform=linux/amd64 b:1" + pinned + "\nCOPY --from=build /a /a\nCOPY --from=0 /a /a\n", nil},
		"compose":       {"services:\n  a:\n    image: nats:2\n  b:\n    image: \"ui:3\"\n", "FROM go:1" + pinned + "\n", []string{"nats:2", "ui:3"}},
		"Dockerfile":    {"", "# syntax=docker/dockerfile:1\nFROM go:1 AS build\nfrom --platform=linux/amd64 b:1\n", []string{"go:1", "b:1", "docker/dockerfile:1"}},
		"copied from":   {"", "FROM go:1" + pinned + "\nCOPY --chown=1 --from=busybox:1 /a /a\nRUN --mount=type=bind,from=c:2,target=/x true\n", []string{"busybox:1", "c:2"}},
		"half a digest": {"services:\n  a:\n    image: a:1@sha256:d74e\n", "FROM go:1" + pinned + "\n", []string{"a:1@sha256:d74e"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			copyFile(t, filepath.Join(root, "scripts/pin-images.sh"), filepath.Join(dir, "scripts/pin-images.sh"))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "docker-compose.yml"), []byte(one.compose), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(one.dockerfile), 0o600))
			check := exec.Command("bash", "scripts/pin-images.sh", "--check")
			check.Dir = dir
			out, err := check.CombinedOutput()
			require.Equal(t, len(one.finds) > 0, err != nil, "%s", out)
			require.Equal(t, len(one.finds), strings.Count(string(out), "\n"), "%s", out)
			for _, image := range one.finds {
				require.Contains(t, string(out), ": "+image+"\n")
			}
		})
	}
}

// An .env of the release before gets what is missing, and keeps what is there.
func TestAnEarlierEnvironmentIsCompleted(t *testing.T) {
	path := envFile(t)
	dir := filepath.Dir(path)
	made, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotRegexp(t, `(?m)^[A-Z_]+=$`, string(made))
	require.Contains(t, runs(t, dir, "scripts/env.sh"), "nothing is missing")
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(made), string(again))

	earlier := strings.TrimSuffix(regexp.MustCompile(`(?m)^TEMPORAL_TOKEN=.*\n`).ReplaceAllString(string(made), ""), "\n")
	require.NotEqual(t, string(made), earlier)
	require.NoError(t, os.WriteFile(path, []byte(earlier), 0o600))
	require.Equal(t, "added to .env: TEMPORAL_TOKEN\n", runs(t, dir, "scripts/env.sh"))
	completed, err := os.ReadFile(path)
	require.NoError(t, err)
	added, found := strings.CutPrefix(string(completed), earlier+"\n")
	require.True(t, found, "what was there is kept")
	require.Regexp(t, `^TEMPORAL_TOKEN=[0-9a-f]{64}\n$`, added)
}
