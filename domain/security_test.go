package domain

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSecurity(t *testing.T) {
	office := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	token := Security{HasToken: true, TokenOK: true}
	secret := Security{HasSecret: true, SignatureOK: true}
	list := Security{Allowlist: office}
	all := Security{HasToken: true, TokenOK: true, HasSecret: true, SignatureOK: true, Allowlist: office}
	but := func(s Security, change func(*Security)) Security { change(&s); return s }
	const inside, outside = "192.0.2.7", "198.51.100.7"
	for _, c := range []struct {
		name          string
		security      Security
		ip            string
		authenticated bool
		refused       Reason
	}{
		{"rule 67: nothing set is nothing enforced, and nobody authenticated", Security{}, outside, false, ReasonNone},
		{"rule 67: what came but was not asked for proves nothing", Security{TokenOK: true, SignatureOK: true}, outside, false, ReasonNone},
		{"rule 67: the token", token, outside, true, ReasonNone},
		{"rule 67: no token or a wrong one", Security{HasToken: true}, outside, false, ReasonBadSignature},
		{"rule 67: the signature", secret, outside, true, ReasonNone},
		{"rule 67: no signature or a wrong one", Security{HasSecret: true}, outside, false, ReasonBadSignature},
		{"rule 67: from the list", list, inside, true, ReasonNone},
		{"rule 67: not from the list", list, outside, false, ReasonIPNotAllowed},
		{"rule 67: the first of the list", list, "192.0.2.0", true, ReasonNone},
		{"rule 67: one after the list", list, "192.0.3.0", false, ReasonIPNotAllowed},
		{"rule 67: IPv4 in IPv6's dress", list, "::ffff:192.0.2.7", true, ReasonNone},
		{"rule 67: IPv6", list, "2001:db8::1", true, ReasonNone},
		{"rule 67: no address", list, "", false, ReasonIPNotAllowed},
		{"rule 67: an address that is none", list, "192.0.2.7:80", false, ReasonIPNotAllowed},
		{"rule 67: an address with a zone is nobody's", list, "2001:db8::1%eth0", false, ReasonIPNotAllowed},
		{"rule 67: a list that cannot be read allows nobody", Security{Allowlist: []netip.Prefix{{}}}, inside, false, ReasonIPNotAllowed},
		{"rule 67: all of it", all, inside, true, ReasonNone},
		{"rule 67: all but the token", but(all, func(s *Security) { s.TokenOK = false }), inside, false, ReasonBadSignature},
		{"rule 67: all but the signature", but(all, func(s *Security) { s.SignatureOK = false }), inside, false, ReasonBadSignature},
		{"rule 67: all but the address", all, outside, false, ReasonIPNotAllowed},
	} {
		t.Run(c.name, func(t *testing.T) {
			proof := c.security.Check(&Postback{SourceIP: c.ip})
			require.Equal(t, c.authenticated, proof.Authenticated)
			require.Equal(t, c.refused, proof.Refused)
		})
	}
}

func TestSignatureIsFresh(t *testing.T) {
	for _, c := range []struct {
		name  string
		off   time.Duration
		fresh bool
	}{
		{"rule 67: now", 0, true},
		{"rule 67: 300 s old", -300 * time.Second, true},
		{"rule 67: older", -300*time.Second - 1, false},
		{"rule 67: 300 s ahead", 300 * time.Second, true},
		{"rule 67: further ahead", 300*time.Second + 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			signed := Signed{Timestamp: clickedAt.Add(c.off)}
			require.Equal(t, c.fresh, signed.Fresh(clickedAt))
		})
	}
}
