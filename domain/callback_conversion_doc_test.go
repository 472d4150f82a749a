package domain

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// docs/callbacks.md shows a message with every field that callbacks have, and explains each.
func TestTheDocsShowEveryFieldOfACallback(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/callbacks.md")
	require.NoError(t, err)
	_, example, found := strings.Cut(string(page), "```json success\n")
	require.True(t, found)
	example, explained, _ := strings.Cut(example, "```")
	var shown struct {
		ID, SentAt string
		Sequence   int64
		Conversion map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(example), &shown))
	text, err := json.Marshal(CallbackConversion{Revenue: "5.00"})
	require.NoError(t, err)
	var sent map[string]any
	require.NoError(t, json.Unmarshal(text, &sent))
	require.Equal(t, slices.Sorted(maps.Keys(sent)), slices.Sorted(maps.Keys(shown.Conversion)))
	for field := range sent {
		if numbered := regexp.MustCompile(`Sub\d+$`).MatchString(field); !numbered {
			require.Contains(t, explained, "`"+field+"`")
		}
	}
}
