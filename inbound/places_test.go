package inbound

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, byte(n >> 16), byte(n >> 8), byte(n)})
}

func fill(p *Places, source netip.Addr) (entered int) {
	for p.Enter(source) {
		entered++
	}
	return entered
}

// One address gets its bound and no more; all of them get the total and no more.
func TestPlacesAreBounded(t *testing.T) {
	t.Parallel()
	places := NewPlaces(4096, 1024)
	require.Equal(t, 1024, fill(places, address(1)), "an address alone gets all that one may have")
	all := 1024
	for n := 2; places.Held() < 4096; n++ {
		entered := fill(places, address(n))
		require.NotZero(t, entered, "an address that holds none is admitted while there is a place")
		all += entered
	}
	require.Equal(t, 4096, all)
	require.False(t, places.Enter(address(1<<20)), "no more than the total")
	places.Leave(address(1))
	require.True(t, places.Enter(address(1<<20)))
}

// However many addresses take what they can, somebody who comes later is served.
func TestAttackersLeaveRoom(t *testing.T) {
	t.Parallel()
	for _, attackers := range []int{1, 4, 16, 100, 1000} {
		places := NewPlaces(16_384, 2048)
		for again := true; again; {
			again = false
			for n := range attackers {
				again = places.Enter(address(n)) || again
			}
		}
		require.Less(t, places.Held(), 16_384-8, "%d attackers", attackers)
		require.True(t, places.Enter(address(1<<20)), "%d attackers", attackers)
	}
}

func TestPlacesWithoutABoundPerAddress(t *testing.T) {
	t.Parallel()
	require.Equal(t, 8, fill(NewPlaces(8, 8), address(1)))
	require.Equal(t, 8, fill(NewPlaces(8, 100), address(1)))
	places := NewPlaces(4, 1)
	require.Equal(t, 1, fill(places, address(1)))
	for places.EnterAny() {
	}
	require.Equal(t, 4, places.Held(), "places that count for no address count in all")
	places.LeaveAny()
	require.True(t, places.Enter(address(2)))
}

// What is taken is given back, and nothing of an address that holds none is kept.
func TestPlacesAreGivenBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 40).Draw(t, "total")
		perAddress := rapid.IntRange(1, 40).Draw(t, "per address")
		places, held, all := NewPlaces(total, perAddress), map[netip.Addr]int{}, 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			source := address(rapid.IntRange(1, 6).Draw(t, "source"))
			if rapid.Bool().Draw(t, "enters") {
				if places.Enter(source) {
					held[source]++
					all++
				} else if all < total && held[source] == 0 {
					t.Fatal("refused an address that holds none")
				}
			} else if held[source] > 0 {
				places.Leave(source)
				held[source]--
				all--
			}
			if places.Held() != all || places.HeldBy(source) != held[source] || held[source] > perAddress || all > total {
				t.Fatalf("held %d of %d, by %s %d of %d", places.Held(), total, source, held[source], perAddress)
			}
		}
		for source, n := range held {
			for range n {
				places.Leave(source)
			}
		}
		if places.Held() != 0 || len(places.by) != 0 {
			t.Fatalf("%d are left, %v", places.Held(), places.by)
		}
	})
}

func TestSourceOfAnAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3::4": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
		"not an address": "invalid IP",
	} {
		require.Equal(t, want, ParseSource(text).String())
	}
}
