package api

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/keyring"
)

// The operator's token is known before and after another key became the current one.
func TestTheOperatorOutlivesARotation(t *testing.T) {
	keys, err := keyring.Parse(keyring.Generate() + "," + keyring.Generate())
	require.NoError(t, err)
	s := &Server{Keys: keys, Config: Config{OperatorTokenHash: keys.Hash("operator")}}
	for _, id := range keys.IDs() {
		require.True(t, keys.MakeWith(id))
		require.True(t, s.isOperator("operator"))
		require.False(t, s.isOperator("another"))
	}
	require.False(t, (&Server{Keys: keys}).isOperator(""), "without a token of the operator's nobody is")
}
