package domain

import "strings"

// Storable is what PostgreSQL and JSON can hold: NUL and invalid UTF-8 become U+FFFD rather than
// nothing, so that a name that is compared byte for byte never becomes another one (rule 3).
func Storable(text string) string {
	if isPlain(text) {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] == 0 || text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// Truncated cuts a text that is kept for information only, between characters.
func Truncated(text string, limit int) string {
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return Storable(text)
}
