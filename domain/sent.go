package domain

import "strings"

// byteOrderMark is what some programs write before a text.
const byteOrderMark = "\uFEFF"

// TrimBlanks leaves out the blanks around a value and a byte order mark before it (rule 71).
func TrimBlanks(text string) string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), byteOrderMark))
}
