package keyring

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A guess is told from a token that was given out, without a look-up.
func TestMintedToken(t *testing.T) {
	t.Parallel()
	key := Generate()
	r := ring(t, key)
	token := r.NewToken("of_")
	require.True(t, strings.HasPrefix(token, "of_"))
	require.NotEqual(t, token, r.NewToken("of_"))
	require.True(t, r.MintedToken("of_", token))
	require.True(t, ring(t, Generate(), key).MintedToken("of_", token), "after a rotation")
	require.False(t, ring(t, Generate()).MintedToken("of_", token), "under another key")
	for name, guess := range map[string]string{
		"another prefix": "xx_" + token[3:], "no prefix": token[3:], "cut": token[:46], "longer": token + "AAAA", "none": "", "padded": token + "=",
		"of a release before": "of_" + strings.Repeat("A", 43), "the operator's": strings.Repeat("ab", 32),
		"changed": token[:10] + string(token[10]^1) + token[11:], "guessed": "of_" + strings.Repeat("A", 48),
	} {
		require.False(t, r.MintedToken("of_", guess), name)
	}
}
