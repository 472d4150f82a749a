package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// texts are what people read of commands and targets: each page, script and file of the deployment.
func texts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md", "Makefile", "Dockerfile", "docker-compose.yml", ".env.example", "deploy/*", "scripts/*", "examples/*/*.md"} {
		names, err := filepath.Glob(filepath.Join("../..", pattern))
		require.NoError(t, err)
		for _, name := range names {
			if info, err := os.Stat(name); err != nil || info.IsDir() || strings.HasSuffix(name, "CHANGELOG.md") { // it tells of what was
				continue
			}
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			found[name] = string(text)
		}
	}
	require.Greater(t, len(found), 40)
	return found
}

// Every command, flag and target of make that a page names is there.
func TestWhatIsAdvertisedIsThere(t *testing.T) {
	commands := map[string]bool{"help": true, "version": true}
	for _, one := range offerflow().Commands {
		commands[one.Name] = true
	}
	makefile, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	targets := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^([a-z]+):`).FindAllStringSubmatch(string(makefile), -1) {
		targets[found[1]] = true
	}
	named := regexp.MustCompile("(?:`|\\n|`bin/|\\tbin/)offerflow ([a-z-]+)")
	made := regexp.MustCompile("(?:`|\\n)make ([a-z]+)")
	count := 0
	for name, text := range texts(t) {
		for _, found := range named.FindAllStringSubmatch(text, -1) {
			count++
			require.True(t, commands[found[1]], "%s names offerflow %s", name, found[1])
		}
		for _, found := range made.FindAllStringSubmatch(text, -1) {
			count++
			require.True(t, targets[found[1]], "%s names make %s", name, found[1])
		}
	}
	require.Greater(t, count, 30)
	compose, err := os.ReadFile("../../docker-compose.yml")
	require.NoError(t, err)
	started := regexp.MustCompile(`(?m)^    <<: \*offerflow$\n(?:    .*\n)*?    command: \[([a-z]+)\]$`).FindAllStringSubmatch(string(compose), -1)
	require.Len(t, started, 3)
	for _, found := range started {
		require.True(t, commands[found[1]], "docker-compose.yml starts %s", found[1])
	}
}

// The settings that a page or a file of the deployment names are there, in this program or the other.
func TestEverySettingThatIsNamedIsThere(t *testing.T) {
	elsewhere := regexp.MustCompile(`^OFFERFLOW_(POSTGRES_BIN|POSTGRES_PORT|NATS_PORT|NATS_MONITOR_PORT|TEMPORAL_PORT|TEMPORAL_UI_PORT|DATA_DIR|STANDALONE_UI_WRITES|` +
		`OWNER_PASSWORD|DATABASE_PASSWORD|TEST_DATABASE_URL|REFUSED_|STREAM_)$`)
	var listed strings.Builder
	require.NoError(t, listSettings(&listed, false))
	for name, text := range texts(t) {
		for _, setting := range regexp.MustCompile(`OFFERFLOW_[A-Z_]+`).FindAllString(text, -1) {
			require.True(t, elsewhere.MatchString(setting) || strings.Contains(listed.String(), "\n"+setting+"=") || strings.HasPrefix(listed.String(), setting+"="),
				"%s names %s", name, setting)
		}
	}
}
