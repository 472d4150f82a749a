package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type warned struct {
	ID                                 string
	HasSecurityToken, HasSigningSecret bool
	IPAllowlist                        []string
	Warnings                           []string
}

// Rule 67: what authenticates postbacks is refused where it can be guessed or takes in everybody.
func TestWeakAdvertiserSecretsAreRefused(t *testing.T) {
	t.Parallel()
	_, management := newSite(t).tenant("Loyal")
	id := management.made("/api/v1/advertisers", map[string]any{"name": "Acme"})
	for name, one := range map[string]struct {
		field string
		value any
		says  string
	}{
		"short token":      {"securityToken", "a", "at least 16 bytes"},
		"almost a token":   {"securityToken", strings.Repeat("x1y2z", 3), "at least 16 bytes"},
		"one byte token":   {"securityToken", strings.Repeat("0", 40), "pattern"},
		"short secret":     {"signingSecret", "thirty-one-bytes-are-not-enough", "at least 32 bytes"},
		"patterned secret": {"signingSecret", strings.Repeat("secret", 8), "pattern"},
		"everybody":        {"ipAllowlist", []string{"0.0.0.0/0"}, "wider than /8"},
		"half of all":      {"ipAllowlist", []string{"128.0.0.0/1"}, "wider than /8"},
		"everybody in v6":  {"ipAllowlist", []string{"::/0"}, "wider than /32"},
		"mapped everybody": {"ipAllowlist", []string{"::ffff:0.0.0.0/96"}, "wider than /8"},
	} {
		t.Run(name, func(t *testing.T) {
			field := one.field
			if field == "ipAllowlist" {
				field += "[0]"
			}
			for method, path := range map[string]string{http.MethodPost: "/api/v1/advertisers", http.MethodPut: "/api/v1/advertisers/" + id} {
				answer := management.in(t).send(method, path, map[string]any{"name": "Acme", one.field: one.value})
				answer.refused(http.StatusBadRequest, field)
				require.Contains(t, string(answer.body), one.says)
				if text, ok := one.value.(string); ok && len(text) > 1 {
					require.NotContains(t, string(answer.body), text)
				}
			}
		})
	}
	var kept warned
	management.get("/api/v1/advertisers/"+id).into(http.StatusOK, &kept)
	require.False(t, kept.HasSecurityToken || kept.HasSigningSecret)
	require.Empty(t, kept.IPAllowlist)
	management.put("/api/v1/advertisers/"+id, map[string]any{
		"name": "Acme", "securityToken": "sixteen-bytes-xy", "signingSecret": "exactly-thirty-two-bytes-long-xy", "ipAllowlist": []string{"10.0.0.0/8", "2001:db8::/32"},
	}).into(http.StatusOK, &kept)
	require.True(t, kept.HasSecurityToken && kept.HasSigningSecret)
	require.Empty(t, kept.Warnings)
}

// What an earlier release stored keeps working, may be put back unchanged, and is warned of.
func TestStoredWeakSecretsGoOnWithAWarning(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")
	id := management.made("/api/v1/advertisers", map[string]any{"name": "Old"})
	site.exec("UPDATE advertisers SET security_token_hash = '" + site.api.Keys.Hash("a") + "', signing_secret_sealed = '" +
		site.api.Keys.Seal([]byte("hush")) + "', ip_allowlist = '{0.0.0.0/0,192.0.2.0/24}'")
	path := "/api/v1/advertisers/" + id
	var shown warned
	warns := func() {
		t.Helper()
		require.Len(t, shown.Warnings, 3)
		for i, field := range []string{"securityToken", "signingSecret", "ipAllowlist: 0.0.0.0/0"} {
			require.Contains(t, shown.Warnings[i], field)
		}
	}
	document := management.get(path)
	document.into(http.StatusOK, &shown)
	warns()
	var list page[warned]
	management.get("/api/v1/advertisers").into(http.StatusOK, &list)
	require.Equal(t, shown.Warnings, list.Items[0].Warnings)

	management.put(path, string(document.body)).into(http.StatusOK, &shown)
	warns()
	management.put(path, map[string]any{"name": "Old", "securityToken": "a", "signingSecret": "hush", "ipAllowlist": []string{"0.0.0.0/0", "192.0.2.0/24"}}).
		into(http.StatusOK, &shown)
	warns()
	management.put(path, map[string]any{"name": "Old", "securityToken": "b"}).refused(http.StatusBadRequest, "securityToken")
	management.put(path, map[string]any{"name": "Old", "signingSecret": "hush!"}).refused(http.StatusBadRequest, "signingSecret")
	management.put(path, map[string]any{"name": "Old", "ipAllowlist": []string{"::/0"}}).refused(http.StatusBadRequest, "ipAllowlist[0]")

	management.put(path, map[string]any{
		"name": "New", "securityToken": "sixteen-bytes-xy", "signingSecret": nil, "ipAllowlist": []string{"192.0.2.0/24"},
	}).into(http.StatusOK, &shown)
	shown.Warnings = nil
	management.get(path).into(http.StatusOK, &shown)
	require.Empty(t, shown.Warnings)
}
