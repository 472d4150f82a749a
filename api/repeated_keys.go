package api

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/offerflow/offerflow/domain"
)

// Of a key that an object has twice Go takes the last, other readers the first: what a person approved
// in one program may not be what is booked here. Go also matches names in any case, so that Revenue
// overrides revenue.

// repeatedKey finds the first key that an object has twice, or in two cases with different values: its path,
// and what is wrong with it. JSON that cannot be read is for its decoder to refuse.
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
			if reason = open[at].name(name); reason != "" {
				return pathOf(open), reason
			}
			continue
		}
		if at >= 0 {
			if reason = open[at].hasValue(token); reason != "" {
				return pathOf(open), reason
			}
		}
		if token == json.Delim('{') || token == json.Delim('[') {
			open = append(open, jsonLevel{isArray: token == json.Delim('[')})
		}
	}
}

// jsonLevel is an object or an array that is being read.
type jsonLevel struct {
	isArray bool
	// index is how many values have begun.
	index int
	// key is the one whose value comes next, or "" with named false.
	key   string
	named bool
	// keys are those so far; of says where a folded one is, once there are many.
	keys []jsonKey
	of   map[string]int
	// at is the key whose value comes next, again whether it was there in another case.
	at    int
	again bool
}

// jsonKey is a key with all its spellings, and its value where that is no object and no array.
type jsonKey struct {
	folded    string
	spellings []string
	value     json.Token
}

func (l *jsonLevel) expectsKey() bool { return !l.isArray && !l.named }

// hasValue takes the value of a key, or the beginning of it. In another case a key may be there again with
// the same value, which every program reads alike.
func (l *jsonLevel) hasValue(token json.Token) (reason string) {
	l.index++
	if !l.isArray {
		l.named = false
		key := &l.keys[l.at]
		if _, isDelim := token.(json.Delim); l.again && (isDelim || token != key.value) {
			return "is given more than once, as " + domain.Truncated(key.spellings[0], 64) + " too"
		}
		key.value = token
	}
	return ""
}

const fewKeys = 16

// name takes the next key, or says why it cannot.
func (l *jsonLevel) name(name string) (reason string) {
	l.key, l.named = name, true
	folded := foldedKey(name)
	if l.at, l.again = l.find(folded); l.again {
		key := &l.keys[l.at]
		if slices.Contains(key.spellings, name) {
			return "is given more than once"
		}
		key.spellings = append(key.spellings, name)
		return ""
	}
	l.at = len(l.keys)
	l.keys = append(l.keys, jsonKey{folded: folded, spellings: []string{name}})
	if l.of != nil {
		l.of[folded] = l.at
	} else if len(l.keys) > fewKeys {
		l.of = make(map[string]int, 4*fewKeys)
		for i := range l.keys {
			l.of[l.keys[i].folded] = i
		}
	}
	return ""
}

func (l *jsonLevel) find(folded string) (at int, known bool) {
	if l.of != nil {
		at, known = l.of[folded]
		return at, known
	}
	at = slices.IndexFunc(l.keys, func(k jsonKey) bool { return k.folded == folded })
	return at, at >= 0
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
			path.WriteString(domain.Truncated(open[i].key, 64))
		}
	}
	if path.Len() == 0 {
		return "body"
	}
	return path.String()
}
