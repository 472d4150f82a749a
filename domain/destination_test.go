package domain

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRule73Destinations(t *testing.T) {
	own := []string{"myapp", "x-game.2"}
	for _, good := range []string{
		"https://a.example/?c={gk_click_id}", "http://a.example", "https://пример.рф/?c={gk_click_id}", "HTTPS://a.example/",
		"market://details?id=com.game&referrer={gk_click_id}", "MARKET://details?id=x", "itms://apps.apple.com/app/id1", "itms-apps://itunes.apple.com/app/id1?mt=8",
		"itms-appss://apps.apple.com/app/id1", "myapp://open?c={gk_click_id}", "myapp:open", "x-game.2://a",
		"intent://scan/#Intent;scheme=zxing;package=com.game;S.click={gk_click_id};S.browser_fallback_url=https%3A%2F%2Fa.example%2F;end",
	} {
		require.NoError(t, CheckDestination(good, own), good)
	}
	for _, bad := range []string{
		"", "a.example", "//a.example", "javascript:alert(1)", "JavaScript://x", "data:text/html,x", "file:///etc/passwd", "blob:https://a.example/x",
		"vbscript:x", "about:blank", "other://x", "market", "market:", "market://", "market:// x", "market://a\n", "market://{pub_sub_1}/x", "ftp://a.example",
		"intent://x#Intent;scheme=javascript;end", "intent://x#Intent;scheme=JAVASCRIPT;end", "intent://x#Intent;scheme=java%73cript;end",
		"intent://x#Intent;S.browser_fallback_url=javascript%3Aalert(1);end", "https://{pub_sub_1}.example/", "https://u@a.example/", "java\tscript:x", " javascript:x",
	} {
		require.Error(t, CheckDestination(bad, append(own, "javascript")), "%q", bad)
	}
	for scheme, ok := range map[string]bool{"myapp": true, "x-game.2": true, "": false, "My": false, "1a": false, "a:b": false, "javascript": false, "data": false, "about": false, "file": false} {
		require.Equal(t, ok, CheckScheme(scheme) == nil, scheme)
	}
}

// Both addresses of an offer take them, creatives do not, and what stood there may stay.
func TestRule73TheOffersAddresses(t *testing.T) {
	for _, field := range []string{"trackingSystemLink", "fallbackUrl"} {
		_, _, errs := parseMap(t, changed(singleDocument(), field, "market://details?id=com.game&referrer={gk_click_id}"), documentTerms())
		require.Empty(t, errs, field)
		terms := documentTerms()
		_, _, errs = parseMap(t, changed(singleDocument(), field, "myapp://x?c={gk_click_id}"), terms)
		require.Equal(t, []string{field}, errorFields(errs))
		terms.DestinationSchemes = []string{"myapp"}
		offer, _, errs := parseMap(t, changed(singleDocument(), field, "myapp://x?c={gk_click_id}"), terms)
		require.Empty(t, errs, field)
		terms.DestinationSchemes, terms.Previous = nil, &offer
		_, _, errs = parseMap(t, changed(singleDocument(), field, "myapp://x?c={gk_click_id}"), terms)
		require.Empty(t, errs, "it stood there before")
	}
	require.Error(t, checkURL("market://x", false), "a picture is no app")
}
