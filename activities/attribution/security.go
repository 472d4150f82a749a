package attribution

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// protection is what an advertiser and its tenant set to protect its postbacks.
type protection struct {
	tokenHash       *string
	secret          *string
	previousSecret  *string
	previousUntil   *time.Time
	allowlist       []string
	security        string
	keyHash         *string
	previousKeyHash *string
	previousKey     *time.Time
}

func protectionOf(c *dbgen.DecisionContextRow) protection {
	return protection{
		tokenHash: c.SecurityTokenHash, secret: c.SigningSecretSealed, previousSecret: c.PreviousSecretSealed, previousUntil: c.PreviousSecretUntil,
		allowlist: c.IpAllowlist, security: c.PostbackSecurity, keyHash: c.KeyHash, previousKeyHash: c.PreviousKeyHash, previousKey: c.PreviousKeyUntil,
	}
}

func protectionOfClick(c *dbgen.SystemClickByIDRow) protection {
	return protection{
		tokenHash: c.SecurityTokenHash, secret: c.SigningSecretSealed, previousSecret: c.PreviousSecretSealed, previousUntil: c.PreviousSecretUntil,
		allowlist: c.IpAllowlist, security: c.PostbackSecurity, keyHash: c.KeyHash, previousKeyHash: c.PreviousKeyHash, previousKey: c.PreviousKeyUntil,
	}
}

// verify judges a postback by what its advertiser and tenant set (rules 67, 78), but for the nonce. What a
// person uploaded, or sent as a test, has passed the API's own security.
func (d *Decisions) verify(p *protection, postback *domain.Postback, testClick bool) (domain.Proof, error) {
	if postback.Upload != nil || postback.IsTest && testClick {
		return domain.Proof{Authenticated: true}, nil
	}
	security := domain.Security{
		HasToken: p.tokenHash != nil, HasSecret: p.secret != nil, Allowlist: parsePrefixes(p.allowlist),
		Keyed:   p.security == string(domain.PostbackSecurityKeyed),
		KeyHash: textOf(p.keyHash), PreviousKeyHash: textOf(p.previousKeyHash), PreviousKeyUntil: p.previousKey,
	}
	if security.HasToken {
		security.TokenOK = hashMatches(*p.tokenHash, postback.TokenHashes)
	}
	if security.HasSecret {
		var err error
		if security.SignatureOK, err = d.signatureMatches(postback, p.secrets(postback.ReceivedAt)); err != nil {
			return domain.Proof{}, err
		}
	}
	return security.Check(postback), nil
}

// secrets are those that count for a postback of an instant, sealed: after a rotation both for a day.
func (p *protection) secrets(receivedAt time.Time) []string {
	secrets := []string{*p.secret}
	if p.previousSecret != nil && p.previousUntil != nil && receivedAt.Before(*p.previousUntil) {
		secrets = append(secrets, *p.previousSecret)
	}
	return secrets
}

func textOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// authenticate enforces rules 67 and 78: it sets w.proof, and w.first where an earlier request was the same.
func (d *Decisions) authenticate(ctx context.Context, w *decisionTx) (err error) {
	guard := protectionOf(&w.state.context)
	if w.proof, err = d.verify(&guard, w.postback, w.state.click.IsTest); err != nil || w.proof.Refused != domain.ReasonNone {
		return err
	}
	exempt := w.postback.Upload != nil || w.postback.IsTest && w.state.click.IsTest
	if guard.secret == nil || exempt {
		return nil
	}
	return d.useNonce(ctx, w)
}

// heldProof is what a held postback proved when it came. A key was right then, or it would not be held.
func (w *decisionTx) heldProof(authenticated bool) domain.Proof {
	keyed := w.state.context.PostbackSecurity == string(domain.PostbackSecurityKeyed)
	return domain.Proof{Authenticated: authenticated, ByKey: w.postback.KeyHash() != "", Forgeable: keyed && w.postback.ByPixel()}
}

// useNonce uses up the nonce of a request that passed everything else. One that was used already is
// refused, unless the very same request came before: it gets the answer of the first.
func (d *Decisions) useNonce(ctx context.Context, w *decisionTx) error {
	content, err := d.contentHash(w.postback.Signed)
	if err != nil {
		return err
	}
	first, err := queries.InsertNonce(ctx, w.tx, dbgen.InsertNonceParams{
		TenantID: w.state.click.TenantID, AdvertiserID: w.state.click.AdvertiserID, Nonce: w.postback.Signed.Nonce,
		PostbackID: w.postback.ID, SeenAt: w.postback.ReceivedAt, ContentHash: content,
	})
	if err != nil || first.PostbackID == w.postback.ID {
		return err
	}
	if first.ContentHash == content {
		row, err := queries.GetPostback(ctx, w.tx, w.state.click.TenantID, first.PostbackID)
		if err == nil {
			w.first = &row
		}
		if !errors.Is(err, pgx.ErrNoRows) { // without its row nobody knows the first answer
			return err
		}
	}
	w.proof = domain.Proof{Refused: domain.ReasonBadSignature, Detail: domain.NonceFault(w.postback.Signed.Nonce)}
	return nil
}

// contentHash stands for all that was signed, nonce and time included.
func (d *Decisions) contentHash(signed *domain.Signed) (string, error) {
	text, err := d.Keys.Open(signed.SealedText)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// signatureMatches verifies all of a signature but its nonce, under any of the secrets.
func (d *Decisions) signatureMatches(postback *domain.Postback, secrets []string) (bool, error) {
	signed := postback.Signed
	if !signed.Complete() || !signed.Fresh(postback.ReceivedAt) {
		return false, nil
	}
	text, err := d.Keys.Open(signed.SealedText)
	if err != nil {
		return false, err
	}
	for _, sealed := range secrets {
		secret, err := d.Keys.Open(sealed)
		if err != nil {
			return false, err
		}
		if domain.SignatureMatches(secret, string(text), signed.Signature) {
			return true, nil
		}
	}
	return false, nil
}

// repeatAnswer answers the same signed request as the first time. The log says so of this one, and counts
// it as made nothing.
func (w *decisionTx) repeatAnswer(ctx context.Context) (DecisionResult, error) {
	answer, err := answerOf(w.first)
	if err != nil {
		return DecisionResult{}, err
	}
	logged := answer
	if logged.Outcome == domain.OutcomeAccepted || logged.Outcome == domain.OutcomeHeld {
		logged.Outcome, logged.Reason = domain.OutcomeDuplicate, domain.ReasonDuplicate
	}
	logged.Detail = "The same signed request as " + answer.PostbackID.String() + ", which was answered " + string(answer.Outcome) + ": it gets the same answer."
	batch := &db.Batch{}
	if err := w.logPostback(ctx, batch, &logged, ""); err != nil {
		return DecisionResult{}, err
	}
	return DecisionResult{Answer: answer}, batch.Send(ctx, w.tx)
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
