package e2e

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// callback is one message as the receiver got it.
type callback struct {
	ID     string `json:"id"`
	header http.Header
	body   string

	Sequence   int64 `json:"sequence"`
	Conversion struct {
		ConversionID, Status, PubMemberID, RewardPoints string
		IsTest                                          bool
	} `json:"conversion"`
}

// verifies says whether one of the signatures is right under a key of either kind, by the Standard
// Webhooks specification.
func (c callback) verifies(key string) bool {
	kind, encoded, _ := strings.Cut(key, "_")
	bytes, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return false
	}
	signed := []byte(c.header.Get("Webhook-Id") + "." + c.header.Get("Webhook-Timestamp") + "." + c.body)
	for signature := range strings.SplitSeq(c.header.Get("Webhook-Signature"), " ") {
		version, text, _ := strings.Cut(signature, ",")
		given, err := base64.StdEncoding.DecodeString(text)
		switch {
		case err != nil:
		case version == "v1" && kind == "whsec":
			mac := hmac.New(sha256.New, bytes)
			mac.Write(signed)
			if hmac.Equal(mac.Sum(nil), given) {
				return true
			}
		case version == "v1a" && kind == "whpk" && ed25519.Verify(bytes, signed, given):
			return true
		}
	}
	return false
}

// receiver is the tenant's own server.
type receiver struct {
	*httptest.Server
	answer atomic.Int32
	mu     sync.Mutex
	got    []callback
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.answer.Store(http.StatusNoContent)
	r.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		body, err := io.ReadAll(in.Body)
		one := callback{header: in.Header, body: string(body)}
		if err == nil {
			err = json.Unmarshal(body, &one)
		}
		if err != nil {
			t.Errorf("callback: %v: %s", err, body)
		}
		r.mu.Lock()
		r.got = append(r.got, one)
		r.mu.Unlock()
		out.WriteHeader(int(r.answer.Load()))
	}))
	t.Cleanup(r.Close)
	return r
}

// next waits for the n-th message.
func (r *receiver) next(t *testing.T, n int) callback {
	t.Helper()
	until(t, patience, "the callback", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.got) >= n
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[n-1]
}

type secrets struct{ SigningSecret, PublicKey string }

const endpoint = "/api/v1/callback-endpoint"

func (s *shop) putEndpoint(t *testing.T, fields map[string]any) secrets {
	t.Helper()
	var made secrets
	check(t, s.Call(t.Context(), http.MethodPut, endpoint, fields, &made))
	noteSecrets(made.SigningSecret)
	return made
}

func (s *shop) testEndpoint(t *testing.T) (deliveryID string) {
	t.Helper()
	var sent struct{ ID string }
	check(t, s.Call(t.Context(), http.MethodPost, endpoint+"/test", nil, &sent))
	return sent.ID
}

func TestCallbacks(t *testing.T) {
	const headerValue = "e2e-header-value-330b"
	noteSecrets(headerValue)
	s, r := newShop(t, nil), newReceiver(t)
	fields := map[string]any{"url": r.URL + "/hook", "events": []string{"success", "pending", "rejected"}, "headerName": "X-App-Key", "headerValue": headerValue}
	first := s.putEndpoint(t, fields)
	_, link := s.single(t, nil)
	converted := s.convert(t, s.click(t, link, "pub_member_id", "ann"), "", "accepted")
	got := r.next(t, 1)
	c := got.Conversion
	if !got.verifies(first.SigningSecret) || got.header.Get("X-App-Key") != headerValue || got.ID != got.header.Get("Webhook-Id") {
		t.Errorf("headers %v", got.header)
	}
	if c.ConversionID != converted.ConversionID || c.Status != "Success" || c.PubMemberID != "ann" || c.RewardPoints != "100.00" || c.IsTest {
		t.Errorf("%s", got.body)
	}
	var rotated secrets
	check(t, s.Call(t.Context(), http.MethodPost, endpoint+"/rotate", nil, &rotated))
	noteSecrets(rotated.SigningSecret)
	s.testEndpoint(t)
	got = r.next(t, 2)
	if !got.Conversion.IsTest || !got.verifies(first.SigningSecret) || !got.verifies(rotated.SigningSecret) || first.SigningSecret == rotated.SigningSecret {
		t.Error("after a rotation both secrets sign")
	}
	fields["signature"] = "v1a"
	pair := s.putEndpoint(t, fields)
	s.testEndpoint(t)
	if got = r.next(t, 3); !got.verifies(pair.PublicKey) || !got.verifies(rotated.SigningSecret) || pair.SigningSecret != "" {
		t.Error("after a change of kind both keys sign, and the private key is not shown")
	}
	s.resend(t, r, converted.ConversionID)
	s.reversal(t, r, converted.ConversionID)
	s.gone(t, r, fields)
}

func (s *shop) resend(t *testing.T, r *receiver, conversionID string) {
	t.Helper()
	var page blackbox.Page[struct {
		ID, State string
		Attempts  []struct{ StatusCode int }
	}]
	check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/deliveries?filter.Conversion="+conversionID, nil, &page))
	if len(page.Items) != 1 || page.Items[0].State != "delivered" || len(page.Items[0].Attempts) != 1 {
		t.Fatalf("%+v", page.Items)
	}
	check(t, s.Call(t.Context(), http.MethodPost, "/api/v1/deliveries/"+page.Items[0].ID+"/resend", nil, nil))
	if again := r.next(t, 4); again.ID != r.next(t, 1).ID || again.Conversion.ConversionID != conversionID {
		t.Errorf("sent again as %s", again.ID)
	}
}

func (s *shop) reversal(t *testing.T, r *receiver, conversionID string) {
	t.Helper()
	_, err := s.Review(t.Context(), "reverse", conversionID)
	check(t, err)
	if got := r.next(t, 5); got.Conversion.ConversionID != conversionID || got.Conversion.Status != "Rejected" || got.Sequence != 2 {
		t.Errorf("%s", got.body)
	}
}

// gone answers 410: the endpoint is disabled until it is put again.
func (s *shop) gone(t *testing.T, r *receiver, fields map[string]any) {
	t.Helper()
	r.answer.Store(http.StatusGone)
	s.testEndpoint(t)
	var now struct{ DisabledAt *string }
	until(t, patience, "the endpoint to be disabled", func() bool {
		check(t, s.Call(t.Context(), http.MethodGet, endpoint, nil, &now))
		return now.DisabledAt != nil
	})
	var status *blackbox.StatusError
	if err := s.Call(t.Context(), http.MethodPost, endpoint+"/test", nil, nil); !errors.As(err, &status) || status.Status != http.StatusConflict {
		t.Errorf("a disabled endpoint was tested: %v", err)
	}
	r.answer.Store(http.StatusOK)
	s.putEndpoint(t, fields)
	s.testEndpoint(t)
	r.next(t, 7)
}
