package domain

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// docReader collects what is to be said of a document while it is read.
type docReader struct {
	terms    OfferTerms
	warnings []string
	errs     FieldErrors
}

// A document may be wrong in more places than anybody wants to read, or to be sent.
const (
	maxFieldErrors   = 500
	maxFieldWarnings = 200
)

func (r *docReader) fail(path, format string, args ...any) {
	if len(r.errs) < maxFieldErrors {
		r.errs = append(r.errs, FieldError{Field: path, Reason: fmt.Sprintf(format, args...)})
	}
}

func (r *docReader) warn(path, format string, args ...any) {
	if len(r.warnings) < maxFieldWarnings {
		r.warnings = append(r.warnings, path+": "+fmt.Sprintf(format, args...))
	}
}

// docFields is one object of the document while its fields are taken out one by one.
type docFields struct {
	*docReader
	path    string
	members []docMember
	taken   []string
}

// fields of a value that is no object are all missing: the one error says so, and the reader that
// hears of them is nobody's.
func (r *docReader) fields(path string, n docNode) *docFields {
	if n.kind != docObject {
		r.fail(path, "must be an object, not %s", n.kind)
		r = &docReader{terms: r.terms}
	}
	return &docFields{docReader: r, path: path, members: n.members}
}

// at is the path of a field of this object.
func (f *docFields) at(name string) string {
	if f.path == "" {
		return name
	}
	return f.path + "." + name
}

// take finds a field whatever its case. Of several spellings the documented one wins, else the
// last one, as with any JSON reader; the others are warned about. present is false for an
// absent field; null is present.
func (f *docFields) take(name string) (value docNode, present bool) {
	f.taken = append(f.taken, name)
	best := -1
	for i, m := range f.members {
		if strings.EqualFold(m.name, name) && (best < 0 || m.name == name || f.members[best].name != name) {
			if best >= 0 {
				f.warn(f.at(clip(f.members[best].name)), "has several values and was ignored")
			}
			best = i
		} else if strings.EqualFold(m.name, name) {
			f.warn(f.at(clip(m.name)), "has several values and was ignored")
		}
	}
	if best < 0 {
		return docNode{kind: docNull}, false
	}
	return f.members[best].value, true
}

// optional is the value of a field that is there and not null.
func (f *docFields) optional(name string) (docNode, bool) {
	value, present := f.take(name)
	return value, present && value.kind != docNull
}

// needed is optional, with an error when the field is absent or null although required.
func (f *docFields) needed(name string, required bool) (docNode, bool) {
	value, ok := f.optional(name)
	if !ok && required {
		f.fail(f.at(name), "is required")
	}
	return value, ok
}

// given demands that a field be there although it may be null.
func (f *docFields) given(name string) (docNode, bool) {
	value, present := f.take(name)
	if !present {
		f.fail(f.at(name), "is required; use null for none")
	}
	return value, present && value.kind != docNull
}

// rest warns of every field that nobody took. Names in quiet are those that answers add to the
// document, so that an answer can be sent back as it is.
func (f *docFields) rest(quiet ...string) {
	known := func(list []string, name string) bool {
		return slices.ContainsFunc(list, func(k string) bool { return strings.EqualFold(k, name) })
	}
	for _, m := range f.members {
		if !known(f.taken, m.name) && !known(quiet, m.name) {
			f.warn(f.at(clip(m.name)), "unknown field, ignored")
		}
	}
}

// clip keeps a name of the client's making short enough to be repeated.
func clip(name string) string {
	const longest = 64
	if utf8.RuneCountInString(name) > longest {
		return string([]rune(name)[:longest]) + "…"
	}
	return name
}

// text is a string of at most limit characters on one line, trimmed; required ones are not empty.
func (f *docFields) text(name string, required bool, limit int) string {
	return f.anyText(name, required, limit, false)
}

// prose is text that may have several lines.
func (f *docFields) prose(name string, required bool, limit int) string {
	return f.anyText(name, required, limit, true)
}

// markup is prose in HTML, sanitised.
func (f *docFields) markup(name string, required bool, limit int) string {
	raw := f.anyText(name, required, limit, true)
	clean := strings.TrimSpace(f.sanitize(raw))
	switch {
	case required && raw != "" && clean == "":
		f.fail(f.at(name), "has no allowed content")
	case utf8.RuneCountInString(clean) > limit: // or it could not be sent back as it was answered
		f.fail(f.at(name), "has more than %d characters after sanitising", limit)
	}
	return clean
}

func (f *docFields) anyText(name string, required bool, limit int, lines bool) string {
	node, ok := f.needed(name, required)
	if !ok {
		return ""
	}
	text, ok := f.plain(f.at(name), node, limit, lines)
	if text = strings.TrimSpace(text); ok && required && text == "" {
		f.fail(f.at(name), "must not be empty")
	}
	return text
}

// plain checks a string's length and characters, and leaves it as it is.
func (r *docReader) plain(path string, n docNode, limit int, lines bool) (string, bool) {
	control := func(c rune) bool {
		return unicode.IsControl(c) && (!lines || !strings.ContainsRune("\n\r\t", c))
	}
	switch {
	case n.kind != docString:
		r.fail(path, "must be a string, not %s", n.kind)
	case utf8.RuneCountInString(n.text) > limit:
		r.fail(path, "is longer than %d characters", limit)
	case strings.ContainsFunc(n.text, control):
		r.fail(path, "has a control character")
	default:
		return n.text, true
	}
	return "", false
}

