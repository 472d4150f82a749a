package domain

import (
	"net/netip"
	"time"
)

// SignatureSkew is how far a signed postback's time may be from ours.
const SignatureSkew = 300 * time.Second

// Security is what an advertiser set to protect its postbacks, and how this one fared against it.
type Security struct {
	HasToken  bool
	TokenOK   bool
	HasSecret bool
	// SignatureOK says that the signature is right and its nonce was not used before.
	SignatureOK bool
	Allowlist   []netip.Prefix
}

// Check enforces what is set (rule 67): every one of token, signature and address list. The
// sender is authenticated when something was set and all of it passed.
func (s Security) Check(p *Postback) (authenticated bool, refused Reason) {
	if s.HasToken && !s.TokenOK {
		return false, ReasonBadSignature
	}
	if s.HasSecret && !s.SignatureOK {
		return false, ReasonBadSignature
	}
	if len(s.Allowlist) > 0 && !s.allowed(p.SourceIP) {
		return false, ReasonIPNotAllowed
	}
	return s.HasToken || s.HasSecret || len(s.Allowlist) > 0, ReasonNone
}

func (s Security) allowed(sourceIP string) bool {
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

// Fresh says whether a signature's time is within the skew of the receipt.
func (s *Signed) Fresh(receivedAt time.Time) bool {
	return receivedAt.Sub(s.Timestamp).Abs() <= SignatureSkew
}
