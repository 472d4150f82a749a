package domain

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What the log keeps of the parameters of a postback that made nothing: enough to see the sender's
// mistake. Sizes are those of the JSON.
const (
	maxCutParams = 2 << 10
	maxCutValue  = 512
	// cutNote stands beside the parameters that are kept, and says how many are not.
	cutNote = "(cut)"
	// maxRefusedWarnings of a refused postback are told and kept.
	maxRefusedWarnings = 5
)

// CutParams cuts the parameters of a postback to about 2 KB of JSON. Short values are kept before
// long ones: ids and names of events are short.
func CutParams(params map[string]string) map[string]string {
	size := 0
	for name, value := range params {
		size += jsonSize(name) + jsonSize(value)
	}
	if size <= maxCutParams {
		return params
	}
	names := slices.SortedFunc(maps.Keys(params), func(a, b string) int {
		return cmp.Or(len(params[a])-len(params[b]), strings.Compare(a, b))
	})
	cut, size := map[string]string{}, 0
	for i, name := range names {
		value := cutToJSON(params[name], maxCutValue)
		if size += jsonSize(name) + jsonSize(value); size > maxCutParams {
			cut[cutNote] = fmt.Sprintf("%d of %d parameters were not stored", len(names)-i, len(names))
			break
		}
		cut[name] = value
	}
	return cut
}

// jsonSize is the length of a text in JSON, with its quotes.
func jsonSize(text string) int {
	encoded, err := json.Marshal(text)
	if err != nil { // a string is always encoded
		return len(text)
	}
	return len(encoded)
}

// cutToJSON cuts a text, between characters, to what takes no more than limit bytes in JSON.
func cutToJSON(text string, limit int) string {
	for len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	for jsonSize(text) > limit+2 {
		text = strings.ToValidUTF8(text[:len(text)/2], "")
	}
	return text
}

// AsRefused is what the log needs of a postback that is refused for a reason: nothing that only a
// decision reads, and its parameters cut.
func (p *Postback) AsRefused(reason Reason) Postback {
	return Postback{
		ID: p.ID, ReceivedAt: p.ReceivedAt, Method: p.Method, Path: PathWithoutKey(p.Path), SourceIP: p.SourceIP, Params: CutParams(p.Params),
		AdvertiserKey: p.AdvertiserKey, Refused: reason, Detail: RefusalDetail(p, reason),
		Warnings: p.Warnings[:min(len(p.Warnings), maxRefusedWarnings)],
		ClickID:  p.ClickID, Address: p.Address,
	}
}
