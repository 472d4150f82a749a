package domain

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The source's table of providers, in its order.
const sourceTrackingSystems = "AppsFlyer, Singular, Impact, Adjust, CJAffiliate, TUNE, CAKE, Everflow, PerformCB, MAF, Lootably, Sharesale, " +
	"AdAction, AdGateMedia, RevenueUniverse, HangMyAds, Torox, AyeTstudios, Besitos, Rakuten, AdGateReward, AdJoe, AdMantum, AdscendMedia, " +
	"AdworkMedia, Bitlabs, Cpalead, JustTrack, KashKick, Kiwiwall, MyChips, Notik, Personaly, RevenueHut, Tapjoy, Tenjin, TimeWall, Wannads, " +
	"Branch, Kochava, CustomTracking, AWIN, AppSamurai, GoKart"

func TestEveryTrackingSystemHasAPreset(t *testing.T) {
	t.Parallel()
	require.Equal(t, strings.Split(sourceTrackingSystems, ", "), TrackingSystems())
	for _, name := range TrackingSystems() {
		system, ok := TrackingSystemByName(" " + strings.ToUpper(name))
		require.True(t, ok, name)
		require.Equal(t, name, system.Name)
		require.NotEmpty(t, system.Macros, name)
		require.Equal(t, ParamClickID, system.Macros[0].Parameter, name)
		require.Empty(t, LintLink(system.TrackingLink("")), "%s: an offer takes the example link as it is", name)
		require.Equal(t, system.TrackingLink(""), system.TrackingLink(system.TrackingLink("")), name)
		hasEvent := false
		for _, m := range system.Macros {
			hasEvent = hasEvent || m.Parameter == ParamEventID
		}
		require.True(t, hasEvent || system.PerEvent, "%s: an event is named by a macro or by its URL", name)
		require.Contains(t, []Certainty{CertaintyDocumented, CertaintyReported, CertaintyUnconfirmed}, system.Certainty, name)
		require.NotEmpty(t, system.Advice(), name)
		if system.Certainty == CertaintyUnconfirmed {
			require.Contains(t, system.Advice(), "check them in the provider's console before use", name)
		}
	}
	_, ok := TrackingSystemByName("Nobody")
	require.False(t, ok)
}

// The page shows the presets as they are.
func TestThePageOfAttributionProvidersIsTheirTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/attribution-providers.md")
	require.NoError(t, err)
	for _, system := range trackingSystems() {
		row := "| " + system.Name + " | `" + system.ClickParameter + "` | `" + system.Macros[0].Macro + "` |"
		require.Contains(t, string(page), row)
		require.Regexp(t, regexp.QuoteMeta(row)+".* "+string(system.Certainty)+" \\|\n", string(page))
		if system.Rejection != nil {
			require.Regexp(t, `\| `+system.Name+` \| .* \| .*`+regexp.QuoteMeta(system.Rejection.ReasonMacro)+`.* \| `+string(system.Rejection.Certainty)+" \\|\n", string(page))
		}
	}
}

func TestTrackingLink(t *testing.T) {
	t.Parallel()
	system := TrackingSystem{Link: "https://p.example/go?c=1", ClickParameter: "~sub"}
	for link, want := range map[string]string{
		"":                                  "https://p.example/go?c=1&~sub={gk_click_id}",
		"https://p.example/go":              "https://p.example/go?~sub={gk_click_id}",
		"https://p.example/go?a=1#top":      "https://p.example/go?a=1&~sub={gk_click_id}#top",
		"https://p.example/go?%7Esub=x&a=1": "https://p.example/go?%7Esub={gk_click_id}&a=1",
		"https://p.example/go?~sub={gk_click_id}":  "https://p.example/go?~sub={gk_click_id}",
		"https://p.example/?~sub={transaction_id}": "https://p.example/?~sub={transaction_id}",
	} {
		require.Equal(t, want, system.TrackingLink(link), link)
	}
}

func TestPostbackURLOfAPreset(t *testing.T) {
	t.Parallel()
	system := TrackingSystem{Macros: []PostbackMacro{{ParamClickID, "#s2#"}, {ParamEventID, "{event}"}, {ParamAmount, "#price#"}}}
	require.Equal(t, "https://o.example/track/k?gk_click_id=#s2#&cnv_event_id={event}&cnv_amount=#price#", system.PostbackURL(PostbackForm{Address: "https://o.example/track/k"}))
	require.Equal(t, "https://o.example/track/k?gk_click_id=#s2#&cnv_amount=#price#&cnv_event_id=Level+5+%26+up&security_token=YOUR_SECURITY_TOKEN",
		system.PostbackURL(PostbackForm{Address: "https://o.example/track/k", EventID: "Level 5 & up", WithToken: true}))
	require.Empty(t, system.RejectionURL(PostbackForm{Address: "https://o.example/track/k", WithToken: true}))
	system.Rejection = &PostbackOfRejections{ReasonMacro: "{why}"}
	require.Equal(t, "https://o.example/track/k?gk_click_id=#s2#&cnv_amount=#price#&cnv_event_id=buy&security_token=YOUR_SECURITY_TOKEN&cnv_status=rejected&cnv_sub_5={why}",
		system.RejectionURL(PostbackForm{Address: "https://o.example/track/k", EventID: "buy", WithToken: true}))
}

// Rule 57: cost belongs to the app of the device's store, and there to the model that fits.
func TestCostDatumFor(t *testing.T) {
	t.Parallel()
	ios, android := CostDatum{CostModel: "CPI", StoreID: "id144175066"}, CostDatum{CostModel: "CPI", StoreID: "com.example.app"}
	actions := CostDatum{CostModel: "CPA", StoreID: "com.example.app"}
	for _, c := range []struct {
		data      []CostDatum
		device    string
		isDefault bool
		want      CostDatum
	}{
		{[]CostDatum{ios, android}, DeviceAndroid, true, android},
		{[]CostDatum{android, ios}, DeviceIOS, false, ios},
		{[]CostDatum{android, actions}, DeviceAndroid, false, actions},
		{[]CostDatum{actions, android}, DeviceAndroid, true, android},
		{[]CostDatum{ios, android}, DeviceBrowser, true, ios},
		{[]CostDatum{actions}, DeviceIOS, true, actions},
	} {
		got, ok := (&Offer{CostData: c.data}).CostDatumFor(c.device, c.isDefault)
		require.True(t, ok)
		require.Equal(t, c.want, got)
	}
	_, ok := (&Offer{}).CostDatumFor(DeviceIOS, true)
	require.False(t, ok)
	require.Equal(t, "iOS", CostDatum{StoreID: "144175066"}.OS())
	require.Equal(t, "Android", CostDatum{StoreID: "id"}.OS())
}
