package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
)

// keyedAdvertiser is the tests' own reading of an advertiser's keys.
type keyedAdvertiser struct {
	ID, Name, PostbackURL                                string
	Warnings                                             []string
	HasSigningSecret                                     bool
	SigningSecret                                        string
	PreviousPostbackURLUntil, PreviousSigningSecretUntil *time.Time
}

func (a *keyedAdvertiser) key(t *testing.T) string {
	t.Helper()
	key, ok := strings.CutPrefix(a.PostbackURL, publicURL+"/track/")
	require.True(t, ok, "%q", a.PostbackURL)
	return key
}

func TestRule78NewTenantsAreKeyed(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	operator := site.as(operatorToken)
	body := func(security any) map[string]any {
		b := map[string]any{"name": "Coins", "product": "publisher", "email": "ops@example.com"}
		if security != nil {
			b["postbackSecurity"] = security
		}
		return b
	}
	for given, want := range map[any]string{nil: "keyed", "keyed": "keyed", "open": "open"} {
		var made struct{ ID, APIToken string }
		operator.post("/api/v1/tenants", body(given)).into(http.StatusCreated, &made)
		management := site.as(made.APIToken)
		var settings struct{ PostbackSecurity, FallbackURL string }
		management.get("/api/v1/settings").into(http.StatusOK, &settings)
		require.Equal(t, want, settings.PostbackSecurity, given)
		for _, next := range []string{"open", "keyed", "open"} {
			management.put("/api/v1/settings", map[string]any{"postbackSecurity": next}).into(http.StatusOK, &settings)
			require.Equal(t, next, settings.PostbackSecurity)
			management.put("/api/v1/settings", map[string]any{"goalsEnabled": true}).into(http.StatusOK, &settings)
			require.Equal(t, next, settings.PostbackSecurity, "what a PUT leaves out stays")
		}
		management.put("/api/v1/settings", map[string]any{"postbackSecurity": "none"}).refused(http.StatusBadRequest, "postbackSecurity")
	}
	operator.post("/api/v1/tenants", body("Open")).refused(http.StatusBadRequest, "postbackSecurity")
	var tenants page[struct{ PostbackSecurity string }]
	operator.get("/api/v1/tenants?orderby=id").into(http.StatusOK, &tenants)
	require.Len(t, tenants.Items, 3)
}

// Wherever an advertiser of an open tenant is shown, it says so.
func TestRule78OpenTenantsAreWarned(t *testing.T) {
	t.Parallel()
	_, management := newSite(t).tenant("Loyal")
	const says = "postbackSecurity is open"
	var made keyedAdvertiser
	management.post("/api/v1/advertisers", map[string]any{"name": "Acme"}).into(http.StatusCreated, &made)
	require.Empty(t, made.Warnings)
	path := "/api/v1/advertisers/" + made.ID
	management.put("/api/v1/settings", map[string]any{"postbackSecurity": "open"}).into(http.StatusOK, nil)
	advertiser := management.token("advertiser", "advertiserId", made.ID)
	for name, answer := range map[string]*answer{
		"made": management.post("/api/v1/advertisers", map[string]any{"name": "Another"}), "shown": management.get(path),
		"changed": management.put(path, map[string]any{"name": "Acme Inc"}), "rotated": management.post(path+"/key/rotate", nil),
		"a secret": management.post(path+"/signing-secret/rotate", nil), "to itself": advertiser.get(path),
	} {
		require.Contains(t, string(answer.body), says, name)
	}
	var list page[keyedAdvertiser]
	management.get("/api/v1/advertisers").into(http.StatusOK, &list)
	require.Len(t, list.Items, 2)
	for _, one := range list.Items {
		require.Len(t, one.Warnings, 1)
		require.Contains(t, one.Warnings[0], says)
		require.Contains(t, one.Warnings[0], "PUT /api/v1/settings")
		require.Equal(t, one.Name == "Another", strings.Contains(one.Warnings[0], "anyone who sees a click id"), "a secret protects the other one")
	}
	management.put("/api/v1/settings", map[string]any{"postbackSecurity": "keyed"}).into(http.StatusOK, nil)
	require.NotContains(t, string(management.get("/api/v1/advertisers").body), says)
}

