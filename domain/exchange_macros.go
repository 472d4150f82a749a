package domain

import "strings"

// PublishersMacro says whether a macro of an address is filled with what the publisher says of a click: its
// click id, session id, sub ids and source, which reach an advertiser's address only as the publisher allows
// (rule 59). canonical is the one name that an allowance has for it.
func PublishersMacro(name string) (canonical string, is bool) {
	switch rest, isSub := strings.CutPrefix(name, "aff_sub"); {
	case name == "aff_sub":
		return "pub_sub_1", true
	case isSub && len(rest) == 1 && rest >= "2" && rest <= "5":
		return "pub_sub_" + rest, true
	case name == "pub_click_id", name == "pub_session_id", name == "source":
		return name, true
	case strings.HasPrefix(name, "pub_sub_") && KnownMacro(name, true):
		return name, true
	}
	return "", false
}

// ParsePassMacro reads a macro of an allowance, in any case, with braces or without.
func ParsePassMacro(text string) (canonical string, ok bool) {
	name := strings.ToLower(strings.TrimSpace(text))
	if inner, braced := strings.CutPrefix(name, "{"); braced {
		name = strings.TrimSuffix(inner, "}")
	}
	return PublishersMacro(name)
}
