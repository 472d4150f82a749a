package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRepeatedKeys(t *testing.T) {
	t.Parallel()
	for body, field := range map[string]string{
		`{"revenue":1,"revenue":100}`:                          "revenue",
		`{"revenue":1,"Revenue":100}`:                          "Revenue",
		`{"revenue":1,"rev\u0065nue":100}`:                     "revenue",
		`{"ok":1,"\u212Aey":2,"key":3}`:                        "key",
		`{"a":{"id":1},"b":[{"id":1},{"id":2,"x":[],"ID":3}]}`: "b[1].ID",
		`[[{"a":1}],[{"a":1,"a":{}}]]`:                         "[1][0].a",
		`{"a":{"b":{"c":null,"c":null}}}`:                      "a.b.c",
		`{"a":1,"A":1,"A":1}`:                                  "A", `{"a":{},"A":{}}`: "A", `{"a":"x","A":"x","b":null,"B":null}`: "",
		`{"":1,"":2}`: "body",
		`{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}`: "",
		`{"a":{}}`: "", `{}`: "", `[]`: "", `"x"`: "", `{"a":`: "", `{"a" 1}`: "", ``: "",
		manyKeys(100, "k7"): "k7", manyKeys(100, "K7"): "K7", manyKeys(100, "kx"): "",
	} {
		path, reason := repeatedKey([]byte(body))
		require.Equal(t, field, path, "%s", body)
		require.Equal(t, field != "", reason != "", "%s", body)
	}
	require.NotPanics(t, func() { repeatedKey([]byte(strings.Repeat(`{"a":[`, 100_000))) })
}

func manyKeys(n int, last string) string {
	var text strings.Builder
	for i := range n {
		text.WriteString(`"k` + string(rune('0'+i/10)) + string(rune('0'+i%10)) + `":1,`)
	}
	return strings.Replace(`{`+text.String()+`"`+last+`":2}`, `"k07"`, `"k7"`, 1)
}

// What repeatedKey lets pass, encoding/json decodes without losing a key, and no two keys of an object
// could fill in the same field; what it refuses loses one.
func FuzzRepeatedKey(f *testing.F) {
	for _, seed := range []string{`{"a":1,"A":2}`, `{"a":{"b":1},"c":[{"b":1,"b":2}]}`, `{"\u212a":1,"k":2}`, `[{"a":1},{"a":1}]`, `{"\ud800":1,"\ufffd":2}`, `{"s":1,"ſ":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var decoded any
		numbers := json.NewDecoder(strings.NewReader(string(data)))
		numbers.UseNumber()
		if !json.Valid(data) || numbers.Decode(&decoded) != nil {
			return
		}
		sent := 0
		var count func(decoder *json.Decoder, isKey bool)
		decoder := json.NewDecoder(strings.NewReader(string(data)))
		count = func(decoder *json.Decoder, isKey bool) {
			token, err := decoder.Token()
			require.NoError(t, err)
			if isKey {
				sent++
				count(decoder, false)
				return
			}
			if delim, ok := token.(json.Delim); ok {
				for decoder.More() {
					count(decoder, delim == '{')
				}
				_, err := decoder.Token()
				require.NoError(t, err)
			}
		}
		count(decoder, false)
		kept, clashes := keysOf(decoded)
		field, _ := repeatedKey(data)
		require.Equal(t, kept < sent || clashes, field != "", "%s: %d of %d keys kept", data, kept, sent)
	})
}

// keysOf counts the keys, and says whether two of one object differ in case alone.
func keysOf(value any) (count int, clashes bool) {
	switch v := value.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name, inner := range v {
			for _, other := range names {
				clashes = clashes || strings.EqualFold(name, other) && (isNested(inner) || isNested(v[other]) || inner != v[other])
			}
			names = append(names, name)
			n, c := keysOf(inner)
			count, clashes = count+n+1, clashes || c
		}
	case []any:
		for _, inner := range v {
			n, c := keysOf(inner)
			count, clashes = count+n, clashes || c
		}
	}
	return count, clashes
}

func isNested(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}
