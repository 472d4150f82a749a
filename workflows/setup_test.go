package workflows_test

import (
	"bytes"
	"log/slog"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/offerflow/offerflow/workflows"
)

// A worker goes on where the operator service is not permitted, as in Temporal Cloud, and says what a
// person is to register.
func TestSearchAttributesThatCannotBeRegisteredAreNamed(t *testing.T) {
	for name, refusal := range map[string]error{
		"not permitted": status.Error(codes.PermissionDenied, "Request unauthorized."),
		"not there":     status.Error(codes.Unimplemented, "unknown service"),
	} {
		t.Run(name, func(t *testing.T) {
			said := heard(t)
			require.NoError(t, workflows.EnsureSearchAttributes(t.Context(), refusing(t, refusal), "offers"))
			for _, word := range []string{"offers", "OfferflowTenant", "OfferflowOffer", "OfferflowLink", "OfferflowMember", "Keyword"} {
				require.Contains(t, said.String(), word)
			}
		})
	}
	err := workflows.EnsureSearchAttributes(t.Context(), refusing(t, status.Error(codes.Internal, "broken")), "offers")
	require.ErrorContains(t, err, "broken")
}

// refusing returns a client whose server refuses every call.
func refusing(t *testing.T, refusal error) client.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return refusal }))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	c, err := client.NewLazyClient(client.Options{HostPort: listener.Addr().String(), Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// heard is what is logged until the test ends.
func heard(t *testing.T) *bytes.Buffer {
	t.Helper()
	said, before := &bytes.Buffer{}, slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(said, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return said
}
