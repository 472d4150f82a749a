package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// signing is an advertiser's own implementation of signed postbacks, written from their
// description and not with our code.
type signing struct {
	secret, method, path, body, nonce string
	query                             url.Values
	at                                time.Time
	encode                            func([]byte) string
}

func (p signing) header() []string {
	names := make([]string, 0, len(p.query))
	for name := range p.query {
		names = append(names, name)
	}
	sort.Strings(names)
	pairs := make([]string, len(names))
	for i, name := range names {
		pairs[i] = url.QueryEscape(name) + "=" + url.QueryEscape(p.query.Get(name))
	}
	body := sha256.Sum256([]byte(p.body))
	stamp := strconv.FormatInt(p.at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(p.secret))
	mac.Write([]byte(strings.Join([]string{p.method, p.path, strings.Join(pairs, "&"), hex.EncodeToString(body[:]), stamp, p.nonce}, "\n")))
	return []string{"of_timestamp", stamp, "of_nonce", p.nonce, "of_signature", p.encode(mac.Sum(nil))}
}

func TestSignedPostbacks(t *testing.T) {
	const secret = "e2e-signing-secret-of-32-bytes-or-more-c09d"
	noteSecrets(secret)
	s := newShop(t, map[string]any{"signingSecret": secret})
	_, link := s.single(t, nil)
	fresh := func() signing {
		return signing{secret: secret, method: http.MethodPost, path: "/track", at: time.Now(), nonce: uuid.NewString(), encode: hex.EncodeToString,
			query: pairs("gk_click_id", s.click(t, link), "cnv_sub_1", "a b+c"), body: `{"cnv_amount":"2.50"}`}
	}
	send := func(p signing, header []string) blackbox.Answer {
		t.Helper()
		return s.send(t, p.method, p.path+"?"+p.query.Encode(), "application/json", p.body, header...)
	}
	refused := func(what string, p signing, header []string) {
		t.Helper()
		answer := send(p, header)
		if answer.Outcome != "refused" || answer.Reason != "bad_signature" || answer.HTTPStatus != http.StatusUnauthorized {
			t.Errorf("%s: %+v", what, answer)
		}
	}
	right := fresh()
	first := send(right, right.header())
	wanted(t, first, "accepted")
	if again := send(right, right.header()); again != first {
		t.Errorf("the same signed request again: %+v, the first time %+v", again, first)
	}
	for name, encode := range map[string]func([]byte) string{"base64": base64.StdEncoding.EncodeToString, "base64url": base64.RawURLEncoding.EncodeToString} {
		p := fresh()
		p.encode = encode
		if answer := send(p, p.header()); answer.Outcome != "accepted" {
			t.Errorf("%s: %+v", name, answer)
		}
	}
	refused("unsigned", fresh(), nil)
	replayed := fresh()
	replayed.nonce = right.nonce
	refused("a nonce that was used", replayed, replayed.header())
	for _, off := range []time.Duration{-310 * time.Second, 310 * time.Second} {
		stale := fresh()
		stale.at = stale.at.Add(off)
		refused("time "+off.String(), stale, stale.header())
	}
	wrong := fresh()
	wrong.secret = "another-secret"
	refused("another secret", wrong, wrong.header())
	body := fresh()
	header := body.header()
	body.body = `{"cnv_amount":"999"}`
	refused("another body", body, header)
	query := fresh()
	header = query.header()
	query.query.Set("cnv_sub_1", "changed")
	refused("another query", query, header)
	// What was refused has used up nothing: the same nonce, signed rightly, is taken.
	query.body = `{"cnv_amount":"2.50"}`
	wanted(t, send(query, query.header()), "accepted")
}
