package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// PostbackSecurity is what a tenant asks of postbacks (rule 78).
type PostbackSecurity string

// A keyed tenant's postbacks must come by an address that only the advertiser knows, or pass the
// advertiser's own security. An open tenant's need a click id and nothing else.
const (
	PostbackSecurityKeyed PostbackSecurity = "keyed"
	PostbackSecurityOpen  PostbackSecurity = "open"
)

// What Postback.AdvertiserKey says of the address that a postback came by. Messages of the release
// before hold the key itself there, or nothing: how they came is not known, and they count as they did.
const (
	// keyHashPrefix stands before the hash of a key. The SQL of SystemLogRefused knows it too.
	keyHashPrefix = "sha256:"
	// SentWithoutKey is for an address without an advertiser's key.
	SentWithoutKey = "-"
	// SentByPixel is for a pixel, which stands on a public page.
	SentByPixel = "pixel"
)

// replacedKey stands in paths where a key was.
const replacedKey = "***"

// AdvertiserKeyHash is what a key is stored and looked up by. Keys are random, of 80 bits at least, so
// that a plain hash gives nothing away. Upper and lower case are the same: keys have letters of one case.
func AdvertiserKeyHash(key string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(key)))
	return hex.EncodeToString(sum[:])
}

// SentByKey is what Postback.AdvertiserKey holds for a key.
func SentByKey(key string) string { return keyHashPrefix + AdvertiserKeyHash(key) }

// KeyHash is the hash of the key that the postback came by; empty without one.
func (p *Postback) KeyHash() string {
	hash, ok := strings.CutPrefix(p.AdvertiserKey, keyHashPrefix)
	if !ok {
		return ""
	}
	return hash
}

// ByPixel says that a page loaded it.
func (p *Postback) ByPixel() bool { return p.AdvertiserKey == SentByPixel }

// saysHow says that it is known how the postback came: those of the release before do not say.
func (p *Postback) saysHow() bool {
	return p.KeyHash() != "" || p.AdvertiserKey == SentWithoutKey || p.ByPixel()
}

// keyedPaths are the paths that a key stands behind.
var keyedPaths = []string{"/track/", "/postback/", "/api/v1/conversion/"}

// PathWithoutKey is a path as logs show it: what stands where a key belongs is replaced, right or wrong.
func PathWithoutKey(path string) string {
	for _, prefix := range keyedPaths {
		if len(path) > len(prefix) && strings.EqualFold(path[:len(prefix)], prefix) {
			return path[:len(prefix)] + replacedKey
		}
	}
	return path
}
