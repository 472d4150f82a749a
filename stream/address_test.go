package stream

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

func TestAddressesOfTheStreamServer(t *testing.T) {
	for _, good := range []string{
		"", "nats://127.0.0.1:4222", "127.0.0.1:4222", "nats://token@nats:4222", "tls://user:pa%2Fss@nats:4222", "nats://a:4222, nats://b:4222,", "nats://[::1]:4222",
	} {
		require.NoError(t, CheckURL(good), good)
	}
	for _, bad := range []string{"nats://hunter2/x@nats:4222", "nats://hunter2%zz@nats:4222", "nats://nats:port", "nats://"} {
		err := CheckURL(bad)
		require.ErrorContains(t, err, "OFFERFLOW_NATS_URL is not a valid NATS address", bad)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// A server that cannot be used is told of by its place, without what one logs in with.
func TestWhatIsWrongWithTheStreamServer(t *testing.T) {
	const address = "nats://hunter2@nats-1:4222,nats://user:hunter2@nats-2:4222"
	for cause, says := range map[error]string{
		nats.ErrAuthorization: "refuses the token, or the user and password", nats.ErrNoServers: "NATS does not answer at nats-1:4222, nats-2:4222: start it",
		nats.ErrTimeout: "NATS does not answer", errors.New("tls: unknown certificate"): "nats-1:4222, nats-2:4222 cannot be used: tls",
	} {
		err := notConnected(address, cause)
		require.ErrorIs(t, err, cause)
		require.ErrorContains(t, err, "OFFERFLOW_NATS_URL: ")
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
