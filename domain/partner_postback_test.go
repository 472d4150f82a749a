package domain

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func partnerNews() *PartnerConversion {
	id := func(n byte) uuid.UUID { return uuid.UUID{15: n} }
	return &PartnerConversion{
		ConversionID: id(1), ClickID: id(2), OfferID: id(3), OfferName: "Star & Co", AdvertiserID: id(4), PartnerID: id(5),
		PubMemberID: "m 1", PubClickID: "p?q=1#x", PubSubs: []string{"a", "b/é", "c", "d", "e", "f"}, Source: "fb&ig",
		Event:   Event{ID: id(6), Name: "Level five", EventID: "level 5", GoalSettings: GoalSettings{Slug: "level-five", Reference: "ref=9"}},
		EventID: "as posted", Amount: "9.990", Payout: 2_500_000, Currency: "USD", Status: StatusSuccess,
	}
}

// Rule 72: what was no text when it was sent goes back as it was.
func TestRule72PartnerMacros(t *testing.T) {
	event := partnerNews()
	event.PubClickID, event.PubMemberID, event.Source, event.PubSubs = StoredText("c\xe9"), StoredText("bytes:m"), StoredText("s\xff"), []string{StoredText("\xfe")}
	request := NewPartnerRequest("GET", "https://p.example/?c={pub_click_id}&m={pub_member_id}&s={source}&x={aff_sub}", event.Macros())
	require.Equal(t, "https://p.example/?c=c%E9&m=bytes%3Am&s=s%FF&x=%FE", request.URL)
}

// Every macro of partner postbacks, ours and the older protocol's.
func TestRule54PartnerMacros(t *testing.T) {
	t.Parallel()
	id := func(n string) string { return "00000000-0000-0000-0000-00000000000" + n }
	for macro, want := range map[string]string{
		"gk_click_id": id("2"), "gk_offer_id": id("3"), "gk_offer_name": "Star+%26+Co", "pub_member_id": "m+1", "pub_click_id": "p%3Fq%3D1%23x",
		"pub_sub_1": "a", "pub_sub_2": "b%2F%C3%A9", "pub_sub_6": "f", "pub_sub_7": "", "pub_sub_15": "",
		"transaction_id": id("2"), "offer_id": id("3"), "offer_name": "Star+%26+Co", "affiliate_id": id("5"), "aff_sub": "a", "aff_sub2": "b%2F%C3%A9",
		"aff_sub5": "e", "source": "fb%26ig", "advertiser_id": id("4"),
		"cnv_event_id": "level+5", "cnv_amount": "9.990", "goal_id": id("6"), "goal_name": "level-five", "goal_ref": "ref%3D9", "payout": "2.50",
		"currency": "USD", "status": "Success", "gk_conversion_id": id("1"),
		"revenue": "", "reward": "", "margin": "", "nonsense": "",
	} {
		request := NewPartnerRequest("GET", "https://p.example/?x={"+strings.ToUpper(macro)+"}&y=1", partnerNews().Macros())
		require.Equal(t, "https://p.example/?x="+want+"&y=1", request.URL, macro)
	}
	for _, macro := range Macros() {
		if _, ok := partnerNews().Macros()[macro.Name]; !ok && !strings.HasPrefix(macro.Name, "pub_sub_") {
			t.Errorf("{%s} is listed and stays empty", macro.Name)
		}
	}
	older := partnerNews()
	older.Event = Event{ID: older.Event.ID, Name: "The goal"}
	values := older.Macros()
	require.Equal(t, []string{"as posted", "The goal", ""}, []string{values["cnv_event_id"], values["goal_name"], values["goal_ref"]}, "a SingleEvent offer's")
}

func TestRule54PartnerRequests(t *testing.T) {
	t.Parallel()
	values := map[string]string{"payout": "1.00", "pub_sub_1": "a b?c&d=e#f\r\n", "status": "Success"}
	for _, c := range []struct{ method, template, url, body string }{
		{"GET", "https://p.example/cb?s={status}&x={pub_sub_1}", "https://p.example/cb?s=Success&x=a+b%3Fc%26d%3De%23f%0D%0A", ""},
		{"GET", "https://p.example/{pub_sub_1}/x?s=%7Bstatus%7D", "https://p.example/a%20b%3Fc%26d%3De%23f%0D%0A/x?s=Success", ""},
		{"GET", "https://p.example/cb?a={unknown}&b={unclosed&c=}", "https://p.example/cb?a=&b=%7Bunclosed&c=%7D", ""},
		{"POST", "https://p.example/cb?s={status}&x={pub_sub_1}&k=v", "https://p.example/cb", "s=Success&x=a+b%3Fc%26d%3De%23f%0D%0A&k=v"},
		{"POST", "https://p.example/{pub_sub_1}", "https://p.example/a%20b%3Fc%26d%3De%23f%0D%0A", ""},
		{"POST", "https://p.example/?a=1?b={payout}", "https://p.example/", "a=1?b=1.00"},
	} {
		request := NewPartnerRequest(c.method, c.template, values)
		require.Equal(t, []string{c.method, c.url, c.body}, []string{request.Method, request.URL, request.Body}, c.template)
		require.Equal(t, c.method == "POST", request.ContentType() != "")
	}
}

