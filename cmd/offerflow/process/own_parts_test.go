package process

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/outbound"
)

// architecture.md: a standalone on a loopback address allows callbacks to this machine, unless the setting says
// something, be it nothing.
func TestLoopbackIsAllowedWhereOnlyThisMachineReachesTheAPI(t *testing.T) {
	private := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		address string
		set     []netip.Prefix
		want    []netip.Prefix
	}{
		{"127.0.0.1:8080", nil, LoopbackRanges()}, {"localhost:8080", nil, LoopbackRanges()}, {"[::1]:0", nil, LoopbackRanges()},
		{"0.0.0.0:8080", nil, nil}, {":8080", nil, nil}, {"10.1.2.3:8080", nil, nil},
		{"127.0.0.1:8080", []netip.Prefix{}, []netip.Prefix{}}, {"127.0.0.1:8080", private, private},
	} {
		config := Config{HTTPAddr: c.address, CallbackAllowCIDRs: c.set}
		config.AllowLoopback()
		require.Equal(t, c.want, config.CallbackAllowCIDRs, c.address)
	}
}

func TestCallbackRangesSetToNothing(t *testing.T) {
	config, err := FromEnv()
	require.NoError(t, err)
	require.Nil(t, config.CallbackAllowCIDRs)
	t.Setenv("OFFERFLOW_CALLBACK_ALLOW_CIDRS", "")
	config, err = FromEnv()
	require.NoError(t, err)
	require.NotNil(t, config.CallbackAllowCIDRs)
	require.Empty(t, config.CallbackAllowCIDRs)
	t.Setenv("OFFERFLOW_CALLBACK_ALLOW_CIDRS", "10.0.0.0/8,::1/128")
	config, err = FromEnv()
	require.NoError(t, err)
	require.Len(t, config.CallbackAllowCIDRs, 2)
}

// Rule 53: what a process and those beside it listen on and connect to is known from the settings.
func TestOwnParts(t *testing.T) {
	config := Config{
		HTTPAddr: "0.0.0.0:8080", WorkerHTTPAddr: "127.0.0.1:8081", MetricsAddr: ":9464", DatabaseURL: "postgres://u:p@db.internal,10.0.0.7:6432/offerflow",
		MigrateDatabaseURL: "postgres:///offerflow?host=/run/postgresql&port=5433", NATSURL: "nats://t@n1:4222,nats://n2", NATSMonitorURL: "http://n1:8222",
		TemporalUIURL: "https://temporal.example", SMTPURL: "smtp://u:p@mail.internal", OwnParts: []outbound.OwnPart{{Host: "127.0.0.1", Port: 17000}},
	}
	shared := []string{"0.0.0.0:8080", ":9464", "n1:4222", "n2:4222", "n1:8222", "temporal:7233", "temporal.example:443", "mail.internal:587"}
	databases := []string{"db.internal:5432", "10.0.0.7:6432", ":5433", "127.0.0.1:17000"}
	for role, more := range map[Role][]string{RoleAll: nil, RoleAPI: {"127.0.0.1:8081"}, RoleWorker: {"127.0.0.1:8081"}} {
		process := &Process{config: config, role: role, temporalAddress: "temporal:7233"}
		got := map[string]bool{}
		for _, part := range process.ownParts() {
			got[fmt.Sprintf("%s:%d", part.Host, part.Port)] = true
		}
		want := map[string]bool{}
		for _, list := range [][]string{shared, databases, more} {
			for _, address := range list {
				want[address] = true
			}
		}
		require.Equal(t, want, got, role)
	}
}
