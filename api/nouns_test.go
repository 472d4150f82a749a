package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestTenants(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	operator := site.as(operatorToken)
	valid := map[string]any{"name": "Loyal", "product": "publisher", "email": "ops@example.com"}
	with := func(field string, value any) map[string]any {
		out := map[string]any{field: value}
		for name, v := range valid {
			if name != field {
				out[name] = v
			}
		}
		return out
	}
	for _, bad := range []struct {
		field string
		value any
	}{
		{"name", ""}, {"product", "bank"}, {"email", ""}, {"email", "A <a@b.example>"}, {"timezone", "Mars/Olympus"},
		{"timezone", "Local"}, {"timezone", ""}, {"currency", "EURO"}, {"rewardRatio", -1}, {"rewardRatio", "1e3"},
		{"rewardRatio", true}, {"rewardRatio", "0.1234567"},
	} {
		operator.post("/api/v1/tenants", with(bad.field, bad.value)).refused(400, bad.field)
	}
	id, management := site.tenant("Loyal")
	var settings struct {
		Timezone, Currency string
		RewardRatio        *string
	}
	management.get("/api/v1/settings").into(200, &settings)
	require.Equal(t, "UTC", settings.Timezone)
	require.Equal(t, "USD", settings.Currency)
	require.Nil(t, settings.RewardRatio)

	// A number is read digit by digit.
	var made struct{ APIToken string }
	operator.post("/api/v1/tenants", `{"name":"B","product":"advertiser","email":"b@example.com","rewardRatio":100.000001,"currency":"eur"}`).into(201, &made)
	site.as(made.APIToken).get("/api/v1/settings").into(200, &settings)
	require.Equal(t, "100.000001", *settings.RewardRatio)
	require.Equal(t, "EUR", settings.Currency)

	var log page[struct{ Actor, Action, Noun, NounID string }]
	management.get("/api/v1/audit").into(200, &log)
	require.Equal(t, "operator", log.Items[0].Actor)
	require.Equal(t, id, log.Items[0].NounID)
}

type advertiser struct {
	ID, Name, Email, PostbackURL       string
	HasSecurityToken, HasSigningSecret bool
	IPAllowlist                        []string
	CreatedAt                          time.Time
}

func TestAdvertisers(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")
	var made, read advertiser
	answer := management.post("/api/v1/advertisers", map[string]any{
		"name": " Acme ", "email": "a@example.com", "securityToken": "t0p-s3cret-of-acme", "signingSecret": "hush-hush-hush-and-thirty-two-bytes",
		"ipAllowlist": []string{"192.0.2.7", "198.51.100.9/24", "2001:db8::1", "::ffff:203.0.113.1"},
	})
	answer.into(http.StatusCreated, &made)
	require.Equal(t, "Acme", made.Name)
	require.True(t, made.HasSecurityToken && made.HasSigningSecret)
	require.Equal(t, []string{"192.0.2.7/32", "198.51.100.0/24", "2001:db8::1/128", "203.0.113.1/32"}, made.IPAllowlist)
	key, ok := strings.CutPrefix(made.PostbackURL, publicURL+"/track/")
	require.True(t, ok)
	require.Len(t, key, 32, "160 bits")
	management.get("/api/v1/advertisers/"+made.ID).into(200, &read)
	require.Equal(t, made, read)

	t.Run("secrets are in no answer, log or table", func(t *testing.T) {
		for _, path := range []string{"/api/v1/advertisers/" + made.ID, "/api/v1/advertisers", "/api/v1/audit"} {
			body := string(management.get(path).body)
			require.NotContains(t, body, "s3cret")
			require.NotContains(t, body, "hush")
		}
		require.NoError(t, site.store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			var hash, sealed string
			err := tx.QueryRow(t.Context(), "SELECT security_token_hash, signing_secret_sealed FROM advertisers").Scan(&hash, &sealed)
			require.Equal(t, site.api.Keys.Hash("t0p-s3cret-of-acme"), hash)
			plain, openErr := site.api.Keys.Open(sealed)
			require.NoError(t, openErr)
			require.Equal(t, "hush-hush-hush-and-thirty-two-bytes", string(plain))
			return err
		}))
	})
	t.Run("a PUT keeps what it leaves out and clears what is null", func(t *testing.T) {
		var changed advertiser
		management.put("/api/v1/advertisers/"+made.ID, `{"name":"Acme Inc","signingSecret":null}`).into(200, &changed)
		require.Equal(t, "Acme Inc", changed.Name)
		require.True(t, changed.HasSecurityToken)
		require.False(t, changed.HasSigningSecret)
		require.Equal(t, made.IPAllowlist, changed.IPAllowlist)
		require.Equal(t, made.PostbackURL, changed.PostbackURL)
		management.put("/api/v1/advertisers/"+made.ID, `{"name":null}`).refused(400, "name")
	})
	t.Run("addresses", func(t *testing.T) {
		management.post("/api/v1/advertisers", map[string]any{"name": "x", "ipAllowlist": []string{"10.0.0.1", "10.0.0.0/33", "example.com"}}).
			refused(400, "ipAllowlist[1]", "ipAllowlist[2]")
	})
	t.Run("another tenant's", func(t *testing.T) {
		_, other := site.tenant("Other")
		other.get("/api/v1/advertisers/" + made.ID).refused(404)
		other.put("/api/v1/advertisers/"+made.ID, `{"name":"mine"}`).refused(404)
		var list page[advertiser]
		other.get("/api/v1/advertisers").into(200, &list)
		require.Empty(t, list.Items)
		require.NotNil(t, list.Items)
	})
}

