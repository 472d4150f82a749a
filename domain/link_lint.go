package domain

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// LintLink says what is probably wrong with a destination that is nevertheless accepted: a
// missing click-id macro, unknown macros, question marks and ampersands in wrong places, plain
// http. It is empty for a link with nothing to say about.
func LintLink(link string) []string {
	var warnings []string
	add := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	template := CompileTemplate(link)
	if !template.Has("gk_click_id", "transaction_id") {
		add("has no click id macro ({gk_click_id} or {transaction_id}), so postbacks cannot be attributed to clicks")
	}
	lintMacros(template, add)
	lintBraces(link, add)
	lintQuery(link, add)
	if len(link) >= 5 && strings.EqualFold(link[:5], "http:") {
		add("uses http without TLS: the click id can be read in transit")
	}
	return warnings
}

func lintMacros(template Template, add func(string, ...any)) {
	names := template.Macros()
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		switch {
		case KnownMacro(name, true):
		case KnownMacro(name, false):
			add("{%s} is a macro of partner postbacks and is empty in a destination", name)
		default:
			add("{%s} is not a known macro and becomes empty", name)
		}
	}
}

// lintBraces finds what was meant as a macro, and is text: braces that are not closed, doubled,
// or hold anything but a name.
func lintBraces(link string, add func(string, ...any)) {
	for i := 0; i < len(link); {
		if _, size := macroAt(link[i:]); size > 0 {
			i += size
			continue
		}
		if link[i] == '{' || link[i] == '}' {
			add("has a brace at character %d that is not part of a macro", i+1)
			return
		}
		i++
	}
}

func lintQuery(link string, add func(string, ...any)) {
	link, _, _ = strings.Cut(link, "#")
	before, query, found := strings.Cut(link, "?")
	if strings.Contains(before, "&") {
		add("has an ampersand before the question mark")
	}
	if !found {
		return
	}
	if strings.Contains(query, "?") {
		add("has a second question mark: further parameters start with an ampersand")
	}
	if query == "" {
		add("ends with a question mark")
		return
	}
	seen := map[string]bool{}
	for i, parameter := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		switch name, err := url.QueryUnescape(name); {
		case parameter == "" && i == 0:
			add("has an ampersand right after the question mark")
		case parameter == "":
			add("has an ampersand with no parameter after it")
		case err != nil:
			add("has a broken percent sign in a parameter's name")
		case name == "":
			add("has a parameter without a name")
		case seen[name]:
			add("has the parameter %q more than once", clip(name))
		default:
			seen[name] = true
		}
		if strings.HasPrefix(value, "=") {
			add("has a doubled equals sign")
		}
	}
}
