package domain

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// byteOrderMark is what some programs write before a text.
const byteOrderMark = "\uFEFF"

// TrimBlanks leaves out the blanks around a value and a byte order mark before it (rule 71).
func TrimBlanks(text string) string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), byteOrderMark))
}

// wrappers are what ids are sent in by templates that were filled in by half: an opening character, then
// its closing one.
const wrappers = `{}[]()<>""''` + "``"

// ParseSentID reads an id of ours as senders write it (rule 71): in any case, without its dashes, with
// braces, quotes or blanks around it. Nothing else that could be taken for an id is.
func ParseSentID(text string) (uuid.UUID, bool) {
	text = TrimBlanks(text)
	for range 3 { // "{…}" in quotes, and blanks within
		if len(text) < 2 {
			break
		}
		if at := strings.IndexByte(wrappers, text[0]); at < 0 || at%2 != 0 || text[len(text)-1] != wrappers[at+1] {
			break
		}
		text = TrimBlanks(text[1 : len(text)-1])
	}
	if len(text) != 36 && len(text) != 32 {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(text)
	return id, err == nil
}

// WhyNoID says what is wrong with a text that is no id of ours.
func WhyNoID(text string) string {
	return fmt.Sprintf("is not a click id: %q is not 32 hexadecimal digits, with or without dashes", clip(text))
}

// BytesPrefix begins a stored text that was no text when it was sent.
const BytesPrefix = "bytes:"

// StoredText is how a value of a publisher's is stored (rule 72): as it is; or, where it is no UTF-8,
// holds a NUL, which no database has a text for, or begins like this form itself, as its
// percent-encoding behind BytesPrefix. Different values are stored differently, always.
func StoredText(value string) string {
	if !strings.HasPrefix(value, BytesPrefix) && utf8.ValidString(value) && strings.IndexByte(value, 0) < 0 {
		return value
	}
	stored := make([]byte, 0, len(BytesPrefix)+3*len(value))
	return string(appendEscaped(append(stored, BytesPrefix...), value, false))
}

// SentText is the value that StoredText stored: what goes back to its owner in an address.
func SentText(stored string) string {
	encoded, found := strings.CutPrefix(stored, BytesPrefix)
	if !found {
		return stored
	}
	value, err := url.PathUnescape(encoded)
	if err != nil || StoredText(value) != stored {
		return stored // stored before there was this form
	}
	return value
}
