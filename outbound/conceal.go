package outbound

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Concealed stands in answers where a secret stood that the request carried.
const Concealed = "[header value]"

// concealer replaces secrets in what strangers answer, however they wrote them.
type concealer struct {
	forms    []string
	replacer *strings.Replacer
	longest  int
}

func concealerOf(secrets []string) concealer {
	var c concealer
	for _, secret := range secrets {
		for _, part := range partsOf(secret) {
			for _, form := range formsOf(storable([]byte(part))) { // as the text is that it is looked for in
				if form != "" && !slices.Contains(c.forms, form) {
					c.forms = append(c.forms, form)
					c.longest = max(c.longest, len(form))
				}
			}
		}
	}
	// The replacer prefers what comes first: of two forms that begin alike the longer one.
	slices.SortStableFunc(c.forms, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, form := range c.forms {
		pairs = append(pairs, form, Concealed)
	}
	c.replacer = strings.NewReplacer(pairs...)
	return c
}

// shortestPart is the shortest word of a header value that is taken for a secret by itself.
const shortestPart = 8

// partsOf are a header value, and what a receiver makes of one such as "Bearer abc…" before it echoes it: the
// token alone, or the name and password that it stands for.
func partsOf(secret string) []string {
	parts := []string{secret}
	for _, word := range strings.Fields(secret) {
		if len(word) < shortestPart || word == secret {
			continue
		}
		parts = append(parts, word)
		if scheme, _, _ := strings.Cut(secret, " "); strings.EqualFold(scheme, "Basic") {
			if login, err := base64.StdEncoding.DecodeString(word); err == nil && len(login) >= shortestPart {
				parts = append(parts, string(login))
			}
		}
	}
	return parts
}

// formsOf are the ways in which programs write a text into JSON, HTML and addresses.
func formsOf(secret string) []string {
	quoted, _ := json.Marshal(secret) // any string is JSON
	var plain strings.Builder
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(secret)
	inJSON := string(quoted[1 : len(quoted)-1])
	inPlainJSON := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(plain.String(), "\n"), `"`), `"`)
	query, path := url.QueryEscape(secret), url.PathEscape(secret)
	return []string{
		secret, inJSON, inPlainJSON, strings.ReplaceAll(inPlainJSON, "/", `\/`), html.EscapeString(secret),
		query, path, lowerEscapes(query), lowerEscapes(path), strings.ReplaceAll(query, "+", "%20"),
	}
}

// lowerEscapes writes the digits of percent escapes in lower case.
func lowerEscapes(text string) string {
	out := []byte(text)
	for i := 0; i+2 < len(out); i++ {
		if out[i] == '%' {
			copy(out[i+1:i+3], strings.ToLower(string(out[i+1:i+3])))
		}
	}
	return string(out)
}

// conceal makes text of at most limit bytes that PostgreSQL takes. It is cut after the secrets are
// replaced: a secret on the border would lose its end and no longer be known for one, and what stands in
// its place may be longer than it. cutShort says that raw is not the whole answer: the beginning of a secret
// at its end is left out too.
func (c concealer) conceal(raw []byte, cutShort bool, limit int) string {
	if cutShort {
		raw = withoutHalfRune(raw)
	}
	text := storable(raw)
	if len(c.forms) == 0 {
		return cutText(text, limit)
	}
	out := &cutWriter{limit: limit + len(Concealed)}                         // cutText makes the cut, between characters
	if _, err := c.replacer.WriteString(out, text); err == nil && cutShort { // else there was enough before the end
		return cutText(c.withoutBegun(out.String()), limit)
	}
	return cutText(out.String(), limit)
}

// withoutHalfRune cuts off a character that is not there whole.
func withoutHalfRune(raw []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(raw); n++ {
		if end := raw[len(raw)-n:]; utf8.RuneStart(end[0]) {
			if !utf8.FullRune(end) {
				return raw[:len(raw)-n]
			}
			break
		}
	}
	return raw
}

// withoutBegun cuts off the longest end of text that begins a form.
func (c concealer) withoutBegun(text string) string {
	most := 0
	for _, form := range c.forms {
		for n := min(len(form)-1, len(text)); n > most; n-- {
			if strings.HasSuffix(text, form[:n]) {
				most = n
			}
		}
	}
	return text[:len(text)-most]
}

// cutWriter takes no more than it needs.
type cutWriter struct {
	strings.Builder
	limit int
}

// WriteString satisfies io.StringWriter, which the replacer writes to.
func (w *cutWriter) WriteString(text string) (int, error) {
	if w.Len() >= w.limit {
		return 0, errEnough
	}
	return w.Builder.WriteString(text[:min(len(text), w.limit-w.Len())])
}

// Write satisfies io.Writer.
func (w *cutWriter) Write(text []byte) (int, error) { return w.WriteString(string(text)) }
