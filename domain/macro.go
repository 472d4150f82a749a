package domain

import (
	"fmt"
	"strings"
)

// Macro is a placeholder in braces of destinations and partner postbacks.
type Macro struct {
	// Name without braces, lower case.
	Name        string
	Description string
	// InDestination is false for the macros that only partner postbacks know.
	InDestination bool
}

// macros in the order of presentation: ours, the older protocol's, those of partner postbacks.
var macros = makeMacros()

func makeMacros() []Macro {
	list := []Macro{
		{"gk_click_id", "Unique id of the click; must come back in the postback", true},
		{"gk_offer_id", "Id of the offer", true},
		{"gk_offer_name", "Name of the offer", true},
		{"pub_member_id", "Member id of the publisher, from the tracking link", true},
		{"pub_click_id", "Click id of the publisher, from the tracking link", true},
	}
	for n := 1; n <= 15; n++ {
		list = append(list, Macro{fmt.Sprintf("pub_sub_%d", n), fmt.Sprintf("Sub id %d of the tracking link", n), true})
	}
	list = append(list,
		Macro{"transaction_id", "Unique id of the click, under TUNE's name", true},
		Macro{"offer_id", "Id of the offer, under TUNE's name", true},
		Macro{"offer_name", "Name of the offer, under TUNE's name", true},
		Macro{"affiliate_id", "Id of the partner whose link was clicked; for a shared offer the publisher's tenant id", true},
		Macro{"aff_sub", "Sub id 1, under TUNE's name", true},
	)
	for n := 2; n <= 5; n++ {
		list = append(list, Macro{fmt.Sprintf("aff_sub%d", n), fmt.Sprintf("Sub id %d, under TUNE's name", n), true})
	}
	return append(list,
		Macro{"source", "Source of the traffic, from the tracking link", true},
		Macro{"advertiser_id", "Id of the offer's advertiser", true},
		Macro{"cnv_event_id", "The advertiser's name of the event", false},
		Macro{"cnv_amount", "Amount of the sale, as posted", false},
		Macro{"goal_id", "Id of the goal", false},
		Macro{"goal_name", "Name of the goal in URLs", false},
		Macro{"goal_ref", "Reference id of the goal", false},
		Macro{"payout", "Payout to the partner", false},
		Macro{"currency", "Currency of the payout", false},
		Macro{"status", "Status of the conversion", false},
		Macro{"gk_conversion_id", "Id of the conversion", false},
	)
}

// Macros are all macros with their descriptions.
func Macros() []Macro { return append([]Macro(nil), macros...) }

// KnownMacro says whether a name (lower case, without braces) is one of ours; in destinations
// those of partner postbacks are not.
func KnownMacro(name string, inDestination bool) bool {
	for _, m := range macros {
		if m.Name == name {
			return m.InDestination || !inDestination
		}
	}
	return false
}

// Template is a URL with macros, taken apart once so that expanding it is only appending. The
// zero value expands to nothing. It is safe for concurrent use.
type Template struct{ parts []templatePart }

// templatePart is literal text, then a macro unless the name is empty.
type templatePart struct {
	literal string
	macro   string
	// inQuery: a space is a plus; elsewhere in a URL a plus would stay a plus.
	inQuery bool
}

// longestMacro bounds what is taken for a macro's name.
const longestMacro = 64

// CompileTemplate takes a URL apart. A macro is a name of letters, digits and underscores in
// braces, in any case; the braces may be percent-encoded, as some tools do. Unknown names are
// macros too, so that nothing of ours is ever sent on unfilled: whoever expands the template
// gives them nothing. Any other brace is text. Bytes that may not stand in a URL are
// percent-encoded, so that an expansion is always fit for a header.
func CompileTemplate(url string) Template {
	var t Template
	var literal []byte
	inQuery, inFragment := false, false
	for i := 0; i < len(url); {
		if name, size := macroAt(url[i:]); size > 0 {
			t.parts = append(t.parts, templatePart{string(literal), name, inQuery && !inFragment})
			literal = literal[:0]
			i += size
			continue
		}
		switch url[i] {
		case '?':
			inQuery = true
		case '#':
			inFragment = true
		}
		literal = appendURLByte(literal, url[i])
		i++
	}
	if len(literal) > 0 {
		t.parts = append(t.parts, templatePart{literal: string(literal)})
	}
	return t
}

// macroAt is the macro that s starts with, its name in lower case, and its length there; 0 when
// it starts with none.
func macroAt(s string) (name string, size int) {
	opening, closing := "{", "}"
	if len(s) >= 3 && strings.EqualFold(s[:3], "%7B") {
		opening, closing = "%7B", "%7D"
	} else if !strings.HasPrefix(s, "{") {
		return "", 0
	}
	end := len(opening)
	for end < len(s) && end-len(opening) < longestMacro && isMacroByte(s[end]) {
		end++
	}
	name = s[len(opening):end]
	if name == "" || len(s)-end < len(closing) || !strings.EqualFold(s[end:end+len(closing)], closing) {
		return "", 0
	}
	return strings.ToLower(name), end + len(closing)
}

func isMacroByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// Expand appends the URL to dst, each macro replaced by its query-escaped value. value gets names
// in lower case and returns "" for what it cannot fill, which leaves the macro's place empty.
func (t Template) Expand(dst []byte, value func(name string) string) []byte {
	for i := range t.parts {
		part := &t.parts[i]
		dst = append(dst, part.literal...)
		if part.macro != "" {
			dst = appendEscaped(dst, value(part.macro), part.inQuery)
		}
	}
	return dst
}

// ExpandString is Expand into a string.
func (t Template) ExpandString(value func(name string) string) string {
	return string(t.Expand(nil, value))
}

// Macros are the names of the template's macros, in order, with repeats.
func (t Template) Macros() []string {
	var names []string
	for _, part := range t.parts {
		if part.macro != "" {
			names = append(names, part.macro)
		}
	}
	return names
}

// Has says whether one of the names is among the template's macros.
func (t Template) Has(names ...string) bool {
	for _, part := range t.parts {
		for _, name := range names {
			if part.macro == name {
				return true
			}
		}
	}
	return false
}

const upperHex = "0123456789ABCDEF"

func appendPercent(dst []byte, c byte) []byte {
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

// appendEscaped escapes like net/url's QueryEscape, but for the space outside of queries.
func appendEscaped(dst []byte, value string, inQuery bool) []byte {
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case isMacroByte(c), c == '-', c == '.', c == '~':
			dst = append(dst, c)
		case c == ' ' && inQuery:
			dst = append(dst, '+')
		default:
			dst = appendPercent(dst, c)
		}
	}
	return dst
}

// appendURLByte keeps what may stand in a URL, percent signs included, and encodes the rest.
func appendURLByte(dst []byte, c byte) []byte {
	if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
		return appendPercent(dst, c)
	}
	return append(dst, c)
}
