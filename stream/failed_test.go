package stream

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// An error may quote what others sent: what is kept of it is bounded, and is text that the database takes.
func TestErrorsOfFailedMessagesAreBounded(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"long": strings.Repeat("é", 1<<20), "cut within a character": "x" + strings.Repeat("é", maxErrorText),
		"no text": strings.Repeat("\xff\x00", 1<<20), "in one byte": strings.Repeat("x", 1<<20),
	} {
		kept := errorText(errors.New(text))
		require.LessOrEqual(t, len(kept), maxErrorText, name)
		require.Greater(t, len(kept), maxErrorText-utf8.UTFMax, name)
		require.True(t, utf8.ValidString(kept), name)
		require.NotContains(t, kept, "\x00", name)
	}
	require.Equal(t, "as it is", errorText(errors.New("as it is")))
}