// Whatever a member or publisher put into a value, it stays one value, and the host stays the one
// that was vetted.
func TestRule53ValuesStayValues(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.String().Draw(t, "value")
		method := rapid.SampledFrom(PartnerMethods).Draw(t, "method")
		request := NewPartnerRequest(method, "https://p.example/x?a={pub_sub_1}&b={pub_sub_1}", map[string]string{"pub_sub_1": value})
		address, err := url.Parse(request.URL)
		require.NoError(t, err)
		query := address.RawQuery + request.Body
		sent, err := url.ParseQuery(query)
		require.NoError(t, err)
		require.Equal(t, "p.example", address.Host)
		require.Equal(t, url.Values{"a": {value}, "b": {value}}, sent)
	})
}

func TestRule53NoMacroInTheHost(t *testing.T) {
	t.Parallel()
	for template, ok := range map[string]bool{
		"https://p.example/{payout}": true, "https://p.example?x={payout}": true, "https://p.example/": true,
		"https://{pub_sub_1}/": false, "https://{pub_sub_1}.example/x": false, "https://p.example:{source}/": false, "{source}://p.example/": false,
		"https://p.example{source}": false, "https://p.example{source}?x=1": false, "https://%7Bsource%7D.example/": false, "https://u{source}@p.example/": false,
		"{pub_sub_1}": false, "//{source}/x": true, "https://p.example/#{payout}": false, "https://{not a macro/": false,
	} {
		require.Equal(t, ok, CheckPartnerURL(template) == nil, template)
	}
}

func TestPartnersHearWhatTheyAskedFor(t *testing.T) {
	t.Parallel()
	reversal := StatusEvent{Status: StatusRejected, RewardWasSent: true}
	for _, c := range []struct {
		events []string
		news   StatusEvent
		want   bool
	}{
		{[]string{"success"}, StatusEvent{Status: StatusSuccess}, true},
		{[]string{"success"}, StatusEvent{Status: StatusPending}, false},
		{[]string{"success"}, reversal, false},
		{[]string{"pending"}, StatusEvent{Status: StatusSuccess}, false},
		{[]string{"rejected"}, StatusEvent{Status: StatusRejected}, true},
		{[]string{"rejected"}, reversal, false},
		{[]string{"reversed"}, reversal, true},
		{[]string{"reversed"}, StatusEvent{Status: StatusRejected}, false},
	} {
		require.Equal(t, c.want, PartnerWantsEvent(c.events, c.news), "%v %v", c.events, c.news)
	}
	success, reversed := QueuedDelivery{Status: StatusSuccess}, QueuedDelivery{Status: "Reversed", Reversal: true}
	require.False(t, PartnerHeardAlready(nil))
	require.True(t, PartnerHeardAlready([]QueuedDelivery{success}))
	require.False(t, PartnerHeardAlready([]QueuedDelivery{success, reversed}))
	require.True(t, PartnerHeardAlready([]QueuedDelivery{success, reversed, success}))
}

func TestLintPartnerURL(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		"https://p.example/?c={aff_sub}&p={payout}": "", "https://p.example/?c={revenue}": "{revenue}", "https://p.example/": "no macro",
		"https://p.example/?c={aff_sub}&x={": "brace",
	} {
		warnings := strings.Join(LintPartnerURL(template, []string{"success"}), "\n")
		require.Contains(t, warnings, want, template)
		require.Equal(t, want == "", warnings == "", warnings)
	}
	both := []string{"reversed", "success"}
	require.True(t, slices.ContainsFunc(LintPartnerURL("https://p.example/?c={aff_sub}", both), func(w string) bool { return strings.Contains(w, "{status}") }))
	require.Empty(t, LintPartnerURL("https://p.example/?c={aff_sub}&s={status}", both))
}
