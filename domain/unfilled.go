package domain

import (
	"strings"
	"sync"

	"github.com/google/uuid"
)

// What senders write where they have nothing: a word of their programming language, or the macro that they
// should have filled in. In a field that may be left out it counts as left out (rule 71).

// nothingWords are the words, in lower case. "NA" is none of them: it is Namibia.
var nothingWords = []string{"n/a", "#n/a", "null", "(null)", "undefined"}

// providerMacros are the macros of the presets, which have forms of their own: #s2#, (clickid), [%UID%].
var providerMacros = sync.OnceValue(func() map[string]bool {
	macros := map[string]bool{}
	for _, system := range trackingSystems() {
		for _, m := range system.Macros {
			macros[m.Macro] = true
		}
		if system.Rejection != nil {
			macros[system.Rejection.ReasonMacro] = true
		}
	}
	return macros
})

// SaysNothing says whether a value without blanks around it stands for none.
func SaysNothing(value string) bool {
	if value == "" || len(value) > maxMacro {
		return false
	}
	switch value[0] {
	case 'n', 'N', 'u', 'U', '(', '#':
		for _, word := range nothingWords {
			if strings.EqualFold(value, word) {
				return true
			}
		}
	}
	return IsUnfilledMacro(value)
}

// maxMacro bounds what is looked at as a macro.
const maxMacro = 128

// IsUnfilledMacro says whether a value is nothing but a macro: a name in braces, as nearly all systems write them,
// one brace or two, with a dollar sign or percent-encoded once too often; or one of a preset's, letter for letter.
func IsUnfilledMacro(value string) bool {
	if value == "" || len(value) > maxMacro {
		return false
	}
	switch value[0] {
	case '{', '$', '%':
		inner := strings.TrimPrefix(value, "$")
		if len(inner) > 6 && strings.EqualFold(inner[:3], "%7b") && strings.EqualFold(inner[len(inner)-3:], "%7d") {
			inner = "{" + inner[3:len(inner)-3] + "}"
		}
		if strings.HasPrefix(inner, "{{") && strings.HasSuffix(inner, "}}") {
			inner = inner[1 : len(inner)-1]
		}
		if len(inner) > 2 && inner[0] == '{' && inner[len(inner)-1] == '}' && isMacroName(strings.TrimSpace(inner[1:len(inner)-1])) {
			return true
		}
		return providerMacros()[value]
	case '(', '[', '#', '!':
		return providerMacros()[value]
	}
	return false
}

// isMacroName says whether text between braces may be a macro's name. An id in braces is none, and neither is
// JSON.
func isMacroName(name string) bool {
	letters := false
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			letters = true
		case c >= '0' && c <= '9', strings.IndexByte("_-.?()! ", c) >= 0:
		default:
			return false
		}
	}
	if !letters {
		return false
	}
	_, err := uuid.Parse(name)
	return err != nil
}

// NothingSaid is what is wrong with a value that says nothing.
func NothingSaid(value string) string {
	if IsUnfilledMacro(value) {
		return "is the macro " + clip(value) + ", which the sender did not replace"
	}
	return "is " + clip(value) + ", which means no value"
}