// Keys are shown to management and to the advertiser, and are in no row, log or answer besides.
func TestRule78WhoSeesKeys(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	tenantID, management := site.tenant("Loyal")
	var made, other keyedAdvertiser
	management.post("/api/v1/advertisers", map[string]any{"name": "Acme"}).into(http.StatusCreated, &made)
	management.post("/api/v1/advertisers", map[string]any{"name": "Other"}).into(http.StatusCreated, &other)
	path, key := "/api/v1/advertisers/"+made.ID, made.key(t)
	require.Len(t, key, 32, "160 bits")
	require.NotEqual(t, key, other.key(t))

	operator := site.as(operatorToken, "X-Tenant", tenantID)
	for name, who := range map[string]*caller{"management": management, "operator": operator, "itself": management.token("advertiser", "advertiserId", made.ID)} {
		require.Contains(t, string(who.get(path).body), key, name)
	}
	for name, who := range map[string]*caller{"finance": management.token("finance"), "readonly": management.token("readonly")} {
		for _, path := range []string{path, "/api/v1/advertisers", "/api/v1/advertisers?format=csv", "/api/v1/audit", "/api/v1/audit?format=csv"} {
			answer := who.get(path)
			require.Equal(t, http.StatusOK, answer.status, name)
			require.NotContains(t, string(answer.body), key, "%s %s", name, path)
		}
	}
	itself := management.token("advertiser", "advertiserId", other.ID)
	itself.get(path).refused(http.StatusNotFound)
	itself.get("/api/v1/advertisers").refused(http.StatusForbidden)
	require.NotContains(t, string(management.get("/api/v1/audit?page_size=100").body), key, "not even management's audit log")

	require.NoError(t, site.store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		var row string
		err := tx.QueryRow(ctx, "SELECT a::text || (SELECT string_agg(l::text, '') FROM audit_log l) FROM advertisers a WHERE id = $1", made.ID).Scan(&row)
		require.NotContains(t, row, key)
		require.Contains(t, row, domain.AdvertiserKeyHash(key))
		return err
	}))
}

// What an earlier release wrote of keys, in its audit log and in its log of postbacks, is not shown either.
func TestRule78KeysFromBeforeAreHidden(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	tenantID, management := site.tenant("Loyal")
	id := management.made("/api/v1/advertisers", map[string]any{"name": "Old"})
	const key = "kd93jf0skd93jf0s"
	site.exec("UPDATE advertisers SET key = '" + key + "', key_sealed = '', key_hash = '" + domain.AdvertiserKeyHash(key) + "'")
	site.exec(`UPDATE audit_log SET after = after || '{"postbackUrl": "https://x.example/track/` + key + `"}' WHERE noun = 'advertiser'`)
	site.exec(`INSERT INTO postbacks (tenant_id, id, received_at, method, path, source_ip, params, outcome, reason, decided_at) VALUES ('` + tenantID +
		`', gen_random_uuid(), now(), 'GET', '/track/` + key + `', '', '{}', 'refused', 'unknown_click', now())`)
	require.Contains(t, string(management.get("/api/v1/advertisers/"+id).body), "/track/"+key, "it goes on working, and is shown")
	for _, path := range []string{"/api/v1/audit", "/api/v1/postbacks"} {
		body := string(management.get(path).body)
		require.NotContains(t, body, key, path)
		require.Contains(t, body, map[string]string{"/api/v1/audit": `"postbackUrl":""`, "/api/v1/postbacks": "/track/***"}[path])
	}
}

