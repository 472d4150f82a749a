package keyring

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var kinds = []Kind{KindClick, KindPostback, KindLink, KindView}

// Rule 1: a forged id is refused, and so is an id of another kind.
func TestIDsCarryTheirKind(t *testing.T) {
	t.Parallel()
	key := Generate()
	r, rotated, stranger := ring(t, key), ring(t, Generate(), key), ring(t, Generate())
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "at"))
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		id := r.NewID(kind, at)
		seconds, nanos := id.Time().UnixTime()
		require.Equal(t, at.UnixMilli(), time.Unix(seconds, nanos).UnixMilli())
		require.Equal(t, uuid.Version(7), id.Version())
		require.Equal(t, uuid.RFC4122, id.Variant())
		require.Zero(t, r.Cell(id))
		for _, other := range kinds {
			require.Equal(t, other == kind, r.Genuine(other, id), "as kind %d", other)
			require.Equal(t, other == kind, rotated.Genuine(other, id), "as kind %d, after a rotation", other)
			require.Equal(t, other == kind, r.HasKind(other, id))
		}
		require.False(t, stranger.Genuine(kind, id), "under another key") // passes once in 16 million runs
		bit := rapid.IntRange(0, 127).Draw(t, "bit")
		forged := id
		forged[bit/8] ^= 1 << (bit % 8)
		require.False(t, r.Genuine(kind, forged), "bit %d was changed and nobody noticed", bit)
	})
	require.False(t, r.Genuine(KindLink, uuid.Nil))
	require.False(t, r.Genuine(KindLink, uuid.Must(uuid.NewV7())), "minted by nobody")
}

// The bits of the cell are those that the decision names, and the others stay random.
func TestCellOfAnID(t *testing.T) {
	t.Parallel()
	r := ring(t, Generate())
	id := uuid.MustParse("019367a1-5a40-7abf-8def-0123456789ab")
	require.Equal(t, 0xabf>>2, r.Cell(id))
	require.Equal(t, 0, r.WithKindsFrom(time.Now()).Cell(id), "an id from before has random bits there")
	seen := map[byte]bool{}
	for range 200 {
		id := r.NewID(KindClick, time.Now())
		require.Equal(t, byte(0x70), id[6])
		require.Zero(t, id[7]>>2)
		seen[id[7]] = true
	}
	require.Len(t, seen, 4, "two random bits stand beside the cell")
}

// earlier are ids that the release before minted under earlierKey, at earlierAt: with a MAC that knows
// no kind. They are written down, so that no later release mints them anew in another way.
var (
	earlierKey = "6f66666572666c6f77206f6666657266326c6f77206f6666657266336c6f7720"
	earlierAt  = time.UnixMilli(1767225600000) // 2026-01-01
	earlier    = []string{
		"019b76da-a800-7510-9f6b-64ddcadf5ecd", "019b76da-a800-70bb-8c95-05c94d14f16c", "019b76da-a800-750e-8599-5396461c7071", "019b76da-a800-79df-aa36-d2cfc7572f85",
	}
)

// Clicks, links, views and postbacks of the release before stay genuine. Its ids have times before the
// recorded instant; one that has a later time is forged or of a process that was not upgraded.
func TestIDsFromBeforeKinds(t *testing.T) {
	t.Parallel()
	from := earlierAt.Add(time.Hour)
	upgraded, rotated := ring(t, earlierKey).WithKindsFrom(from), ring(t, Generate(), earlierKey).WithKindsFrom(from)
	for _, text := range earlier {
		id := uuid.MustParse(text)
		for _, kind := range kinds {
			require.True(t, upgraded.Genuine(kind, id))
			require.True(t, rotated.Genuine(kind, id))
			require.False(t, upgraded.HasKind(kind, id), "nothing says of which kind it is")
			require.False(t, ring(t, earlierKey).Genuine(kind, id), "a fresh installation has none")
			require.False(t, ring(t, earlierKey).WithKindsFrom(earlierAt).Genuine(kind, id), "from the instant on none")
			require.True(t, ring(t, earlierKey).WithKindsFrom(earlierAt.Add(time.Millisecond)).Genuine(kind, id))
			require.False(t, ring(t, Generate()).WithKindsFrom(from).Genuine(kind, id))
		}
		require.Zero(t, upgraded.Cell(id))
		forged := id
		forged[12] ^= 1
		require.False(t, upgraded.Genuine(KindClick, forged))
	}
}

// A rolling upgrade: until the instant new processes mint what old ones accept, whatever their clocks
// say, and afterwards what only they accept.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	key := Generate()
	from := time.Now().Truncate(time.Millisecond)
	r := ring(t, key).WithKindsFrom(from)
	asBefore := ring(t, key).WithKindsFrom(from.AddDate(100, 0, 0)) // mints and checks as the release before
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		at := from.Add(time.Duration(rapid.Int64Range(-1e6, 1e6).Draw(t, "ms")) * time.Millisecond)
		id := r.NewID(kind, at)
		require.True(t, r.Genuine(kind, id))
		require.Equal(t, at.Before(from), asBefore.genuinePlain(id))
		require.Equal(t, !at.Before(from), r.HasKind(kind, id))
		require.Equal(t, at.Before(from), r.Genuine(kind, asBefore.NewID(kind, at)), "from a process of the release before")
	})
	// After a restore the instant may be recorded anew, later than before: what carries its kind stays genuine.
	id := r.NewID(KindLink, from)
	later := ring(t, key).WithKindsFrom(from.Add(time.Hour))
	require.True(t, later.Genuine(KindLink, id))
	require.False(t, later.Genuine(KindClick, id))
}

func BenchmarkNewID(b *testing.B) {
	r, _ := Parse(Generate())
	b.ReportAllocs()
	for b.Loop() {
		r.NewID(KindClick, time.Now())
	}
}

func BenchmarkGenuine(b *testing.B) {
	r, _ := Parse(Generate())
	now := time.Now()
	upgraded := r.WithKindsFrom(now)
	for name, id := range map[string]uuid.UUID{"with its kind": upgraded.NewID(KindClick, now), "from before": upgraded.NewID(KindClick, now.Add(-time.Hour)), "forged": uuid.Must(uuid.NewV7())} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				upgraded.Genuine(KindClick, id)
			}
		})
	}
}
