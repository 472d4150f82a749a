package domain

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestDerivedIDIsStable(t *testing.T) {
	parent := uuid.MustParse("019367a1-5a40-7abc-8def-0123456789ab")
	id := DerivedID(parent, "conversion")
	// Written down: a release that derives others would repeat old news under new ids.
	require.Equal(t, "019367a1-5a40-7edf-a14b-a74601e00324", id.String())
	require.Equal(t, uuid.Version(7), id.Version())
	require.Equal(t, uuid.RFC4122, id.Variant())
	require.Equal(t, parent[:6], id[:6], "the parent's time: lists and partitions go by it")
	seen := map[uuid.UUID]bool{id: true}
	for _, other := range []uuid.UUID{
		DerivedID(parent, "news"), DerivedID(parent, "conversion", ""), DerivedID(parent, "conversion", "a", "b"),
		DerivedID(parent, "conversion", "ab"), DerivedID(uuid.MustParse("019367a1-5a40-7abc-8def-0123456789ac"), "conversion"),
	} {
		require.False(t, seen[other], other)
		seen[other] = true
	}
}
