package domain

import (
	"crypto/subtle"
	"fmt"
	"net/netip"
	"time"
)

// SignatureSkew is how far a signed postback's time may be from ours.
const SignatureSkew = 300 * time.Second

// Security is what an advertiser and its tenant set to protect postbacks, and how this one fared against it.
type Security struct {
	HasToken  bool
	TokenOK   bool
	HasSecret bool
	// SignatureOK says that the signature is right, apart from its nonce.
	SignatureOK bool
	Allowlist   []netip.Prefix
	// Keyed says that the tenant's postbackSecurity is keyed (rule 78).
	Keyed bool
	// KeyHash is of the advertiser's key, PreviousKeyHash of the one before, which counts until
	// PreviousKeyUntil.
	KeyHash          string
	PreviousKeyHash  string
	PreviousKeyUntil *time.Time
}

// Proof is what a postback proved of its sender.
type Proof struct {
	// Refused is set where that is not enough; Detail says what is wrong and what to do.
	Refused Reason
	Detail  string
	// Authenticated says that the advertiser's own security was set and passed (rule 67).
	Authenticated bool
	// ByKey says that it came by the advertiser's key: enough for a verdict, not for a time (rule 78).
	ByKey bool
	// Forgeable says that it is a pixel, which anybody can load who sees the page, where the tenant asks
	// for more: a person must look at what it makes (rule 78).
	Forgeable bool
}

// Check enforces what is set: every one of token, signature and address list (rule 67), and the address
// that the postback came by (rule 78).
func (s *Security) Check(p *Postback) Proof {
	byKey, wrong := s.key(p)
	if wrong != "" {
		return Proof{Refused: ReasonKeyRequired, Detail: wrong}
	}
	if s.HasToken && !s.TokenOK {
		return Proof{Refused: ReasonBadSignature, Detail: p.tokenFault()}
	}
	if s.HasSecret && !s.SignatureOK {
		return Proof{Refused: ReasonBadSignature, Detail: p.signatureFault()}
	}
	if len(s.Allowlist) > 0 && !s.allowed(p.SourceIP) {
		return Proof{Refused: ReasonIPNotAllowed}
	}
	proof := Proof{Authenticated: s.HasToken || s.HasSecret || len(s.Allowlist) > 0, ByKey: byKey}
	switch {
	case !s.Keyed || !p.saysHow():
	case p.ByPixel(): // what stands on a page proves nothing, whatever it carries
		return Proof{Forgeable: true}
	case !proof.Authenticated && !byKey && !p.byOpaqueAddress():
		return Proof{Refused: ReasonKeyRequired, Detail: keyRequiredDetail}
	}
	return proof
}

// key judges the key in the address. One that is not the advertiser's is refused whatever the tenant
// asks for: whoever sends it means another advertiser, or guesses.
func (s *Security) key(p *Postback) (right bool, wrong string) {
	hash := p.KeyHash()
	switch {
	case hash == "":
		return false, ""
	case sameText(hash, s.KeyHash):
		return true, ""
	case !sameText(hash, s.PreviousKeyHash) || s.PreviousKeyUntil == nil:
		return false, wrongKeyDetail
	case p.ReceivedAt.Before(*s.PreviousKeyUntil):
		return true, ""
	default:
		return false, fmt.Sprintf("The key in the address was replaced and worked until %s: use the advertiser's new postbackUrl.", instantText(*s.PreviousKeyUntil))
	}
}

func sameText(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// byOpaqueAddress says that it came by an opaque postback address, which only the advertiser was given.
func (p *Postback) byOpaqueAddress() bool { return p.Address != nil && p.Address.OfAdvertiser }

const (
	keyRequiredDetail = "A click id alone is not enough. Post to the advertiser's own address (its postbackUrl, /track/{advertiserKey}) " +
		"or to an opaque address of the offer (/SP, /GP), or send the advertiser's security_token or signature, or post from an IP address on its allowlist."
	wrongKeyDetail = "The key in the address does not belong to this click's advertiser: use that advertiser's postbackUrl, /track/{advertiserKey}."
)

// tokenFault says what is wrong with the security token.
func (p *Postback) tokenFault() string {
	if len(p.TokenHashes) == 0 {
		return "security_token is missing: this advertiser's postbacks must carry it."
	}
	return "security_token is not this advertiser's."
}

// signatureFault says what is wrong with the signature, the first thing that is.
func (p *Postback) signatureFault() string {
	s := p.Signed
	switch {
	case s == nil:
		return "The request is not signed: this advertiser's postbacks must carry of_timestamp, of_nonce and of_signature."
	case s.Signature == "":
		return "of_signature is missing, or longer than 128 characters."
	case s.Nonce == "":
		return "of_nonce is missing, or is not 8 to 128 letters, digits and - . _ ~."
	case s.Timestamp.IsZero():
		return "of_timestamp is missing or invalid: send Unix seconds."
	case !s.Fresh(p.ReceivedAt):
		return fmt.Sprintf("of_timestamp is stale: it is %s, and the request arrived at %s. The maximum difference is %d seconds: check the sender's clock.",
			instantText(s.Timestamp), instantText(p.ReceivedAt), int(SignatureSkew.Seconds()))
	default:
		return "of_signature is wrong: it is not the HMAC-SHA256 of this request under the advertiser's signing secret."
	}
}

// NonceFault says that another signed request has used the nonce of this one.
func NonceFault(nonce string) string {
	return fmt.Sprintf("of_nonce %q was already used by another request: each signed request needs a new one.", clip(nonce))
}

func (s *Security) allowed(sourceIP string) bool {
	ip, err := netip.ParseAddr(sourceIP)
	if err != nil {
		return false
	}
	ip = ip.Unmap()
	for _, prefix := range s.Allowlist {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// Complete says that a signature has all of its parts.
func (s *Signed) Complete() bool {
	return s != nil && s.Signature != "" && s.Nonce != "" && !s.Timestamp.IsZero()
}

// Fresh says whether a signature's time is within the skew of the receipt.
func (s *Signed) Fresh(receivedAt time.Time) bool {
	return receivedAt.Sub(s.Timestamp).Abs() <= SignatureSkew
}
