package domain

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func TestSignaturesVerifyWithTheReferenceLibrary(t *testing.T) {
	t.Parallel()
	now, body := time.Now(), []byte(`{"id":"x","sequence":1}`)
	current := NewSigningSecret(SignatureV1, [SigningSeedBytes]byte{1})
	previous := NewSigningSecret(SignatureV1, [SigningSeedBytes]byte{2})
	foreign := NewSigningSecret(SignatureV1, [SigningSeedBytes]byte{3})
	signature, err := SignCallback([]string{current, previous}, "message-1", now, body)
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	header.Set("webhook-id", "message-1")
	header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	header.Set("webhook-signature", signature)
	for secret, want := range map[string]bool{current: true, previous: true, foreign: false} {
		hook, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if got := hook.Verify(body, header) == nil; got != want {
			t.Errorf("%s verifies: %v", secret, got)
		}
		if want && hook.Verify(append([]byte(" "), body...), header) == nil {
			t.Error("a changed body verifies")
		}
	}
}

func TestKeyPairSignatures(t *testing.T) {
	t.Parallel()
	now, body := time.Unix(1_700_000_000, 0), []byte("{}")
	secret := NewSigningSecret(SignatureV1a, [SigningSeedBytes]byte{7})
	public, err := SigningPublicKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "whsk_") || !strings.HasPrefix(public, "whpk_") {
		t.Fatalf("prefixes: %.6s %.6s", secret, public)
	}
	shared := NewSigningSecret(SignatureV1, [SigningSeedBytes]byte{8})
	header, err := SignCallback([]string{secret, shared}, "m", now, body)
	if err != nil {
		t.Fatal(err)
	}
	kinds := strings.Fields(header)
	if len(kinds) != 2 || !strings.HasPrefix(kinds[1], "v1,") {
		t.Fatalf("a change of kind keeps both signatures: %q", header)
	}
	encoded, _ := strings.CutPrefix(kinds[0], "v1a,")
	signature, _ := base64.StdEncoding.DecodeString(encoded)
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(public, "whpk_"))
	if !ed25519.Verify(key, []byte("m.1700000000.{}"), signature) {
		t.Error("the public key does not verify the signature")
	}
}

func TestMalformedSecretsSignNothing(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"", "whsec_", "whsec_!!", "whsk_AAAA", "plain", "whpk_AAAA"} {
		if header, err := SignCallback([]string{secret}, "m", time.Now(), nil); err == nil {
			t.Errorf("%q signs %q", secret, header)
		}
	}
	if _, err := SigningPublicKey(NewSigningSecret(SignatureV1, [SigningSeedBytes]byte{})); err == nil {
		t.Error("a shared secret has a public key")
	}
}
