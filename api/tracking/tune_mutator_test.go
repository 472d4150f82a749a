package tracking

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
)

// mutator changes requests on the wire: blindly, and in the ways that readers of requests disagree on.
type mutator struct {
	*rand.Rand
	samples [][]byte
}

func (m mutator) mutate(raw []byte) []byte {
	mutations := []func([]byte) []byte{
		m.flip, m.replace, m.insert, m.cut, m.repeat, m.truncate, m.splice, m.escape, m.unescape, m.changeCase,
		m.pairs, m.pairs, m.pairs, m.header, m.header, m.path, m.body, m.moveToBody, m.signature,
	}
	return mutations[m.IntN(len(mutations))](raw)
}

func (m mutator) at(raw []byte) int { return m.IntN(len(raw) + 1) }

func (m mutator) span(raw []byte) (from, to int) {
	from = m.at(raw)
	return from, min(len(raw), from+1+m.IntN(8))
}

func spliced(raw []byte, from, to int, middle ...byte) []byte {
	return append(append(append([]byte{}, raw[:from]...), middle...), raw[to:]...)
}

func (m mutator) flip(raw []byte) []byte {
	if i := m.at(raw); i < len(raw) {
		raw[i] ^= 1 << m.IntN(8)
	}
	return raw
}

// telling are the bytes that mean something to one reader or another.
const telling = "&=;%+ ?#/\\:,.-_~\"'<>{}[]\x00\t\r\n\xff0aA9"

func (m mutator) byte() byte { return telling[m.IntN(len(telling))] }

func (m mutator) replace(raw []byte) []byte {
	if i := m.at(raw); i < len(raw) {
		raw[i] = m.byte()
	}
	return raw
}

func (m mutator) insert(raw []byte) []byte {
	i := m.at(raw)
	return spliced(raw, i, i, m.byte())
}

func (m mutator) cut(raw []byte) []byte {
	from, to := m.span(raw)
	return spliced(raw, from, to)
}

func (m mutator) repeat(raw []byte) []byte {
	from, to := m.span(raw)
	return spliced(raw, to, to, raw[from:to]...)
}

func (m mutator) truncate(raw []byte) []byte { return raw[:m.at(raw)] }

// splice continues with another sample.
func (m mutator) splice(raw []byte) []byte {
	other := m.samples[m.IntN(len(m.samples))]
	if m.IntN(2) == 0 {
		return append(append([]byte{}, raw[:m.at(raw)]...), other[m.at(other):]...)
	}
	// Line for line: one sample's request line with another's headers and body.
	mine, _, _ := bytes.Cut(raw, []byte("\r\n"))
	_, theirs, _ := bytes.Cut(other, []byte("\r\n"))
	return append(append(append([]byte{}, mine...), "\r\n"...), theirs...)
}

// escape writes a byte in percent-encoding, unescape undoes one.
func (m mutator) escape(raw []byte) []byte {
	i := m.at(raw)
	if i == len(raw) {
		return raw
	}
	format := "%%%02X"
	if m.IntN(2) == 0 {
		format = "%%%02x"
	}
	return spliced(raw, i, i+1, fmt.Appendf(nil, format, raw[i])...)
}

func (m mutator) unescape(raw []byte) []byte {
	i := bytes.IndexByte(raw, '%')
	if i < 0 || i+3 > len(raw) {
		return raw
	}
	value, err := strconv.ParseUint(string(raw[i+1:i+3]), 16, 8)
	if err != nil {
		return raw
	}
	return spliced(raw, i, i+3, byte(value))
}

func (m mutator) changeCase(raw []byte) []byte {
	from, to := m.span(raw)
	if m.IntN(2) == 0 {
		return spliced(raw, from, to, bytes.ToUpper(raw[from:to])...)
	}
	return spliced(raw, from, to, bytes.ToLower(raw[from:to])...)
}

// onTarget changes the path and query of the request line.
func onTarget(raw []byte, change func(path, query string) (string, string)) []byte {
	method, rest, _ := bytes.Cut(raw, []byte(" "))
	target, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return raw
	}
	path, query, _ := strings.Cut(string(target), "?")
	path, query = change(path, query)
	return fmt.Appendf(nil, "%s %s?%s %s", method, path, query, rest)
}

// values that a thief would like to see instead.
var values = []string{"999", "0", "", "2.50", "level-9", "%32.50", "01890000-0000-7000-8000-000000000000", "l", "json"}

var pairNames = []string{
	"amount", "cnv_amount", "transaction_id", "gk_click_id", "goal_name", "goal_id", "cnv_event_id", "cnv_sub_1", "adv_sub", "format", "a",
	"of_signature", "of%5Fsignature", "of_nonce", "of_timestamp", "OF_SIGNATURE", "security_token", "of_signature ", "cnv%5Famount",
}

