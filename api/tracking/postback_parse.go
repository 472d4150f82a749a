package tracking

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/offerflow/offerflow/domain"
)

// Sizes of a postback. What is larger is refused as malformed, by name, and kept in the log cut.
const (
	maxPostbackBody  = 64 << 10
	maxPostbackQuery = 16 << 10
	maxPostbackPairs = 200
	maxPostbackField = 1024
	// maxLogged bounds the log row of one postback, and with it the message in the stream.
	maxLogged = 64 << 10
)

// pair is one parameter as it was sent, decoded.
type pair struct{ name, value string }

// sentPairs are a postback's parameters by where they stood.
type sentPairs struct{ query, body []pair }

func (s sentPairs) all() []pair { return append(s.query[:len(s.query):len(s.query)], s.body...) }

// readPairs gathers a postback's parameters: those of the query, and those of the body, a form or a
// JSON object. The query counts before the body: it is what the advertiser set up, while a body
// often holds the sender's own record of the same event.
func readPairs(r *http.Request, body []byte) (sentPairs, *domain.FieldError) {
	sent := sentPairs{query: queryPairs(r.URL.RawQuery)}
	if len(r.URL.RawQuery) > maxPostbackQuery {
		return sent, &domain.FieldError{Field: "query", Reason: "is longer than 16 KiB"}
	}
	if len(body) > maxPostbackBody {
		return sent, &domain.FieldError{Field: "body", Reason: "is longer than 64 KiB"}
	}
	var err error
	sent.body, err = bodyPairs(bodyType(r, sent.query, body), body)
	switch {
	case err != nil:
		return sent, &domain.FieldError{Field: "body", Reason: err.Error()}
	case len(sent.query)+len(sent.body) > maxPostbackPairs:
		return sent, &domain.FieldError{Field: "query", Reason: "has, together with the body, more than 200 parameters"}
	}
	return sent, nil
}

// bodyType is what the sender says, or for a signed postback what the body itself looks like: the
// header is no part of what is signed, and must not give a signed body another meaning.
func bodyType(r *http.Request, query []pair, body []byte) string {
	if signatureField(r, query, domain.SignatureParam) == "" {
		return r.Header.Get("Content-Type")
	}
	switch trimmed := trimmedBody(body); {
	case bytes.HasPrefix(trimmed, []byte("--")):
		boundary, _, _ := bytes.Cut(trimmed[2:], []byte("\n"))
		return mime.FormatMediaType("multipart/form-data", map[string]string{"boundary": string(bytes.TrimSpace(boundary))})
	case bytes.HasPrefix(trimmed, []byte("{")), bytes.HasPrefix(trimmed, []byte("[")):
		return "application/json"
	case bytes.HasPrefix(trimmed, []byte("<")):
		return "text/xml"
	default:
		return "application/x-www-form-urlencoded"
	}
}

// trimmedBody is a body without blanks around it and a byte order mark before it (rule 71).
func trimmedBody(body []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\uFEFF")))
}

// queryPairs splits on ampersands only. A pair that is wrongly encoded is taken as it was sent, so
// that a stray percent sign in one parameter does not cost a member the reward.
func queryPairs(query string) []pair {
	var pairs []pair
	for text := range strings.SplitSeq(query, "&") {
		if text == "" {
			continue
		}
		name, value, _ := strings.Cut(text, "=")
		pairs = append(pairs, pair{unescaped(name), unescaped(value)})
		if len(pairs) > maxPostbackPairs {
			break
		}
	}
	return pairs
}

// bodyPairs reads a body by its type; one that starts like a JSON object is taken for one whatever
// the type says. A body of another type is left alone: the signature covers it all the same.
func bodyPairs(contentType string, body []byte) ([]pair, error) {
	kind, options, _ := mime.ParseMediaType(contentType)
	trimmed := trimmedBody(body)
	switch {
	case len(trimmed) == 0, string(trimmed) == "null":
		return nil, nil
	case kind == "multipart/form-data":
		return multipartPairs(body, options["boundary"])
	case trimmed[0] == '{', kind == "application/json", strings.HasSuffix(kind, "+json"):
		return jsonPairs(trimmed)
	case kind == "application/x-www-form-urlencoded", kind == "", kind == "text/plain":
		return queryPairs(string(trimmed)), nil
	default:
		return nil, nil
	}
}

func multipartPairs(body []byte, boundary string) ([]pair, error) {
	var pairs []pair
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return pairs, nil
		}
		if err != nil || boundary == "" {
			return pairs, errors.New("is not a multipart form")
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return pairs, errors.New("is not a multipart form")
		}
		if len(pairs) > maxPostbackPairs {
			return pairs, nil // refused by their number
		}
		pairs = append(pairs, pair{part.FormName(), string(value)})
	}
}

// jsonPairs are the members of a JSON object in their order, repeats included, which a map would
// hide. Numbers keep their digits as sent (rule 35); null is nothing; a nested value is its JSON.
func jsonPairs(body []byte) ([]pair, error) {
	bad := errors.New("is not a JSON object")
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, bad
	}
	var pairs []pair
	for decoder.More() {
		token, err := decoder.Token()
		name, isName := token.(string)
		var value json.RawMessage
		if err != nil || !isName || decoder.Decode(&value) != nil {
			return pairs, bad
		}
		if len(pairs) <= maxPostbackPairs {
			pairs = append(pairs, pair{name, jsonText(value)})
		}
	}
	if _, err := decoder.Token(); err != nil || decoder.More() {
		return pairs, bad
	}
	return pairs, nil
}

func jsonText(value json.RawMessage) string {
	var text string
	switch {
	case string(value) == "null":
		return ""
	case json.Unmarshal(value, &text) == nil:
		return text
	default:
		return string(value)
	}
}

// logged are all parameters as the log keeps them: clean, bounded, secrets and personal data
// replaced. Of a name that is given more than once the values stand side by side.
func logged(pairs []pair) map[string]string {
	params, size := map[string]string{}, 0
	for _, p := range pairs {
		name, value := domain.Truncated(p.name, 128), loggedValue(p.name, p.value)
		if size += len(name) + len(value); size > maxLogged {
			break
		}
		if earlier, ok := params[name]; ok && earlier != value {
			value = domain.Truncated(earlier+", "+value, maxPostbackField)
		}
		params[name] = value
	}
	return params
}

// replaced stands in the log where a secret was.
const replaced = "***"

// secretWords mark parameters that senders keep secret, whatever they are for.
var secretWords = []string{"token", "signature", "secret", "password", "passwd", "api_key", "apikey", "authorization"}

func loggedValue(name, value string) string {
	lower := strings.ToLower(name)
	if nested := strings.HasPrefix(value, "{") || strings.HasPrefix(value, "["); nested {
		lower += strings.ToLower(value) // a secret may stand inside
	}
	for _, word := range secretWords {
		if strings.Contains(lower, word) && value != "" {
			return replaced
		}
	}
	if strings.Contains(lower, "email") {
		return maskedEmail(value)
	}
	return domain.Truncated(value, maxPostbackField)
}

// maskedEmail keeps what helps in finding a mistake, and not whose address it was.
func maskedEmail(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		if address == "" {
			return ""
		}
		return replaced
	}
	return replaced + domain.Truncated(address[at:], 255)
}
