package domain

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// SignatureKind is how callbacks are signed, after the Standard Webhooks specification.
type SignatureKind string

// The kinds: a shared secret with HMAC-SHA256, or a key pair with ed25519.
const (
	SignatureV1  SignatureKind = "v1"
	SignatureV1a SignatureKind = "v1a"
)

// The prefixes by which keys are told apart.
const (
	secretPrefix     = "whsec_"
	privateKeyPrefix = "whsk_"
	publicKeyPrefix  = "whpk_"
)

// SigningSeedBytes is how many random bytes NewSigningSecret takes.
const SigningSeedBytes = ed25519.SeedSize

var errSigningSecret = errors.New("malformed signing secret")

// NewSigningSecret makes the text of a secret from random bytes: whsec_… or whsk_….
func NewSigningSecret(kind SignatureKind, seed [SigningSeedBytes]byte) string {
	if kind == SignatureV1a {
		return privateKeyPrefix + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(seed[:]))
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(seed[:])
}

// SigningPublicKey is the whpk_… text that belongs to a whsk_… secret.
func SigningPublicKey(secret string) (string, error) {
	key, err := privateKey(secret)
	if err != nil {
		return "", err
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return "", errSigningSecret
	}
	return publicKeyPrefix + base64.StdEncoding.EncodeToString(public), nil
}

// SignCallback is the webhook-signature header of one message: a signature by each secret, parted
// by spaces, so that both of a rotation verify. The prefix of a secret says which kind it is.
func SignCallback(secrets []string, messageID string, at time.Time, body []byte) (string, error) {
	signed := messageID + "." + strconv.FormatInt(at.Unix(), 10) + "." + string(body)
	signatures := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		signature, err := sign(secret, signed)
		if err != nil {
			return "", err
		}
		signatures = append(signatures, signature)
	}
	return strings.Join(signatures, " "), nil
}

func sign(secret, text string) (string, error) {
	if strings.HasPrefix(secret, privateKeyPrefix) {
		key, err := privateKey(secret)
		if err != nil {
			return "", err
		}
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(text))), nil
	}
	encoded, isShared := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !isShared || len(key) == 0 {
		return "", errSigningSecret
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

func privateKey(secret string) (ed25519.PrivateKey, error) {
	encoded, isPrivate := strings.CutPrefix(secret, privateKeyPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !isPrivate || len(key) != ed25519.PrivateKeySize {
		return nil, errSigningSecret
	}
	return key, nil
}

// maxHeaderValue bounds the tenant's own header, so that no receiver's limit is met by accident.
const maxHeaderValue = 4096

// headersOfOurs are set by us or by the transport; a tenant's own header must be another one.
var headersOfOurs = map[string]bool{
	"host": true, "content-length": true, "content-type": true, "content-encoding": true, "transfer-encoding": true,
	"connection": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true, "upgrade": true,
	"expect": true, "accept-encoding": true, "user-agent": true, "idempotency-key": true, "x-idempotency-key": true,
}

// CheckCallbackHeader says what is wrong with the tenant's own header, or nil. Line breaks and
// other control characters are refused: they would let a value add headers of its own.
func CheckCallbackHeader(name, value string) error {
	const tokens = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
	lower := strings.ToLower(name)
	switch {
	case name == "" && value != "":
		return errors.New("a header value needs a header name")
	case len(name) > 128:
		return errors.New("the header name is longer than 128 characters")
	case strings.Trim(lower, tokens) != "":
		return errors.New("not a header name")
	case headersOfOurs[lower], strings.HasPrefix(lower, "webhook-"), strings.HasPrefix(lower, "proxy-"):
		return fmt.Errorf("the header %s is set by the sender", name)
	case len(value) > maxHeaderValue:
		return fmt.Errorf("the header value is longer than %d bytes", maxHeaderValue)
	}
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c > '~' {
			return errors.New("a header value is printable ASCII")
		}
	}
	return nil
}
