package activities

import (
	"context"
	"crypto/subtle"
	"net/netip"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// secured enforces the advertiser's security (rule 67). It sets w.refused. What a person uploaded, or
// sent as a test, has passed the API's own.
func (d *Decisions) secured(ctx context.Context, w *writer) (authenticated bool, err error) {
	if w.postback.Upload != nil || w.postback.IsTest && w.scene.click.IsTest {
		return true, nil
	}
	advertiser := &w.scene.context
	security := domain.Security{
		HasToken:  advertiser.SecurityTokenHash != nil,
		HasSecret: advertiser.SigningSecretSealed != nil,
	}
	if security.HasToken {
		security.TokenOK = hashMatches(*advertiser.SecurityTokenHash, w.postback.TokenHashes)
	}
	if security.HasSecret {
		if security.SignatureOK, err = d.signed(ctx, w, *advertiser.SigningSecretSealed); err != nil {
			return false, err
		}
	}
	security.Allowlist = parsePrefixes(advertiser.IpAllowlist)
	authenticated, w.refused = security.Check(w.postback)
	return authenticated, nil
}

// signed verifies an HMAC-signed postback: signature, time, and a nonce that nobody else used.
func (d *Decisions) signed(ctx context.Context, w *writer, sealedSecret string) (bool, error) {
	signed := w.postback.Signed
	if right, err := d.rightlySigned(w.postback, sealedSecret); err != nil || !right {
		return false, err
	}
	// Only a right signature may use up a nonce.
	first, err := queries.InsertNonce(ctx, w.tx, dbgen.InsertNonceParams{
		TenantID: w.scene.click.TenantID, AdvertiserID: w.scene.click.AdvertiserID, Nonce: signed.Nonce,
		PostbackID: w.postback.ID, SeenAt: w.postback.ReceivedAt,
	})
	return err == nil && first == w.postback.ID, err
}

// rightlySigned verifies all of a signature but its nonce.
func (d *Decisions) rightlySigned(postback *domain.Postback, sealedSecret string) (bool, error) {
	signed := postback.Signed
	if signed == nil || !signed.Fresh(postback.ReceivedAt) {
		return false, nil
	}
	secret, err := d.Keys.Open(sealedSecret)
	if err != nil {
		return false, err
	}
	text, err := d.Keys.Open(signed.SealedText)
	if err != nil {
		return false, err
	}
	return domain.SignatureMatches(secret, string(text), signed.Signature), nil
}

// hashMatches compares in constant time with the hash under every secret key.
func hashMatches(want string, have []string) bool {
	matches := 0
	for _, hash := range have {
		matches |= subtle.ConstantTimeCompare([]byte(want), []byte(hash))
	}
	return matches == 1
}

func parsePrefixes(texts []string) (prefixes []netip.Prefix) {
	for _, text := range texts {
		// What cannot be read allows nobody, rather than switching the list off.
		prefixes = append(prefixes, parsePrefix(text))
	}
	return prefixes
}

// parsePrefix reads a CIDR or a single address; what is neither contains nothing.
func parsePrefix(text string) netip.Prefix {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Masked()
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen())
}
