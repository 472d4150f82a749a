// Package tour runs the shell lines of the documentation against a standalone process, so that
// nobody reads a line that does not work.
package tour

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/standalone/boot"
	"github.com/offerflow/offerflow/standalone/engine"
	"github.com/offerflow/offerflow/standalone/internal/ports"
	"github.com/offerflow/offerflow/standalone/internal/testboot"
)

// pages are read in this order, as by one reader in one shell.
var pages = []string{
	"README.md", "docs/tour.md", "docs/http.md", "docs/callbacks.md", "docs/secure-postbacks.md",
	"docs/roles-and-tokens.md", "docs/where-are-my-coins.md", "docs/month-end.md",
	"docs/members-data.md", // last: it erases the member of the pages before
}

// documented is the address that the pages write.
const documented = "http://127.0.0.1:8080"

// block is one fenced block of shell lines.
type block struct {
	page     string
	line     int
	commands string
	// expected are texts that the block's output must contain: lines of the form "# → text".
	expected []string
}

func TestEveryLineOfTheTourWorks(t *testing.T) {
	dir := testboot.Dir(t)
	address := start(t, filepath.Join(dir, "data"))
	var blocks []block
	for _, page := range pages {
		blocks = append(blocks, blocksOf(t, page)...)
	}
	if len(blocks) < 5 {
		t.Fatalf("only %d blocks found: is the fence still \"```sh tour\"?", len(blocks))
	}
	outputs := runAll(t, dir, strings.ReplaceAll(script(blocks), documented, address))
	for i, b := range blocks {
		if i >= len(outputs) {
			t.Fatalf("%s:%d was not reached", b.page, b.line)
		}
		for _, text := range b.expected {
			if !strings.Contains(outputs[i], text) {
				t.Errorf("%s:%d should say %q, but says\n%s", b.page, b.line, text, outputs[i])
			}
		}
	}
}

// start boots a standalone on free ports and returns its address.
func start(t *testing.T, data string) string {
	t.Helper()
	port, err := ports.Or(0)
	if err != nil {
		t.Fatal(err)
	}
	// Links are made with the public address, so that the port must be known before the start.
	config := process.Config{
		HTTPAddr: ports.Address(port), DatabaseConns: 20, NATSReplicas: 1, AttributionStart: "on_click", LogFormat: "text", LogLevel: "warn",
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := boot.Start(ctx, engine.Options{DataDir: data, PostgresSettings: testboot.Unsynced()}, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s.URL
}

const marker = "@@@ block"

// script is one shell for all blocks, as the reader's is; markers part their outputs.
func script(blocks []block) string {
	var text strings.Builder
	for _, b := range blocks {
		fmt.Fprintf(&text, "echo '%s'\n%s\n", marker, b.commands)
	}
	return text.String()
}

// runAll returns the output of each block that was begun, and fails at the first that fails.
func runAll(t *testing.T, dir, script string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	outputs := strings.Split(string(out), marker+"\n")[1:]
	if err != nil {
		t.Fatalf("block %d of the tour: %v\n%s", len(outputs), err, out)
	}
	return outputs
}

// blocksOf reads the blocks fenced by ```sh tour.
func blocksOf(t *testing.T, page string) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(page)))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	inside := false
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case line == "```sh tour":
			blocks = append(blocks, block{page: page, line: i + 1})
			inside = true
		case line == "```":
			inside = false
		case inside:
			b := &blocks[len(blocks)-1]
			if expected, ok := strings.CutPrefix(line, "# → "); ok {
				b.expected = append(b.expected, expected)
			}
			b.commands += line + "\n"
		}
	}
	return blocks
}