type partner struct {
	ID, Name, Email, Status, FallbackURL string
	Caps                                 struct{ DailyCap, WeeklyCap, MonthlyCap, AllTimeCap *int64 }
	TierID                               *string
}

func TestPartners(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")
	var made, changed partner
	management.post("/api/v1/partners", `{"name":"Blog","caps":{"dailyCap":5,"weeklyCap":null},"fallbackUrl":"https://blog.example.com/out?x=1"}`).into(201, &made)
	require.Equal(t, "active", made.Status)
	require.EqualValues(t, 5, *made.Caps.DailyCap)
	require.Nil(t, made.Caps.WeeklyCap)

	management.put("/api/v1/partners/"+made.ID, `{"status":"blocked","caps":{"allTimeCap":9},"fallbackUrl":null}`).into(200, &changed)
	require.Equal(t, "blocked", changed.Status)
	require.Equal(t, "Blog", changed.Name)
	require.Nil(t, changed.Caps.DailyCap)
	require.EqualValues(t, 9, *changed.Caps.AllTimeCap)
	require.Empty(t, changed.FallbackURL)
	management.put("/api/v1/partners/"+made.ID, `{"caps":null}`).into(200, &changed)
	require.Nil(t, changed.Caps.AllTimeCap)

	for _, bad := range []string{"javascript:alert(1)", "/relative", "https://", "https://u:p@example.com/", "http://a b.example/"} {
		management.post("/api/v1/partners", map[string]any{"name": "x", "fallbackUrl": bad}).refused(400, "fallbackUrl")
	}
	management.post("/api/v1/partners", map[string]any{"name": "x", "tierId": uuid.NewString()}).refused(400, "tierId")
	management.put("/api/v1/partners/"+uuid.NewString(), `{"name":"x"}`).refused(404)
}

func TestPlacements(t *testing.T) {
	t.Parallel()
	_, management := newSite(t).tenant("Loyal")
	type placement struct {
		ID, Name string
		Theme    map[string]any
	}
	var made, changed placement
	management.post("/api/v1/placements", `{"name":"Home","theme":{"accent":"#123456"}}`).into(201, &made)
	require.Equal(t, "#123456", made.Theme["accent"])
	management.put("/api/v1/placements/"+made.ID, `{"name":"Start"}`).into(200, &changed)
	require.Equal(t, made.Theme, changed.Theme)
	var cleared placement
	management.put("/api/v1/placements/"+made.ID, `{"theme":null}`).into(200, &cleared)
	require.Empty(t, cleared.Theme)
	management.post("/api/v1/placements", map[string]any{"name": "x", "theme": map[string]any{"css": strings.Repeat("x", 20_000)}}).refused(400, "theme")
	management.post("/api/v1/placements", `{"name":"x","theme":["red"]}`).refused(400, "theme")
	management.post("/api/v1/placements", `{"name":"x","theme":{"a":"\u0000"}}`).refused(400, "body")
}

func TestLookups(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")
	type item struct {
		ID, Name, Code string
		MinAge, MaxAge *int
	}
	lookup := func(c *caller, kind string) []item {
		var out struct{ Items []item }
		c.get("/api/v1/lookups/"+kind).into(200, &out)
		return out.Items
	}
	for _, kind := range []string{"ages", "categories", "countries", "states", "genders", "trackingSystems", "macros"} {
		require.NotEmpty(t, lookup(management, kind), kind)
	}
	require.Nil(t, lookup(management, "ages")[0].MinAge)
	require.Nil(t, lookup(management, "ages")[0].MaxAge)

	age := management.made("/api/v1/lookups/ages", map[string]any{"name": "Retired", "minAge": 67})
	category := management.made("/api/v1/lookups/categories", map[string]any{"name": "Beekeeping"})
	ages, categories := lookup(management, "ages"), lookup(management, "categories")
	require.Equal(t, age, ages[len(ages)-1].ID)
	require.Equal(t, 67, *ages[len(ages)-1].MinAge)
	require.Equal(t, category, categories[len(categories)-1].ID)

	management.post("/api/v1/lookups/categories", map[string]any{"name": "beekeeping"}).refused(409)
	management.post("/api/v1/lookups/categories", map[string]any{"name": "games"}).refused(409)
	management.post("/api/v1/lookups/ages", map[string]any{"name": "x", "minAge": 30, "maxAge": 20}).refused(400, "maxAge")
	management.post("/api/v1/lookups/ages", map[string]any{"name": "x", "minAge": -1, "maxAge": 200}).refused(400, "minAge", "maxAge")
	management.post("/api/v1/lookups/countries", map[string]any{"name": "Atlantis"}).refused(405)

	_, other := site.tenant("Other")
	require.Len(t, lookup(other, "categories"), len(categories)-1)
}

// What a GET shows can be edited and put as it is.
func TestDocumentsCanBePutBack(t *testing.T) {
	t.Parallel()
	_, management := newSite(t).tenant("Loyal")
	for path, body := range map[string]any{
		"/api/v1/advertisers": map[string]any{"name": "A", "securityToken": "a token that is long enough", "ipAllowlist": []string{"192.0.2.0/24"}},
		"/api/v1/partners":    map[string]any{"name": "P", "caps": map[string]any{"weeklyCap": 7}, "fallbackUrl": "https://example.com/"},
		"/api/v1/placements":  map[string]any{"name": "L", "theme": map[string]any{"a": 1}},
	} {
		one := path + "/" + management.made(path, body)
		shown := string(management.get(one).body)
		management.put(one, shown).into(200, nil)
		require.JSONEq(t, shown, string(management.get(one).body))
	}
}
