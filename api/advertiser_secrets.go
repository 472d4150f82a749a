package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// What authenticates an advertiser's postbacks (rule 67). A value that is set must not be weak; one that
// is stored already may be sent back unchanged and keeps working, with a warning where the advertiser is
// shown.

const (
	maxSecretLength = 512
	maxAllowlist    = 200
)

// changeSecrets applies a body to a row: the token becomes a keyed hash, the secret is sealed.
func (s *Server) changeSecrets(c *checks, row *dbgen.Advertiser, body advertiserBody) {
	if token := body.SecurityToken.or(""); body.SecurityToken.given && !s.isTokenOf(row, token) {
		row.SecurityTokenHash, row.SecurityTokenChecked = nil, token != ""
		if token != "" {
			c.secret("securityToken", token, domain.MinSecurityTokenBytes)
			hash := s.Keys.Hash(token)
			row.SecurityTokenHash = &hash
		}
	}
	if secret := body.SigningSecret.or(""); body.SigningSecret.given && (secret == "" || secret != s.signingSecretOf(row)) {
		if secret == "" {
			row.SigningSecretSealed, row.PreviousSecretSealed, row.PreviousSecretUntil = nil, nil, nil
		} else {
			c.secret("signingSecret", secret, domain.MinSigningSecretBytes)
			s.replaceSigningSecret(row, secret)
		}
	}
	if body.IPAllowlist.given {
		row.IpAllowlist = c.ipAllowlist("ipAllowlist", body.IPAllowlist.or(nil), row.IpAllowlist)
	}
}

// replaceSigningSecret sets a new signing secret. The one before counts for a day more.
func (s *Server) replaceSigningSecret(row *dbgen.Advertiser, secret string) {
	if row.SigningSecretSealed != nil {
		until := s.now().Add(rotationOverlap)
		row.PreviousSecretSealed, row.PreviousSecretUntil = row.SigningSecretSealed, &until
	}
	sealed := s.Keys.Seal([]byte(secret))
	row.SigningSecretSealed = &sealed
}

type rotateSecretInput struct {
	ByID
	Body *struct {
		SigningSecret string `json:"signingSecret,omitempty" doc:"The new secret, at least 32 bytes; generated if omitted."`
	}
}

type advertiserSecretOutput struct {
	Body struct {
		AdvertiserDocument
		SigningSecret string `json:"signingSecret,omitempty" doc:"The generated secret, shown only once; omitted if you sent one."`
	}
}

// rotateSigningSecret gives an advertiser a new signing secret, or its first.
func (s *Server) rotateSigningSecret(ctx context.Context, in *rotateSecretInput) (*advertiserSecretOutput, error) {
	var c checks
	secret, made := "", ""
	if in.Body != nil {
		secret = in.Body.SigningSecret
	}
	if secret == "" {
		made = newSigningSecret()
		secret = made
	}
	c.secret("signingSecret", secret, domain.MinSigningSecretBytes)
	if err := c.err(); err != nil {
		return nil, err
	}
	changed, err := s.changedAdvertiser(ctx, in.ID, "rotate-signing-secret", func(ctx context.Context, tx pgx.Tx, row *dbgen.Advertiser) error {
		if secret != s.signingSecretOf(row) { // the same again would end the one before
			s.replaceSigningSecret(row, secret)
		}
		return writeAdvertiser(ctx, tx, row)
	})
	if err != nil {
		return nil, err
	}
	out := &advertiserSecretOutput{}
	out.Body.AdvertiserDocument, out.Body.SigningSecret = changed.Body, made
	return out, nil
}

// newSigningSecret is 256 random bits as text: its bytes as they stand are the key.
func newSigningSecret() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(raw)
}

