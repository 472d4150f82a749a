package api_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestProblems(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")
	const path = "/api/v1/partners"
	for _, test := range []struct {
		name   string
		body   any
		status int
		fields []string
	}{
		{"not JSON", `{"name":`, 400, []string{"body"}},
		{"empty", "", 400, nil},
		{"an array", `[]`, 400, []string{"body"}},
		{"null", `null`, 400, []string{"body"}},
		{"missing", `{}`, 400, []string{"name"}},
		{"blank", `{"name":"  "}`, 400, []string{"name"}},
		{"wrong type", `{"name":7}`, 400, []string{"name"}},
		{"wrong type within", `{"name":"x","caps":{"dailyCap":"many"}}`, 400, []string{"caps.dailyCap"}},
		{"unknown field", `{"name":"x","colour":"red"}`, 400, []string{"colour"}},
		{"unknown field within", `{"name":"x","caps":{"hourlyCap":1}}`, 400, []string{"caps.hourlyCap"}},
		{"not one of", `{"name":"x","status":"gone"}`, 400, []string{"status"}},
		{"several", `{"name":"","email":"nobody","fallbackUrl":"ftp://x","caps":{"dailyCap":0}}`, 400, []string{"name", "email", "fallbackUrl", "caps.dailyCap"}},
		{"no id", `{"name":"x","tierId":"7"}`, 400, []string{"tierId"}},
		{"fraction", `{"name":"x","caps":{"dailyCap":1.5}}`, 400, []string{"caps.dailyCap"}},
		{"beyond 64 bits", `{"name":"x","caps":{"dailyCap":99999999999999999999}}`, 400, []string{"caps.dailyCap"}},
		{"NUL", `{"name":"a\u0000b"}`, 400, []string{"name"}},
		{"too long", map[string]any{"name": strings.Repeat("x", 201)}, 400, []string{"name"}},
		{"too large", map[string]any{"name": strings.Repeat("x", 1<<20)}, 413, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			management.in(t).post(path, test.body).refused(test.status, test.fields...)
		})
	}
	t.Run("content type", func(t *testing.T) {
		management.with("Content-Type", "text/csv").post(path, `{"name":"x"}`).refused(415, "body")
	})
	t.Run("nothing there", func(t *testing.T) {
		management.get("/api/v1/nothing").refused(404)
		management.get("/api/v1/partners/" + uuid.NewString()).refused(404)
		management.get("/api/v1/partners/seven").refused(400, "id")
		management.get("/api/v1/lookups/colours").refused(404)
	})
	t.Run("method", func(t *testing.T) {
		answer := management.send("DELETE", path, nil)
		answer.refused(405)
		require.NotEmpty(t, answer.header.Get("Allow"))
	})
	t.Run("no internals", func(t *testing.T) {
		site := newSite(t)
		_, management := site.tenant("Loyal")
		site.store.Close()
		answer := management.get(path)
		require.GreaterOrEqual(t, answer.status, 500)
		for _, word := range []string{"pool", "pgx", "SQL", "postgres"} {
			require.NotContains(t, string(answer.body), word)
		}
	})
	t.Run("secrets are not echoed", func(t *testing.T) {
		answer := management.post("/api/v1/advertisers", `{"name":"x","securityToken":{"s3cret":1},"signingSecret":["hush"]}`)
		answer.refused(400, "securityToken", "signingSecret")
		require.NotContains(t, string(answer.body), "s3cret")
		require.NotContains(t, string(answer.body), "hush")
	})
	t.Run("request id", func(t *testing.T) {
		require.Equal(t, "abc-1", management.with("X-Request-ID", "abc-1").get(path).header.Get("X-Request-ID"))
		require.NotEqual(t, "a b", management.with("X-Request-ID", "a b").get(path).header.Get("X-Request-ID"))
	})
}
