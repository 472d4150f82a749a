package domain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// A reason, an outcome or a status that is in no closed list could not be asked for by a filter.
func TestTheClosedListsHaveEveryWord(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, reason := range slices.Concat(PostbackReasons, ClickReasons) {
		listed = append(listed, string(reason))
	}
	for _, outcome := range StoredOutcomes {
		listed = append(listed, string(outcome))
	}
	for _, status := range Statuses {
		listed = append(listed, string(status))
	}
	listed = append(listed, "", string(OutcomeQueued)) // none, and what is never stored

	file, err := parser.ParseFile(token.NewFileSet(), "vocabulary.go", nil, 0)
	require.NoError(t, err)
	words := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || spec.Type == nil || len(spec.Values) != 1 {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		word, err := strconv.Unquote(literal.Value)
		require.NoError(t, err)
		require.Contains(t, listed, word, "%s is in no list of vocabulary_lists.go", spec.Names[0].Name)
		words++
		return true
	})
	require.Greater(t, words, 40)
}