// openness warns of a tenant that believes whoever knows a click id (rule 78). Another tenant's advertiser
// is that tenant's to protect.
func openness(row *dbgen.Advertiser, security string) []string {
	if security != string(domain.PostbackSecurityOpen) || row.ExchangeTenantID != nil {
		return nil
	}
	if row.SecurityTokenHash != nil || row.SigningSecretSealed != nil || len(row.IpAllowlist) > 0 {
		return []string{"postbackSecurity is open: postbacks count without this advertiser's key. They are protected only by the token, secret or " +
			"IP allowlist that is set. PUT /api/v1/settings {\"postbackSecurity\": \"keyed\"} to require the key otherwise; pixels then wait for a person"}
	}
	return []string{"postbackSecurity is open: anyone who sees a click id, as members do, can post this advertiser's conversions. Ask the advertiser to post to its " +
		"postbackUrl, then PUT /api/v1/settings {\"postbackSecurity\": \"keyed\"}"}
}

func (s *Server) isTokenOf(row *dbgen.Advertiser, token string) bool {
	return token != "" && row.SecurityTokenHash != nil && slices.Contains(s.Keys.Hashes(token), *row.SecurityTokenHash)
}

// signingSecretOf is empty where there is none, and where its key is gone.
func (s *Server) signingSecretOf(row *dbgen.Advertiser) string {
	if row.SigningSecretSealed == nil {
		return ""
	}
	plain, err := s.Keys.Open(*row.SigningSecretSealed)
	if err != nil {
		return ""
	}
	return string(plain)
}

func (c *checks) secret(field, text string, atLeast int) {
	switch weak := domain.CheckSecret(text, atLeast); {
	case weak != "":
		c.add(field, "%s", weak)
	case len(text) > maxSecretLength || strings.TrimSpace(text) != text:
		c.add(field, "must have at most %d bytes without spaces around it", maxSecretLength)
	}
}

// ipAllowlist reads addresses and ranges; an address is a range of one. What is stored already may be
// wider than what is taken now.
func (c *checks) ipAllowlist(field string, values, stored []string) []string {
	if len(values) > maxAllowlist {
		c.add(field, "must have at most %d entries", maxAllowlist)
	}
	prefixes := make([]string, 0, len(values))
	for i, value := range values {
		at := field + "[" + strconv.Itoa(i) + "]"
		prefix, err := parsePrefix(strings.TrimSpace(value))
		if err != nil {
			c.add(at, "must be an IP address or a range such as 192.0.2.0/24")
			continue
		}
		if wide := domain.CheckRange(prefix); wide != "" && !slices.Contains(stored, prefix.String()) {
			c.add(at, "%s", wide)
			continue
		}
		prefixes = append(prefixes, prefix.String())
	}
	return prefixes
}

// parsePrefix also takes an IPv4 address in IPv6 clothes for what it is: senders are compared so.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return addr.Prefix(addr.BitLen())
	}
	prefix, err := netip.ParsePrefix(text)
	if err == nil && prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), err
}

// weaknesses are what a value that was stored by an earlier release would be refused for today. Of a
// token only a hash is known, hence only whether it was ever looked at.
func (s *Server) weaknesses(row *dbgen.Advertiser) (warnings []string) {
	if row.ExchangeTenantID == nil && s.keyOf(row) == "" {
		warnings = append(warnings, "postbackUrl cannot be shown: its secret key is no longer in OFFERFLOW_SECRET_KEYS. The address still works; "+
			"POST /api/v1/advertisers/{id}/key/rotate creates a new one")
	}
	if row.SecurityTokenHash != nil && !row.SecurityTokenChecked {
		warnings = append(warnings, "securityToken was set before a minimum length was required and may be easy to guess: set one of at least "+
			strconv.Itoa(domain.MinSecurityTokenBytes)+" bytes")
	}
	if secret := s.signingSecretOf(row); secret != "" {
		if weak := domain.CheckSecret(secret, domain.MinSigningSecretBytes); weak != "" {
			warnings = append(warnings, "signingSecret is weak: it "+weak)
		}
	}
	for _, text := range row.IpAllowlist {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			continue
		}
		if wide := domain.CheckRange(prefix); wide != "" {
			warnings = append(warnings, "ipAllowlist: "+text+" "+wide)
		}
	}
	return warnings
}