// flag is a boolean, false when absent.
func (f *docFields) flag(name string, required bool) bool {
	node, ok := f.needed(name, required)
	if ok && node.kind != docBool {
		f.fail(f.at(name), "must be true or false, not %s", node.kind)
		return false
	}
	return ok && node.text == "true"
}

// docRange bounds a number at both ends, inclusively, in Micros of its unit.
type docRange struct{ min, max Micros }

// number is a decimal within bounds; nil when absent or wrong.
func (f *docFields) number(name string, required bool, bounds docRange) *Micros {
	node, ok := f.needed(name, required)
	if !ok {
		return nil
	}
	return f.numberAt(f.at(name), node, bounds)
}

func (r *docReader) numberAt(path string, n docNode, bounds docRange) *Micros {
	value, err := docDecimal(n)
	switch {
	case err != nil:
		r.fail(path, "%s", err)
	case value < bounds.min, value > bounds.max:
		r.fail(path, "must be from %s to %s", shortDecimal(bounds.min), shortDecimal(bounds.max))
	default:
		return &value
	}
	return nil
}

// numberOr is number with a default for an absent field.
func (f *docFields) numberOr(name string, fallback Micros, bounds docRange) Micros {
	if value := f.number(name, false, bounds); value != nil {
		return *value
	}
	return fallback
}

// integer is a whole number within bounds; nil when absent or wrong.
func (f *docFields) integer(name string, required bool, least, most int64) *int64 {
	node, ok := f.needed(name, required)
	if !ok {
		return nil
	}
	return f.integerAt(f.at(name), node, least, most)
}

func (r *docReader) integerAt(path string, n docNode, least, most int64) *int64 {
	value, err := docDecimal(n)
	whole := int64(value / MicrosPerUnit)
	switch {
	case err != nil:
		r.fail(path, "%s", err)
	case value%MicrosPerUnit != 0:
		r.fail(path, "must be a whole number")
	case whole < least, whole > most:
		r.fail(path, "must be from %d to %d", least, most)
	default:
		return &whole
	}
	return nil
}

// word is one of a closed list, whatever its case, in its canonical spelling; empty when absent
// or wrong.
func (f *docFields) word(name string, required bool, list []string) string {
	node, ok := f.needed(name, required)
	if !ok {
		return ""
	}
	return f.wordAt(f.at(name), node, list)
}

func (r *docReader) wordAt(path string, n docNode, list []string) string {
	if n.kind != docString {
		r.fail(path, "must be a string, not %s", n.kind)
		return ""
	}
	text := strings.TrimSpace(n.text)
	if i := slices.IndexFunc(list, func(w string) bool { return strings.EqualFold(w, text) }); i >= 0 {
		return list[i]
	}
	r.fail(path, "must be one of %s", strings.Join(list, ", "))
	return ""
}

// id is a UUID in the usual form that known accepts; the nil UUID counts as absent, as some
// clients' libraries send it for that.
func (f *docFields) id(name string, required bool, known func(uuid.UUID) bool) (uuid.UUID, bool) {
	node, ok := f.optional(name)
	if !ok || node.text == uuid.Nil.String() {
		if required {
			f.fail(f.at(name), "is required")
		}
		return uuid.Nil, false
	}
	return f.idAt(f.at(name), node, known)
}

func (r *docReader) idAt(path string, n docNode, known func(uuid.UUID) bool) (uuid.UUID, bool) {
	id, ok := parseUUID(n.text)
	switch {
	case n.kind != docString, !ok:
		r.fail(path, "must be a UUID")
	case known != nil && !known(id):
		r.fail(path, "is not known")
	default:
		return id, true
	}
	return uuid.Nil, false
}

// parseUUID accepts the usual form only, of the several that uuid.Parse knows.
func parseUUID(text string) (uuid.UUID, bool) {
	text = strings.TrimSpace(text)
	id, err := uuid.Parse(text)
	return id, err == nil && len(text) == 36
}

// docItem is one value of a list, with its path.
type docItem struct {
	path string
	docNode
}

// list is a field's values; an absent or null field has none.
func (f *docFields) list(name string, required bool, least, most int) []docItem {
	node, ok := f.needed(name, required)
	if !ok {
		return nil
	}
	switch path := f.at(name); {
	case node.kind != docList:
		f.fail(path, "must be a list, not %s", node.kind)
	case len(node.items) < least:
		f.fail(path, "must have at least one value")
	case len(node.items) > most:
		f.fail(path, "has more than %d values", most)
	default:
		items := make([]docItem, len(node.items))
		for i, item := range node.items {
			items[i] = docItem{fmt.Sprintf("%s[%d]", path, i), item}
		}
		return items
	}
	return nil
}

// shortDecimal is a number without needless places: "2.5", "10".
func shortDecimal(m Micros) string {
	return strings.TrimSuffix(strings.TrimRight(m.String(), "0"), ".")
}
