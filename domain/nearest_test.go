package domain

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNearestNames(t *testing.T) {
	names := []string{"install", "purchase", "purchase_2", "level_10", "level_11", "a", "größe"}
	for sent, want := range map[string][]string{
		"purchas":                {"purchase", "purchase_2"},
		"PURCHASE":               {"purchase", "purchase_2"},
		"Level-10":               {"level_10", "level_11"},
		"lvl10":                  {"level_10"},
		"isntall":                {"install"},
		"grösse":                 {"größe"},
		"x":                      nil,
		"":                       nil,
		"subscription":           nil,
		strings.Repeat("a", 999): nil,
	} {
		require.Equal(t, want, Nearest(sent, names), sent)
	}
	require.Len(t, Nearest("level", []string{"level1", "level2", "level3", "level4"}), 3)
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"öl", "ol", 1}} {
		require.Equal(t, c.want, editDistance([]rune(c.a), []rune(c.b)), "%s %s", c.a, c.b)
		require.Equal(t, c.want, editDistance([]rune(c.b), []rune(c.a)), "%s %s", c.b, c.a)
	}
}
