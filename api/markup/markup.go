package markup

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/microcosm-cc/bluemonday"

	"github.com/offerflow/offerflow/domain"
)

// An advertiser writes keyPoints and offerDetails, and members read them on a publisher's wall. They are
// cleaned when an offer is saved, and again when it is shown: what was saved by an earlier policy is
// stored as that one left it.

// markup is what people may write there: formatting, lists, tables and links. There are no pictures, which
// would tell their server of every member that looks; no ids, names and classes, which a page's own
// scripts and styles go by; no styles, forms, maps or frames. All other text fields are no HTML.
var markup = func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements(
		"p", "br", "hr", "div", "span", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "code",
		"b", "strong", "i", "em", "u", "s", "del", "ins", "small", "mark", "sub", "sup", "abbr", "cite", "q",
		"ul", "ol", "li", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td",
	)
	p.AllowAttrs("colspan", "rowspan").Matching(regexp.MustCompile(`^[1-9][0-9]?$`)).OnElements("th", "td")
	p.AllowAttrs("href").OnElements("a")
	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(false)
	// An address with a user in it looks like another's.
	p.AllowURLSchemeWithCustomPolicy("https", func(address *url.URL) bool { return address.Host != "" && address.User == nil })
	// A link opens beside the wall, which may stand in a frame, and is told neither the page nor its window.
	p.AddTargetBlankToFullyQualifiedLinks(true)
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	return p
}()

// Clean is text that may be put into a page as HTML.
func Clean(text string) string {
	if !strings.ContainsAny(text, "<>&\"'\x00\r") {
		return text // the policy leaves it as it is
	}
	return markup.Sanitize(text)
}

// CleanDocument is a document with the HTML that may be shown.
func CleanDocument(document domain.OfferDocument) domain.OfferDocument {
	document.KeyPoints, document.OfferDetails = Clean(document.KeyPoints), Clean(document.OfferDetails)
	return document
}
