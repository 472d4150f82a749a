package api_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecimalsAreExact(t *testing.T) {
	t.Parallel()
	_, management := newSite(t).tenant("Loyal")
	for sent, want := range map[string]string{
		`"2.5"`: "2.50", `2.5`: "2.50", `0`: "0.00", `"0.000001"`: "0.000001", `0.1`: "0.10", `100`: "100.00",
		`999999999999.999999`: "999999999999.999999", `"999999999999.999999"`: "999999999999.999999", `9007199254.740993`: "9007199254.740993",
	} {
		var got settings
		management.put("/api/v1/settings", fmt.Sprintf(`{"rewardRatio":%s}`, sent)).into(200, &got)
		require.Equal(t, want, *got.RewardRatio, sent)
	}
	for _, sent := range []string{`"1e3"`, `1e3`, `-1`, `"-0.01"`, `""`, `" 1"`, `"1,5"`, `1000000000000`, `0.0000001`, `true`, `{}`, `[1]`, `"NaN"`} {
		management.put("/api/v1/settings", fmt.Sprintf(`{"rewardRatio":%s}`, sent)).refused(400, "rewardRatio")
	}
}
