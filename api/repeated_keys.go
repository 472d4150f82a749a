package api

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Of a key that an object has twice Go takes the last, other readers the first: what a person approved
// in one program may not be what is booked here. Go also matches names in any case, so that Revenue
// overrides revenue.

// repeatedKey finds the first key that an object has twice, in any case: its path, and what is wrong
// with it. JSON that cannot be read is for its decoder to refuse.
func repeatedKey(data []byte) (path, reason string) {
	if bytes.IndexByte(data, '{') < 0 {
		return "", ""
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var open []jsonLevel
	for {
		token, err := decoder.Token()
		if err != nil {
			return "", ""
		}
		at := len(open) - 1
		switch token {
		case json.Delim('}'), json.Delim(']'):
			open = open[:at]
			continue
		}
		if at >= 0 && open[at].expectsKey() {
			name, _ := token.(string)
			if earlier, known := open[at].name(name); known {
				return pathOf(open), repeatedReason(earlier, name)
			}
			continue
		}
		if at >= 0 {
			open[at].hasValue()
		}
		if token == json.Delim('{') || token == json.Delim('[') {
			open = append(open, jsonLevel{isArray: token == json.Delim('[')})
		}
	}
}

func repeatedReason(earlier, name string) string {
	if earlier == name {
		return "is given more than once"
	}
	return "is given more than once, as " + truncated(earlier, 64) + " too"
}

// jsonLevel is an object or an array that is being read.
type jsonLevel struct {
	isArray bool
	// index is how many values have begun.
	index int
	// key is the one whose value comes next, or "" with named false.
	key   string
	named bool
	// few are the folded keys so far and the spelling of each; many takes over where there are many.
	few  [][2]string
	many map[string]string
}

func (l *jsonLevel) expectsKey() bool { return !l.isArray && !l.named }

func (l *jsonLevel) hasValue() {
	l.named = false
	l.index++
}

const fewKeys = 16

// name takes the next key, or says how it was written before.
func (l *jsonLevel) name(key string) (earlier string, known bool) {
	l.key, l.named = key, true
	folded := foldedKey(key)
	if l.many != nil {
		if earlier, known = l.many[folded]; !known {
			l.many[folded] = key
		}
		return earlier, known
	}
	for _, one := range l.few {
		if one[0] == folded {
			return one[1], true
		}
	}
	if l.few = append(l.few, [2]string{folded, key}); len(l.few) > fewKeys {
		l.many = make(map[string]string, 4*fewKeys)
		for _, one := range l.few {
			l.many[one[0]] = one[1]
		}
		l.few = nil
	}
	return "", false
}

// foldedKey is the same for all names that encoding/json takes for one: Unicode's simple folding, in
// which the Kelvin sign is a k.
func foldedKey(key string) string {
	for i := range len(key) {
		if key[i] >= utf8.RuneSelf {
			return strings.Map(func(r rune) rune {
				least := r
				for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
					least = min(least, other)
				}
				return least
			}, key)
		}
	}
	return strings.ToUpper(key) // the least of each pair of ASCII letters
}

// pathOf is where the repeated key stands, as errors name fields.
func pathOf(open []jsonLevel) string {
	var path strings.Builder
	for i := range open {
		switch {
		case path.Len() > 512:
			return path.String() + "…"
		case open[i].isArray:
			path.WriteString("[" + strconv.Itoa(open[i].index-1) + "]")
		default:
			if path.Len() > 0 {
				path.WriteByte('.')
			}
			path.WriteString(truncated(open[i].key, 64))
		}
	}
	if path.Len() == 0 {
		return "body"
	}
	return path.String()
}
