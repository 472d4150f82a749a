package api

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/tracking"
)

// Readiness says what tells countries, or what to set where nothing does.
func TestReadinessSaysWhatTellsCountries(t *testing.T) {
	t.Parallel()
	for want, config := range map[string]tracking.Config{statusOK: {}, statusFailing: {GeoIPFile: tracking.GeoIPOff}} {
		finder, err := tracking.NewGeoIP(config)
		require.NoError(t, err)
		ready := countriesReady(&finder)
		require.Equal(t, want, ready.Status)
		require.NotEmpty(t, ready.Detail)
	}
}
