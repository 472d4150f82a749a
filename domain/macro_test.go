package domain

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTemplateExpand(t *testing.T) {
	values := map[string]string{"gk_click_id": "c-1", "gk_offer_name": "a b&c=d/é", "source": "s"}
	for _, c := range []struct{ name, template, want string }{
		{"no macro", "https://x.example/a?b=c#d", "https://x.example/a?b=c#d"},
		{"the click id", "https://x.example/?s={gk_click_id}", "https://x.example/?s=c-1"},
		{"values are escaped", "https://x.example/?n={gk_offer_name}", "https://x.example/?n=a+b%26c%3Dd%2F%C3%A9"},
		{"a space in a path is no plus", "https://x.example/{gk_offer_name}?", "https://x.example/a%20b%26c%3Dd%2F%C3%A9?"},
		{"nor in a fragment", "https://x.example/?#{gk_offer_name}", "https://x.example/?#a%20b%26c%3Dd%2F%C3%A9"},
		{"an unfilled macro is empty", "https://x.example/?a={pub_sub_1}&b={source}", "https://x.example/?a=&b=s"},
		{"an unknown macro is empty", "https://x.example/?a={whatever}", "https://x.example/?a="},
		{"any case", "https://x.example/?a={GK_Click_ID}", "https://x.example/?a=c-1"},
		{"encoded braces", "https://x.example/?a=%7Bgk_click_id%7d", "https://x.example/?a=c-1"},
		{"doubled braces keep the outer ones", "https://x.example/?a={{source}}", "https://x.example/?a=%7Bs%7D"},
		{"other braces are text", "https://x.example/?a={a b}{}{", "https://x.example/?a=%7Ba%20b%7D%7B%7D%7B"},
		{"percent signs stay", "https://x.example/?a=%20{source}", "https://x.example/?a=%20s"},
		{"mixed braces are text", "https://x.example/?a={source%7D", "https://x.example/?a=%7Bsource%7D"},
		{"side by side", "{source}{source}", "ss"},
		{"other scripts are encoded", "https://x.example/ä", "https://x.example/%C3%A4"},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := CompileTemplate(c.template).ExpandString(func(name string) string { return values[name] })
			require.Equal(t, c.want, got)
		})
	}
}

func TestTemplateExpandDoesNotAllocate(t *testing.T) {
	template := CompileTemplate("https://x.example/track?sub1={gk_click_id}&n={gk_offer_name}")
	buffer := make([]byte, 0, 256)
	value := func(string) string { return "a b c" }
	require.Zero(t, testing.AllocsPerRun(100, func() { buffer = template.Expand(buffer[:0], value) }))
}

func TestMacroList(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Macros() {
		require.False(t, seen[m.Name], m.Name)
		require.NotEmpty(t, m.Description)
		seen[m.Name] = true
	}
	for _, name := range strings.Fields(`gk_click_id gk_offer_id gk_offer_name pub_member_id pub_click_id pub_sub_1
		pub_sub_15 transaction_id offer_id offer_name affiliate_id aff_sub aff_sub2 aff_sub5 source advertiser_id`) {
		require.True(t, KnownMacro(name, true), name)
	}
	for _, name := range strings.Fields(`cnv_event_id cnv_amount goal_id goal_name goal_ref payout currency status gk_conversion_id`) {
		require.False(t, KnownMacro(name, true), name)
		require.True(t, KnownMacro(name, false), name)
	}
	require.False(t, KnownMacro("pub_sub_16", false))
}

func BenchmarkTemplateExpand(b *testing.B) {
	template := CompileTemplate("https://x.example/track?sub1={gk_click_id}&n={gk_offer_name}&s={pub_sub_1}")
	buffer := make([]byte, 0, 256)
	for b.Loop() {
		buffer = template.Expand(buffer[:0], func(string) string { return "0199aa00-0000-7000-8000-000000000000" })
	}
}

func TestLintLink(t *testing.T) {
	for _, c := range []struct{ name, link, want string }{
		{"nothing to say", "https://x.example/?sub1={gk_click_id}&n={gk_offer_name}#top", ""},
		{"the older protocol's click id", "https://x.example/?sub1={transaction_id}", ""},
		{"encoded braces", "https://x.example/?sub1=%7Bgk_click_id%7D", ""},
		{"no click id", "https://x.example/?a=b", "no click id macro"},
		{"unknown macro", "https://x.example/?a={gk_click_id}&b={clickid}", "{clickid} is not a known macro"},
		{"a postback's macro", "https://x.example/?a={gk_click_id}&b={payout}", "partner postbacks"},
		{"a brace left open", "https://x.example/?a={gk_click_id}&b={x", "brace"},
		{"doubled braces", "https://x.example/?a={{gk_click_id}}", "brace"},
		{"second question mark", "https://x.example/?a={gk_click_id}?b=c", "second question mark"},
		{"ampersand in the path", "https://x.example/p&a=1?b={gk_click_id}", "before the question mark"},
		{"doubled ampersand", "https://x.example/?a={gk_click_id}&&b=1", "no parameter after it"},
		{"trailing ampersand", "https://x.example/?a={gk_click_id}&", "no parameter after it"},
		{"leading ampersand", "https://x.example/?&a={gk_click_id}", "right after"},
		{"parameter twice", "https://x.example/?a={gk_click_id}&a=1", "more than once"},
		{"parameter without a name", "https://x.example/?={gk_click_id}", "without a name"},
		{"doubled equals sign", "https://x.example/?a=={gk_click_id}", "equals"},
		{"trailing question mark", "https://x.example/{gk_click_id}?", "question mark"},
		{"plain http", "http://x.example/?a={gk_click_id}", "http without TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			warnings := LintLink(c.link)
			if c.want == "" {
				require.Empty(t, warnings)
				return
			}
			require.Len(t, warnings, 1)
			require.Contains(t, warnings[0], c.want)
		})
	}
}
