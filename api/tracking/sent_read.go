package tracking

import (
	"strings"

	"github.com/offerflow/offerflow/domain"
)

// What follows reads the parameters of all tracking forms (rule 71): tolerant where nothing can be
// misread, and never guessing at money or at whose conversion it is.

// NormalName is a parameter's name without what means nothing: its case, HTML's "amp;" that a page
// left before it, blanks and a byte order mark around it. A name that is as it should be costs a look.
func NormalName(name string) string {
	for i := range len(name) {
		if c := name[i]; c >= 'A' && c <= 'Z' || c == ';' || c <= ' ' || c >= 0x7f {
			return cleanedName(name)
		}
	}
	return name
}

func cleanedName(name string) string {
	lower := []byte(domain.TrimBlanks(name))
	for i, c := range lower { // not strings.ToLower: it makes ASCII letters of others
		if c >= 'A' && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	name = string(lower)
	for strings.HasPrefix(name, "amp;") {
		name = name[len("amp;"):]
	}
	return name
}

// queryValue is the first value of a parameter of the query that is not empty, for what is needed
// before a form is read.
func queryValue(query, name string) string {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		sent, value, _ := strings.Cut(pair, "=")
		if value == "" || NormalName(unescaped(sent)) != name {
			continue
		}
		if value = domain.TrimBlanks(unescaped(value)); value != "" {
			return value
		}
	}
	return ""
}

// sentValues are the parameters of a postback that mean something, by our names.
type sentValues struct {
	values map[string]string
	// said are the sender's names of them where they differ from ours.
	said map[string]string
	// nothing are values that say nothing, by our names: macros that were not filled in, and the like.
	nothing  map[string]string
	errs     domain.FieldErrors
	warnings domain.FieldErrors
}

// Reasons of errors and warnings.
const (
	TwiceReason    = "has several different values"
	tooLongReason  = "is too long"
	leftOutTooLong = "is too long and was ignored"
	firstCounts    = "has several different values; the first counts"
	wasLeftOut     = ", and was ignored"
)

// readFields reads pairs by a form's fields. The query's pairs come before the body's: the query is what
// the advertiser set up, while a body often holds the sender's own record of the same event. A signature
// covers the pairs and not their order, so that of a signed postback no first value counts.
func readFields(fields fieldIndex, pairs []pair, signed bool) *sentValues {
	read := &sentValues{values: map[string]string{}, said: map[string]string{}}
	for _, p := range pairs {
		field := fields[NormalName(p.name)]
		value := domain.TrimBlanks(p.value)
		if field == nil || value == "" {
			continue
		}
		read.take(field, p.name, value, signed)
	}
	return read
}

// literal are the fields whose value is never taken for none: a secret is compared as it is, and an event may have
// any name, which the decision knows.
func literal(name string) bool { return name == "security_token" || name == "cnv_event_id" }

// leaveOut takes a value for none (rule 71). Where the field is required, whoever misses it says what came.
func (s *sentValues) leaveOut(ours, name, value string) {
	if s.nothing == nil {
		s.nothing = map[string]string{}
	}
	s.nothing[ours] = value
	if _, known := s.values[ours]; !known && name != ours {
		s.said[ours] = name
	}
	if ours != "gk_click_id" {
		s.warnings = append(s.warnings, domain.FieldError{Field: name, Reason: domain.NothingSaid(value) + wasLeftOut})
	}
}

func (s *sentValues) take(field *SentField, sentName, value string, signed bool) {
	ours, name := field.ours(), domain.Truncated(domain.TrimBlanks(sentName), 64)
	if domain.SaysNothing(value) && !literal(ours) {
		s.leaveOut(ours, name, value)
		return
	}
	earlier, known := s.values[ours]
	switch {
	case len(value) > field.Limit && field.Money:
		value = domain.Truncated(value, field.Limit) + "…" // which is no amount and no currency
	case len(value) > field.Limit && field.Strict:
		s.errs = append(s.errs, domain.FieldError{Field: name, Reason: tooLongReason})
		return
	case len(value) > field.Limit:
		s.warnings = append(s.warnings, domain.FieldError{Field: name, Reason: leftOutTooLong})
		return
	}
	switch {
	case !known:
		s.values[ours] = value
		delete(s.said, ours)
		if name != ours {
			s.said[ours] = name
		}
	case sameValue(ours, earlier, value):
	case field.Strict || signed:
		s.errs = append(s.errs, domain.FieldError{Field: name, Reason: TwiceReason})
	default:
		s.warnings = append(s.warnings, domain.FieldError{Field: name, Reason: firstCounts})
	}
}

// sameValue says whether two values of one parameter mean the same.
func sameValue(name, a, b string) bool {
	switch name {
	case "gk_click_id", "offer_id", "aff_id", "goal_id", "adv_id":
		first, ok := domain.ParseSentID(a)
		second, too := domain.ParseSentID(b)
		return a == b || ok && too && first == second
	case "cnv_amount":
		first, err := domain.ParseAmount(a)
		second, failed := domain.ParseAmount(b)
		return a == b || err == nil && failed == nil && first == second
	case "cnv_currency":
		return strings.EqualFold(a, b)
	default:
		return a == b
	}
}