func TestRule78RotatingAKey(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")
	var first, second, third keyedAdvertiser
	management.post("/api/v1/advertisers", map[string]any{"name": "Acme"}).into(http.StatusCreated, &first)
	require.Nil(t, first.PreviousPostbackURLUntil)
	path := "/api/v1/advertisers/" + first.ID
	management.post(path+"/key/rotate", nil).into(http.StatusOK, &second)
	require.NotEqual(t, first.key(t), second.key(t))
	require.WithinDuration(t, clocktest.Now().Add(24*time.Hour), *second.PreviousPostbackURLUntil, time.Minute)
	var shown keyedAdvertiser
	management.get(path).into(http.StatusOK, &shown)
	require.Equal(t, second, shown)
	hashes := func() (now, before string) {
		require.NoError(t, site.store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			return tx.QueryRow(ctx, "SELECT key_hash, previous_key_hash FROM advertisers").Scan(&now, &before)
		}))
		return now, before
	}
	now, before := hashes()
	require.Equal(t, []string{domain.AdvertiserKeyHash(second.key(t)), domain.AdvertiserKeyHash(first.key(t))}, []string{now, before})
	management.post(path+"/key/rotate", map[string]any{}).into(http.StatusOK, &third)
	now, before = hashes()
	require.Equal(t, []string{domain.AdvertiserKeyHash(third.key(t)), domain.AdvertiserKeyHash(second.key(t))}, []string{now, before}, "the first one is over")
	require.Contains(t, string(management.get("/api/v1/audit?filter.action=rotate-key").body), `"totalCount":2`)
	site.exec("UPDATE advertisers SET previous_key_until = now() - interval '1 hour'")
	shown = keyedAdvertiser{}
	management.get(path).into(http.StatusOK, &shown)
	require.Nil(t, shown.PreviousPostbackURLUntil)
	_, stranger := site.tenant("Stranger")
	stranger.post(path+"/key/rotate", nil).refused(http.StatusNotFound)
	management.token("readonly").post(path+"/key/rotate", nil).refused(http.StatusForbidden)
}

func TestRule67RotatingASigningSecret(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")
	id := management.made("/api/v1/advertisers", map[string]any{"name": "Acme"})
	path := "/api/v1/advertisers/" + id
	rotate := path + "/signing-secret/rotate"
	secrets := func() (out []string) {
		t.Helper()
		require.NoError(t, site.store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			var sealed []*string
			err := tx.QueryRow(ctx, "SELECT ARRAY[signing_secret_sealed, previous_secret_sealed] FROM advertisers").Scan(&sealed)
			for _, one := range sealed {
				if one != nil {
					plain, err := site.api.Keys.Open(*one)
					require.NoError(t, err)
					out = append(out, string(plain))
				}
			}
			return err
		}))
		return out
	}
	var first, second keyedAdvertiser
	management.post(rotate, nil).into(http.StatusOK, &first)
	require.True(t, first.HasSigningSecret)
	require.Len(t, first.SigningSecret, 64, "made: 256 bits")
	require.Nil(t, first.PreviousSigningSecretUntil)
	require.Equal(t, []string{first.SigningSecret}, secrets())

	const given = "chosen-by-the-advertiser-with-32-bytes"
	management.post(rotate, map[string]any{"signingSecret": given}).into(http.StatusOK, &second)
	require.Empty(t, second.SigningSecret, "who gave it knows it")
	require.WithinDuration(t, clocktest.Now().Add(24*time.Hour), *second.PreviousSigningSecretUntil, time.Minute)
	require.Equal(t, []string{given, first.SigningSecret}, secrets())
	management.post(rotate, map[string]any{"signingSecret": given}).into(http.StatusOK, nil)
	require.Equal(t, []string{given, first.SigningSecret}, secrets(), "the same again ends nothing")

	const put = "another-one-by-a-put-of-32-bytes-or-more"
	management.put(path, map[string]any{"name": "Acme", "signingSecret": put}).into(http.StatusOK, &second)
	require.Equal(t, []string{put, given}, secrets(), "a PUT rotates too")
	management.put(path, map[string]any{"name": "Acme", "signingSecret": nil}).into(http.StatusOK, nil)
	require.Empty(t, secrets(), "null ends both")

	management.post(rotate, map[string]any{"signingSecret": "short"}).refused(http.StatusBadRequest, "signingSecret")
	management.token("finance").post(rotate, nil).refused(http.StatusForbidden)
	_, stranger := site.tenant("Stranger")
	stranger.post(rotate, nil).refused(http.StatusNotFound)
	for _, secret := range []string{first.SigningSecret, given, put} {
		require.NotContains(t, string(management.get("/api/v1/audit?page_size=100").body)+string(management.get(path).body), secret)
	}
}