// pairs reorders, doubles, drops, adds or re-encodes parameters.
func (m mutator) pairs(raw []byte) []byte {
	return onTarget(raw, func(path, query string) (string, string) {
		all := strings.Split(query, "&")
		i := m.IntN(len(all))
		name, value, _ := strings.Cut(all[i], "=")
		switch m.IntN(9) {
		case 0:
			m.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		case 1:
			all = append(all, all[i])
		case 2:
			all = append(all[:i:i], all[i+1:]...)
		case 3:
			all = append(all, name+"="+values[m.IntN(len(values))])
		case 4:
			all = append([]string{name + "=" + values[m.IntN(len(values))]}, all...)
		case 5:
			all = append(all, pairNames[m.IntN(len(pairNames))]+"="+values[m.IntN(len(values))])
		case 6:
			all[i] = name + "=" + values[m.IntN(len(values))]
		case 7:
			all = append(all, "", "")
		default:
			all[i] = strings.ReplaceAll(name, "_", "%5f") + "=" + value
		}
		return path, strings.Join(all, "&")
	})
}

func (m mutator) header(raw []byte) []byte {
	lines := []string{
		"Content-Type: application/json", "Content-Type: multipart/form-data; boundary=b0", "Content-Type: image/png", "Content-Type: text/xml",
		"X-HTTP-Method-Override: POST", "X-Original-URL: /track?gk_click_id=x", "Cookie: of_AAAAAAAAAAAAAAAAAAAAAA=01890000-0000-7000-8000-000000000000",
		"of_signature: 00", "of_timestamp: 1778673600", "of_nonce: 87654321", "Of-Signature: x", "Transfer-Encoding: chunked", "Content-Length: 3",
		"Content-Encoding: gzip", "X-Forwarded-For: 198.51.100.7", "Expect: 100-continue", "Host: elsewhere.example",
	}
	line := lines[m.IntN(len(lines))] + "\r\n"
	before, after, ok := bytes.Cut(raw, []byte("\r\n"))
	if !ok {
		return raw
	}
	if name, _, _ := strings.Cut(line, ":"); m.IntN(2) == 0 { // in place of the one that is there
		if i := bytes.Index(after, []byte("\r\n"+name+":")); i >= 0 {
			end := bytes.Index(after[i+2:], []byte("\r\n"))
			return append(append(append([]byte{}, before...), "\r\n"...), spliced(after, i+2, i+2+max(end, 0)+2, []byte(line)...)...)
		}
	}
	return append(append(append(append([]byte{}, before...), "\r\n"...), line...), after...)
}

func (m mutator) path(raw []byte) []byte {
	return onTarget(raw, func(path, query string) (string, string) {
		paths := []string{"/track", "/track/key", "/track/yek", "/postback", "/aff_lsr", "/aff_l", "/aff_goal", "/pixel.gif", path + "/", "/" + path, path + "A",
			"http://offers.example" + path, "/x/.." + path, strings.ToUpper(path), path + ";x", path + "%00", path + "#"}
		return paths[m.IntN(len(paths))], query
	})
}

// withBody replaces the body, its length made right.
func withBody(raw []byte, change func(string) string) []byte {
	head, body, ok := bytes.Cut(raw, []byte("\r\n\r\n"))
	i := bytes.LastIndex(head, []byte("Content-Length:"))
	if !ok || i < 0 {
		return raw
	}
	text := change(string(body))
	return fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", head[:i], len(text), text)
}

func (m mutator) body(raw []byte) []byte {
	return withBody(raw, func(body string) string {
		switch m.IntN(5) {
		case 0:
			return body + "&cnv_amount=999"
		case 1:
			return `{"cnv_amount":999}`
		case 2:
			return body[:m.IntN(len(body)+1)]
		case 3:
			return strings.ReplaceAll(body, "2.50", "999")
		default:
			return body + "\n"
		}
	})
}

// moveToBody sends the query as a form.
func (m mutator) moveToBody(raw []byte) []byte {
	moved := ""
	raw = onTarget(raw, func(path, query string) (string, string) { moved = query; return path, "" })
	raw = bytes.Replace(raw, []byte("GET "), []byte("POST "), 1)
	return withBody(raw, func(string) string { return moved })
}

// bytes.ToLower would not do: it makes bytes that are no UTF-8 longer.
var signatureHeader = regexp.MustCompile(`(?i:of-signature: )`)

// signature writes the signature in another way, or a part of it.
func (m mutator) signature(raw []byte) []byte {
	found := signatureHeader.FindIndex(raw)
	if found == nil {
		return raw
	}
	i := found[1]
	end := i + max(0, bytes.IndexByte(raw[i:], '\r'))
	text := string(raw[i:end])
	forms := []string{strings.ToUpper(text), text + "=", text[:len(text)/2], " " + text + " ", "sha256=" + text, strings.Repeat("0", len(text)), text + text}
	return spliced(raw, i, end, []byte(forms[m.IntN(len(forms))])...)
}
