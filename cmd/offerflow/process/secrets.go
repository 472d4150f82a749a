package process

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// checkSecrets says what is weak in the operator's own settings. A weak token or key keeps a process from
// starting, but for a standalone that only this machine reaches: there it is a warning, as is every range
// of addresses so wide that the setting hardly restricts anything.
func (c *Config) checkSecrets() (warnings []string, err error) {
	weak, err := c.weakSecrets()
	if err != nil {
		return nil, err
	}
	var refused []error
	for _, one := range weak {
		if !c.onThisMachineOnly() {
			refused = append(refused, errors.New(one))
		}
		warnings = append(warnings, one+" (a process reachable by others would not start)")
	}
	if len(refused) > 0 {
		return nil, errors.Join(refused...)
	}
	return append(warnings, c.wideRanges()...), nil
}

// CheckSecrets says what is wrong with the operator's token and the secret keys, as far as they are set.
func (c *Config) CheckSecrets() error {
	set := *c
	if set.OperatorToken == "" {
		set.OperatorToken = keyring.Generate()
	}
	if set.SecretKeys == "" {
		set.SecretKeys = keyring.Generate()
	}
	_, err := set.checkSecrets()
	return err
}

func (c *Config) weakSecrets() (weak []string, err error) {
	if strings.TrimSpace(c.OperatorToken) != c.OperatorToken {
		weak = append(weak, "OFFERFLOW_OPERATOR_TOKEN begins or ends with a space or line break, which requests cannot send: remove it")
	}
	if found := domain.CheckSecret(c.OperatorToken, domain.MinOperatorSecretBytes); found != "" {
		weak = append(weak, "OFFERFLOW_OPERATOR_TOKEN "+found+" (openssl rand -hex 32)")
	}
	keys, err := keyring.Decode(c.SecretKeys)
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		if found := domain.CheckSecret(string(key), domain.MinOperatorSecretBytes); found != "" {
			weak = append(weak, fmt.Sprintf("OFFERFLOW_SECRET_KEYS: key %d %s (openssl rand -hex 32)", i+1, found))
		}
	}
	return weak, nil
}

// onThisMachineOnly is true of a standalone, whose parts are all on loopback, that listens there too.
func (c *Config) onThisMachineOnly() bool {
	return c.Standalone && c.listensOnLoopback()
}

func (c *Config) listensOnLoopback() bool {
	host, _, err := net.SplitHostPort(c.HTTPAddr)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

func (c *Config) wideRanges() (warnings []string) {
	for _, text := range c.TrustedProxies {
		if prefix, err := netip.ParsePrefix(text); err == nil && isWide(prefix) {
			warnings = append(warnings, "OFFERFLOW_TRUSTED_PROXIES has "+text+": almost anyone could forge the client's address, "+
				"on which IP allowlists, limits per address and targeting depend. List only your proxies")
		}
	}
	for _, prefix := range c.CallbackAllowCIDRs {
		if isWide(prefix) {
			warnings = append(warnings, "OFFERFLOW_CALLBACK_ALLOW_CIDRS has "+prefix.String()+": tenants could make this process call almost any address, "+
				"including private ones, with http and on any port. List only the receivers' ranges")
		}
	}
	return warnings
}

// privateIPv6 are the private ranges that are wider than any public one should be.
var privateIPv6 = []netip.Prefix{netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10")}

// isWide is true of what takes in much of the internet; private ranges do not.
func isWide(prefix netip.Prefix) bool {
	for _, private := range privateIPv6 {
		if private.Contains(prefix.Addr()) && prefix.Bits() >= private.Bits() {
			return false
		}
	}
	return domain.CheckRange(prefix) != ""
}
