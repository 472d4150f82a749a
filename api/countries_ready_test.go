package api

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Readiness says what tells countries, or what to set where nothing does.
func TestReadinessSaysWhatTellsCountries(t *testing.T) {
	t.Parallel()
	for want, config := range map[string]TrackingConfig{statusOK: {}, statusFailing: {GeoIPFile: GeoIPOff}} {
		finder, err := newPlaceFinder(config)
		require.NoError(t, err)
		ready := countriesReady(&finder)
		require.Equal(t, want, ready.Status)
		require.NotEmpty(t, ready.Detail)
	}
}
