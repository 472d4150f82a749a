package domain

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
)

// SignatureParam is the parameter that a query is signed without.
const SignatureParam = "of_signature"

// CanonicalPostback is the text that a signed postback signs (rule 67): six lines, joined by a
// line feed each, without one at the end:
//
//		POST
//		/track/kd93jf0s
//		cnv_amount=2.50&cnv_event_id=purchase&gk_click_id=0190…
//		e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
//		1767225600
//		4f1c9a7e2b
//
//	 1. the method in upper case;
//	 2. the path of the address as sent, percent-encoding included, without the query;
//	 3. the query's pairs exactly as sent, sorted by name and then by value (byte order of what was
//	    sent), joined by '&', without of_signature; empty when there is no query. of_timestamp and
//	    of_nonce stay in it where they are parameters and not headers;
//	 4. SHA-256 of the body's bytes in lower-case hex; of nothing for a request without a body;
//	 5. of_timestamp as sent: Unix seconds;
//	 6. of_nonce as sent: 8 to 128 letters, digits and -._~, never used before.
//
// of_signature is the HMAC-SHA256 of that text under the advertiser's signing secret (its bytes as
// shown), in hex or base64. of_timestamp, of_nonce and of_signature are sent as headers of those
// names (a hyphen may stand for the underscore, since some proxies drop headers with underscores)
// or as parameters of the query, never of the body, whose hash they could not be part of.
//
// No header is signed, the Content-Type neither: whoever reads a signed body goes by its bytes.
func CanonicalPostback(method, path, rawQuery string, body []byte, timestamp, nonce string) string {
	sum := sha256.Sum256(body)
	return strings.Join([]string{
		strings.ToUpper(method), path, sortedQuery(rawQuery), hex.EncodeToString(sum[:]), timestamp, nonce,
	}, "\n")
}

// sortedQuery keeps the pairs as they were sent: decoding and encoding again would leave room for
// two readings of one text. Only the name of the pair to leave out is decoded, so that no spelling
// of it stays in.
func sortedQuery(raw string) string {
	var pairs []string
	for pair := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		if pair != "" && name != SignatureParam {
			pairs = append(pairs, pair)
		}
	}
	slices.SortFunc(pairs, func(a, b string) int {
		nameA, valueA, _ := strings.Cut(a, "=")
		nameB, valueB, _ := strings.Cut(b, "=")
		if order := strings.Compare(nameA, nameB); order != 0 {
			return order
		}
		return strings.Compare(valueA, valueB)
	})
	return strings.Join(pairs, "&")
}

// SignPostback is the signature of a canonical text in lower-case hex.
func SignPostback(secret []byte, canonical string) string {
	return hex.EncodeToString(postbackMAC(secret, canonical))
}

// SignatureMatches says whether signature, in hex or in base64 of either alphabet, with or without
// padding, is that of the canonical text. The comparison takes the same time whatever it finds.
func SignatureMatches(secret []byte, canonical, signature string) bool {
	given, err := hex.DecodeString(signature)
	if err != nil {
		text := strings.NewReplacer("-", "+", "_", "/", "=", "", " ", "+").Replace(signature)
		given, err = base64.RawStdEncoding.DecodeString(text)
	}
	if err != nil || len(secret) == 0 {
		return false
	}
	return subtle.ConstantTimeCompare(given, postbackMAC(secret, canonical)) == 1
}

func postbackMAC(secret []byte, canonical string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(canonical))
	return mac.Sum(nil)
}
