package lookup

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

func TestBudgetsAreSpentPerKey(t *testing.T) {
	t.Parallel()
	b := NewBudgets(1, 2)
	at := time.Unix(1_800_000_000, 0)
	for _, step := range []struct {
		key   string
		after time.Duration
		want  bool
	}{
		{"a", 0, true}, {"a", 0, true}, {"a", 0, false}, {"b", 0, true}, {"a", time.Second, true}, {"a", time.Second, false},
	} {
		require.Equal(t, step.want, b.left(step.key, at.Add(step.after)), "%v", step)
		require.Equal(t, step.want, b.Allow(step.key, at.Add(step.after)), "%v", step)
	}
}

func TestAddressKeyIsOneClients(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "not an address": "not an address",
	} {
		require.Equal(t, want, domain.AddressKey(ip), ip)
	}
}
