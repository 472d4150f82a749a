package domain

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Erasure is what replaces a member in documents that hold more than the member: callbacks, news on its way,
// messages that wait to be sent again.
type Erasure struct {
	// Member becomes Pseudonym, where IsOld says of a click or conversion that it is the erased member's.
	Member, Pseudonym string
	// MemberKey takes the place of what stands for the member in the book of a shared offer's advertiser.
	MemberKey string
	IsOld     func(object map[string]any) bool
}

// emptied are the fields of clicks and of conversions' news that may say who a member is; those that a number
// follows are in numberedFields.
var emptied = []string{
	"pubClickId", "pubSessionId", "pubGender", "pubAge", "pubGeoCountry", "pubGeoState", "pubPostalCode", "pubDevice", "viewId", "source",
	"ip", "userAgent", "referer",
}

var numberedFields = []string{"pubSub", "trackSysConversionSub"}

// Apply replaces the member in a JSON document, at any depth. changed is false where it is not in it.
func (e *Erasure) Apply(document []byte) (erased []byte, changed bool, err error) {
	return rewritten(document, e.walk)
}

// Name replaces the member's id in the texts of a JSON document, whatever they are called. inside says that
// texts which mention it among other words are meant too.
func (e *Erasure) Name(document []byte, inside bool) (erased []byte, changed bool, err error) {
	var walk func(value any) bool
	text := func(value any) (string, bool) {
		said, ok := value.(string)
		if !ok || said != e.Member && !inside {
			return "", false
		}
		named := ReplaceMentions(said, e.Member, e.Pseudonym)
		return named, named != said
	}
	walk = func(value any) (changed bool) {
		switch v := value.(type) {
		case []any:
			for i, item := range v {
				if named, ok := text(item); ok {
					v[i], changed = named, true
				}
				changed = walk(item) || changed
			}
		case map[string]any:
			for name, item := range v {
				if named, ok := text(item); ok {
					v[name], changed = named, true
				}
				changed = walk(item) || changed
			}
		}
		return changed
	}
	return rewritten(document, walk)
}

// rewritten is a JSON document after a change of its values.
func rewritten(document []byte, change func(value any) bool) (after []byte, changed bool, err error) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber() // figures stay as they are, digit by digit
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, false, err
	}
	if !change(value) {
		return document, false, nil
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(value)
	return bytes.TrimRight(out.Bytes(), "\n"), true, err
}

// ReplaceMentions replaces a word in a text where it stands by itself, between no letters or digits.
func ReplaceMentions(text, word, by string) string {
	var out strings.Builder
	for from := 0; ; {
		at := strings.Index(text[from:], word)
		if at < 0 || word == "" {
			out.WriteString(text[from:])
			return out.String()
		}
		start := from + at
		end := start + len(word)
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if start > 0 && isWordRune(before) || end < len(text) && isWordRune(after) {
			_, size := utf8.DecodeRuneInString(text[start:])
			out.WriteString(text[from : start+size])
			from = start + size
			continue
		}
		out.WriteString(text[from:start])
		out.WriteString(by)
		from = end
	}
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func (e *Erasure) walk(value any) (changed bool) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			changed = e.walk(item) || changed
		}
	case map[string]any:
		if v["pubMemberId"] == e.Member && (e.IsOld == nil || e.IsOld(v)) {
			e.erase(v)
			changed = true
		}
		for _, item := range v {
			changed = e.walk(item) || changed
		}
	}
	return changed
}

func (e *Erasure) erase(object map[string]any) {
	_, isClick := object["clickedAt"]
	if said, ok := object["pubGeoCountry"].(string); ok && isClick && (object["country"] == nil || object["country"] == "") {
		object["country"] = CountryCode(said) // reports count by it
	}
	if _, isShared := object["memberKey"]; isShared {
		object["memberKey"] = e.MemberKey
	}
	object["pubMemberId"] = e.Pseudonym
	for _, name := range emptied {
		if _, ok := object[name]; ok {
			object[name] = ""
		}
	}
	delete(object, "pubSubs")
	for name := range object {
		for _, prefix := range numberedFields {
			if number, ok := strings.CutPrefix(name, prefix); ok && strings.Trim(number, "0123456789") == "" {
				object[name] = ""
			}
		}
	}
}

// isPersonalMacro says whether what a macro stands for may say who a member is.
func isPersonalMacro(name string) bool {
	return name == "pub_click_id" || name == "source" || strings.HasPrefix(name, "pub_sub_") || strings.HasPrefix(name, "aff_sub")
}

// MacrosOfErased are the macros of a partner's message about an erased member's conversion. What the partner
// itself gave to the link stays until the message is delivered: without it the partner cannot tell what it is
// paid for.
func MacrosOfErased(values map[string]string, pseudonym string, delivered bool) map[string]string {
	kept := map[string]string{}
	for name, value := range values {
		switch {
		case name == "pub_member_id":
			kept[name] = pseudonym
		case isPersonalMacro(name) && delivered:
		default:
			kept[name] = value
		}
	}
	return kept
}
