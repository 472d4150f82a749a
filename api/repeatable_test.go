package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/keyring"
)

// A repeatable handler that died half-way runs again under the same id.
func TestRepeatableKeepsItsID(t *testing.T) {
	t.Parallel()
	store, err := db.Open(t.Context(), dbtest.New(t), 4)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	keys, err := keyring.Parse(keyring.Generate())
	require.NoError(t, err)
	s := &Server{Store: store, Keys: keys, Config: Config{OperatorTokenHash: keys.Hash("operator")}}
	tenantID := newID()
	require.NoError(t, store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		return dbgen.New().InsertTenant(t.Context(), tx, dbgen.InsertTenantParams{
			PostbackSecurity: "open",
			TenantID:         tenantID, Name: "T", Product: "publisher", Currency: "USD", Timezone: "UTC", CreatedAt: inPrecision(clocktest.Now()),
		})
	}))
	var ids []uuid.UUID
	fail := error(problem.New(http.StatusServiceUnavailable, "half-way"))
	engine := gin.New()
	r := newRouter(s, engine)
	handle(r, post, "/jobs", "startJob", manage, "Start a job", func(ctx context.Context, _ *struct{}) (*struct{ Body uuid.UUID }, error) {
		ids = append(ids, effectID(ctx))
		return &struct{ Body uuid.UUID }{effectID(ctx)}, fail
	}, accepted, repeatable)
	send := func(key string) *httptest.ResponseRecorder {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/jobs", strings.NewReader("{}"))
		request.Header.Set("Authorization", "Bearer operator")
		request.Header.Set("X-Tenant", tenantID.String())
		request.Header.Set("Idempotency-Key", key)
		answer := httptest.NewRecorder()
		engine.ServeHTTP(answer, request)
		return answer
	}
	require.Equal(t, http.StatusServiceUnavailable, send("k").Code)
	fail = nil
	first := send("k")
	require.Equal(t, http.StatusAccepted, first.Code, first.Body)
	require.Len(t, ids, 2)
	require.Equal(t, ids[0], ids[1])

	again := send("k")
	require.Equal(t, first.Body.String(), again.Body.String())
	require.Equal(t, "true", again.Header().Get("Idempotency-Replayed"))
	require.Len(t, ids, 2, "an answered request does not run again")

	// A refusal gives the key back.
	fail = problem.BadField("x", "is wrong")
	require.Equal(t, http.StatusBadRequest, send("k2").Code)
	fail = nil
	require.Equal(t, http.StatusAccepted, send("k2").Code)
	require.NotEqual(t, ids[2], ids[3])
}

func TestProvesSync(t *testing.T) {
	t.Parallel()
	server := func(status int, body string) string {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/varz" {
				status = http.StatusNotFound
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(web.Close)
		return web.URL
	}
	const synced = `{"server_id":"A","server_name":"n1","jetstream":{"config":{"sync_always":true}}}`
	for _, test := range []struct {
		name   string
		url    string
		holder streamHolder
		want   error
	}{
		{"synced", server(200, synced), streamHolder{id: "A"}, nil},
		{"synced, by name", server(200, synced) + "/", streamHolder{name: "n1"}, nil},
		{"every two minutes", server(200, `{"server_id":"A","jetstream":{"config":{"sync_interval":120000000000}}}`), streamHolder{id: "A"}, notSynced},
		{"another server", server(200, synced), streamHolder{id: "B"}, notProven},
		{"another leader", server(200, synced), streamHolder{name: "n2"}, notProven},
		{"not JSON", server(200, "<html>"), streamHolder{id: "A"}, notProven},
		{"an error", server(500, synced), streamHolder{id: "A"}, notProven},
		{"nobody", "http://127.0.0.1:1", streamHolder{id: "A"}, notProven},
		{"not configured", "", streamHolder{id: "A"}, notProven},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.ErrorIs(t, provesSync(t.Context(), test.url, test.holder), test.want)
		})
	}
}
