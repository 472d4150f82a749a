package markup

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// vectors are known ways to bring a script, a request or a forged form past a sanitiser.
var vectors = []string{
	`<script>alert(1)</script>`, `<scr<script>ipt>alert(1)</scr</script>ipt>`, `<img src=x onerror=alert(1)>`, `<img src="https://spy.example/1.gif">`,
	`<svg/onload=alert(1)>`, `<svg><script>alert(1)</script></svg>`, `<svg><animate onbegin=alert(1) attributeName=x dur=1s>`, `<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>`,
	`<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`, `<noscript><p title="</noscript><img src=x onerror=alert(1)>">`,
	`<form><math><mtext></form><form><mglyph><svg><mtext><style><path id="</style><img onerror=alert(1) src>">`, `<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">`,
	`<select><template><style><!--</style><a rel="--></style></template></select><img id=x src=1 onerror=alert(1)>">`, `<listing>&lt;img onerror=alert(1) src&gt;</listing>`, `<xmp><img src=x onerror=alert(1)></xmp>`,
	`<a href="javascript:alert(1)">x</a>`, `<a href=" java\nscript:alert(1)">x</a>`, `<a href="&#106;avascript:alert(1)">x</a>`, `<a href="data:text/html,<script>alert(1)</script>">x</a>`,
	`<a href="vbscript:x">x</a>`, `<a href="//evil.example">x</a>`, `<a href="/console">x</a>`, `<a href="http://plain.example">x</a>`, `<a href="https://bank.example@evil.example/">x</a>`, `<a href="https:evil.example">x</a>`,
	`<a href="https://ok.example/" onclick=alert(1) id=login name=login class=btn style="position:fixed;inset:0" target=_top rel=opener ping="https://spy.example">x</a>`,
	`<a id=defaultView name=config></a><a id=defaultView name=src href="https://evil.example">x</a>`, `<form id=login action="https://evil.example"><input name=password><button>Go</button></form>`,
	`<iframe src="https://evil.example"></iframe>`, `<iframe srcdoc="<script>alert(1)</script>"></iframe>`, `<object data="x"></object>`, `<embed src=x>`, `<base href="https://evil.example/">`, `<meta http-equiv=refresh content="0;url=https://evil.example">`,
	`<link rel=stylesheet href="https://evil.example/x.css">`, `<style>@import "https://evil.example/x.css";</style>`, `<div style="background:url(https://spy.example)">x</div>`, `<table background="https://spy.example"><td background="https://spy.example" colspan=9999>x</table>`,
	`<img usemap="#m"><map name=m><area href="https://evil.example" shape=rect coords="0,0,9999,9999"></map>`, `<video src=x onerror=alert(1)><source src="https://spy.example">`, `<audio src=x onloadstart=alert(1)>`, `<details open ontoggle=alert(1)>x</details>`,
	`<input autofocus onfocus=alert(1)>`, `<body onload=alert(1)>`, `<marquee onstart=alert(1)>x</marquee>`, `<p title="a` + "`" + `onerror=alert(1)">x</p>`, `<!--><img src=x onerror=alert(1)>-->`, `<![CDATA[<img src=x onerror=alert(1)>]]>`, `<?xml <img src=x onerror=alert(1)>?>`,
	`<b\x00 onclick=alert(1)>x</b>`, `<b/onclick=alert(1)>x`, `<plaintext><script>alert(1)</script>`, `<textarea></textarea><script>alert(1)</script>`, `<title><img src=x onerror=alert(1)></title>`, `<custom-element is=x onclick=alert(1)>x</custom-element>`,
	`&lt;script&gt;alert(1)&lt;/script&gt;`, `<<b>script>alert(1)<</b>/script>`, `<a href="https://ok.example/?a=1&b=2">x</a>`, `<p>a < b && c > d "q" 'r'</p>`,
}

// An offer's HTML shows what an advertiser wrote on a publisher's wall: parsed again it holds only what the
// policy allows, and cleaning it once more changes nothing.
func TestMarkupHoldsOnlyWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for _, vector := range vectors {
		requireClean(t, vector)
		requireClean(t, "<div><p>"+vector+"</p><table><tr><td>"+vector)
	}
	require.Equal(t, `<p>Play <b>now</b>: <a href="https://ok.example/a?b=1&amp;c=2" rel="nofollow noreferrer noopener" target="_blank">rules</a></p>`,
		Clean(`<p class=x>Play <b>now</b>: <a target=_top href="https://ok.example/a?b=1&amp;c=2">rules</a></p>`))
	require.Equal(t, "Plain text: 5 of 6", Clean("Plain text: 5 of 6"))
}

func FuzzMarkup(f *testing.F) {
	for _, vector := range vectors {
		f.Add(vector)
	}
	f.Fuzz(func(t *testing.T, text string) { requireClean(t, text) })
}

var allowedElements = strings.Fields("p br hr div span h1 h2 h3 h4 h5 h6 blockquote pre code b strong i em u s del ins small mark sub sup abbr cite q ul ol li dl dt dd table caption thead tbody tfoot tr th td a")

func requireClean(t *testing.T, text string) {
	t.Helper()
	clean := Clean(text)
	require.Equal(t, clean, Clean(clean), "cleaned twice: %q", text)
	context := &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div}
	nodes, err := html.ParseFragment(strings.NewReader(clean), context)
	require.NoError(t, err)
	var walk func(node *html.Node)
	walk = func(node *html.Node) {
		if node.Type == html.ElementNode {
			// The parser makes these of tables by itself.
			require.Contains(t, append([]string{"colgroup", "tbody"}, allowedElements...), node.Data, "%q became %q", text, clean)
			require.Empty(t, node.Namespace, "%q became %q", text, clean)
			for _, attribute := range node.Attr {
				requireAllowed(t, node, attribute, text, clean)
			}
		} else {
			require.Equal(t, html.TextNode, node.Type, "%q became %q", text, clean)
		}
		for child := node.FirstChild; child != nil; child = child.NextSibling {
			walk(child)
		}
	}
	for _, node := range nodes {
		walk(node)
	}
}

func requireAllowed(t *testing.T, node *html.Node, attribute html.Attribute, text, clean string) {
	t.Helper()
	switch node.Data + " " + attribute.Key {
	case "a href":
		address, err := url.Parse(attribute.Val)
		require.NoError(t, err, "%q became %q", text, clean)
		require.Equal(t, "https", address.Scheme, "%q became %q", text, clean)
		require.NotEmpty(t, address.Host)
		require.Nil(t, address.User)
		rel := slices.IndexFunc(node.Attr, func(a html.Attribute) bool { return a.Key == "rel" })
		require.GreaterOrEqual(t, rel, 0, "%q became %q", text, clean)
		require.ElementsMatch(t, []string{"nofollow", "noreferrer", "noopener"}, strings.Fields(node.Attr[rel].Val), "%q became %q", text, clean)
	case "a rel":
	case "a target":
		require.Equal(t, "_blank", attribute.Val)
	case "td colspan", "td rowspan", "th colspan", "th rowspan":
		require.LessOrEqual(t, len(attribute.Val), 2)
	default:
		require.Fail(t, "an attribute that is not allowed", "%s %s: %q became %q", node.Data, attribute.Key, text, clean)
	}
}
