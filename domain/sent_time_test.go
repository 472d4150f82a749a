package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRule71Times(t *testing.T) {
	want := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		zoned bool
		texts []string
	}{
		{true, []string{
			"2026-11-30T09:00:00Z", "2026-11-30T11:00:00+02:00", "2026-11-30T11:00:00 02:00", "2026-11-30T09:00:00+0000", "2026-11-30T09:00Z", "2026-11-30T09:00:00.000Z",
			"2026-11-30 09:00:00Z", "2026-11-30 09:00:00 UTC", "2026-11-30 11:00:00 +0200", "2026-11-30 11:00:00+02:00", "Mon, 30 Nov 2026 09:00:00 GMT", "Mon, 30 Nov 2026 11:00:00 +0200",
			"1796029200", "1796029200000", "1796029200.0", " 1796029200 ",
		}},
		{false, []string{"2026-11-30 09:00:00", "2026-11-30T09:00:00", "2026-11-30 09:00", "2026-11-30 09:00:00.000"}},
	} {
		for _, text := range c.texts {
			at, zoned, ok := ParseSentTime(text)
			require.True(t, ok, text)
			require.Equal(t, []any{want, c.zoned}, []any{at, zoned}, text)
		}
	}
	for _, text := range []string{
		"", "yesterday", "30/11/2026 09:00:00", "11/12/2026", "2026-11-30", "11-30-2026 09:00:00", "30.11.2026 09:00", "2026-30-11 09:00:00", "09:00:00",
		"Mon, 30 Nov 2026 09:00:00 EST", "2026-11-30 09:00:00 PST", "20261130090000", "-5", "0", "1e9", "179602920000000000", "0x6b0d", "1796029200.x",
	} {
		_, _, ok := ParseSentTime(text)
		require.False(t, ok, text)
	}
}
