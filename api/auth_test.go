package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	tenantID, management := site.tenant("Loyal")
	operator := site.as(operatorToken)

	t.Run("none, unknown, wrong kind", func(t *testing.T) {
		for _, c := range []*caller{site.as(""), site.as("of_guess"), site.as("").with("Authorization", "Basic b2Y6eA=="), site.as("").with("Authorization", "ApiToken ")} {
			a := c.get("/api/v1/advertisers")
			a.refused(http.StatusUnauthorized)
			require.NotEmpty(t, a.header.Get("WWW-Authenticate"))
		}
	})
	t.Run("bearer is the same", func(t *testing.T) {
		bearer := "Bearer " + management.headers["Authorization"][len("ApiToken "):]
		site.as("").with("Authorization", bearer).get("/api/v1/advertisers").into(http.StatusOK, nil)
	})
	t.Run("operator names a tenant", func(t *testing.T) {
		operator.get("/api/v1/settings").refused(http.StatusBadRequest, "X-Tenant")
		operator.with("X-Tenant", uuid.NewString()).get("/api/v1/settings").refused(http.StatusBadRequest, "X-Tenant")
		operator.with("X-Tenant", tenantID).get("/api/v1/settings").into(http.StatusOK, nil)
	})
	t.Run("X-Tenant is the operator's", func(t *testing.T) {
		other, _ := site.tenant("Other")
		management.with("X-Tenant", other).get("/api/v1/settings").refused(http.StatusForbidden)
		management.with("X-Tenant", tenantID).get("/api/v1/settings").into(http.StatusOK, nil)
	})
	t.Run("tenants are the operator's", func(t *testing.T) {
		management.get("/api/v1/tenants").refused(http.StatusForbidden)
		operator.get("/api/v1/tenants").into(http.StatusOK, nil)
	})
}

func TestScopes(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")
	partner := management.made("/api/v1/partners", map[string]any{"name": "P"})
	advertiser := management.made("/api/v1/advertisers", map[string]any{"name": "A"})
	callers := map[string]*caller{
		"management": management,
		"finance":    management.token("finance"),
		"readonly":   management.token("readonly"),
		"partner":    management.token("partner", "partnerId", partner),
		"advertiser": management.token("advertiser", "advertiserId", advertiser),
	}
	routes := []struct {
		method, path string
		body         any
		may          []string
		status       int
	}{
		{"GET", "/api/v1/advertisers", nil, []string{"management", "finance", "readonly"}, 200},
		{"GET", "/api/v1/partners/" + partner, nil, []string{"management", "finance", "readonly"}, 200},
		{"GET", "/api/v1/settings", nil, []string{"management", "finance", "readonly"}, 200},
		{"GET", "/api/v1/lookups/ages", nil, []string{"management", "finance", "readonly"}, 200},
		{"GET", "/api/v1/audit", nil, []string{"management", "finance", "readonly"}, 200},
		{"POST", "/api/v1/placements", map[string]any{"name": "Home"}, []string{"management"}, 201},
		{"PUT", "/api/v1/settings", map[string]any{}, []string{"management"}, 200},
		{"GET", "/api/v1/tokens", nil, []string{"management"}, 200},
		{"GET", "/api/v1/tenants", nil, nil, 0},
	}
	for _, route := range routes {
		for scope, caller := range callers {
			answer := caller.send(route.method, route.path, route.body)
			allowed := false
			for _, one := range route.may {
				allowed = allowed || one == scope
			}
			if allowed {
				require.Equal(t, route.status, answer.status, "%s %s as %s: %s", route.method, route.path, scope, answer.body)
			} else {
				answer.refused(http.StatusForbidden)
			}
		}
	}
}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")

	t.Run("revoked at once", func(t *testing.T) {
		var made struct{ ID, Token string }
		management.post("/api/v1/tokens", map[string]any{"name": "ci", "scope": "readonly"}).into(201, &made)
		site.as(made.Token).get("/api/v1/settings").into(200, nil)
		for range 2 { // the second changes nothing
			management.send("DELETE", "/api/v1/tokens/"+made.ID, nil).into(204, nil)
		}
		site.as(made.Token).get("/api/v1/settings").refused(401)
		var log page[struct{ Action, NounID string }]
		management.get("/api/v1/audit?filter.noun=token&filter.action=revoke").into(200, &log)
		require.Equal(t, 1, log.TotalCount)
	})
	t.Run("expires", func(t *testing.T) {
		soon := management.token("readonly", "expiresAt", clocktest.Now().Add(time.Hour))
		soon.get("/api/v1/settings").into(200, nil)
		// The hour passes; who was admitted a moment ago is remembered for some seconds.
		site.exec("UPDATE api_tokens SET expires_at = now() - interval '1 hour' WHERE name = 'readonly'")
		require.Eventually(t, func() bool { return soon.get("/api/v1/settings").status == 401 }, time.Minute, 50*time.Millisecond)
		management.post("/api/v1/tokens", map[string]any{"name": "x", "scope": "readonly", "expiresAt": "2020-01-01T00:00:00Z"}).
			refused(400, "expiresAt")
	})
	t.Run("bound to a partner or an advertiser", func(t *testing.T) {
		post := func(body map[string]any) *answer { return management.post("/api/v1/tokens", body) }
		post(map[string]any{"name": "x", "scope": "partner"}).refused(400, "partnerId")
		post(map[string]any{"name": "x", "scope": "readonly", "advertiserId": uuid.NewString()}).refused(400, "advertiserId")
		post(map[string]any{"name": "x", "scope": "partner", "partnerId": uuid.NewString()}).refused(400, "partnerId")
		post(map[string]any{"name": "x", "scope": "advertiser", "advertiserId": uuid.NewString()}).refused(400, "advertiserId")
		post(map[string]any{"name": "x", "scope": "root"}).refused(400, "scope")
	})
	t.Run("another tenant's", func(t *testing.T) {
		_, other := site.tenant("Other")
		var list page[struct{ ID string }]
		management.get("/api/v1/tokens?filter.scope=management").into(200, &list)
		other.send("DELETE", "/api/v1/tokens/"+list.Items[0].ID, nil).refused(404)
		foreign := management.made("/api/v1/partners", map[string]any{"name": "P"})
		other.post("/api/v1/tokens", map[string]any{"name": "x", "scope": "partner", "partnerId": foreign}).refused(400, "partnerId")
	})
	t.Run("never shown again", func(t *testing.T) {
		secret := management.headers["Authorization"][len("ApiToken "):]
		for _, path := range []string{"/api/v1/tokens", "/api/v1/audit?page_size=100"} {
			require.NotContains(t, string(management.get(path).body), secret)
		}
	})
}
