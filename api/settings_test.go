package api_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
)

type settings struct {
	Timezone       string
	NextTimezone   *string
	NextTimezoneAt *time.Time
	Currency       string
	RewardRatio    *string
	FallbackURL    string
	GoalsEnabled   bool
	FraudChecks    map[string]string
}

// nudges counts what the relay was told.
type nudges struct{ count int }

func (n *nudges) Nudge() { n.count++ }

// Rule 73: a tenant lists the schemes of its own apps, and never one that runs in a browser.
func TestRule73Schemes(t *testing.T) {
	t.Parallel()
	_, management := newSite(t).tenant("Games")
	var got struct {
		DestinationSchemes []string
		FallbackURL        string
	}
	management.get("/api/v1/settings").into(200, &got)
	require.Equal(t, []string{}, got.DestinationSchemes)
	management.put("/api/v1/settings", `{"fallbackUrl":"mygame://none"}`).refused(400, "fallbackUrl")
	management.put("/api/v1/settings", `{"destinationSchemes":["MyGame://","x-two","mygame"],"fallbackUrl":"mygame://none"}`).into(200, &got)
	require.Equal(t, []string{"mygame", "x-two"}, got.DestinationSchemes)
	require.Equal(t, "mygame://none", got.FallbackURL)
	for _, scheme := range []string{"javascript", "Data:", "file", "blob", "vbscript", "about", "a b", ""} {
		management.put("/api/v1/settings", map[string]any{"destinationSchemes": []string{scheme}}).refused(400, "destinationSchemes")
	}
	management.post("/api/v1/partners", `{"name":"P","fallbackUrl":"javascript:x"}`).refused(400, "fallbackUrl")
	management.post("/api/v1/partners", `{"name":"P","fallbackUrl":"mygame://partner"}`).into(201, &got)
	management.put("/api/v1/settings", `{"destinationSchemes":null}`).into(200, &got)
	require.Equal(t, []string{}, got.DestinationSchemes)
	require.Equal(t, "mygame://none", got.FallbackURL, "what stood there stays")
	management.put("/api/v1/settings", `{"fallbackUrl":"https://example.com/none"}`).into(200, &got)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	relay := &nudges{}
	site := newSite(t)
	site.api.Relay = relay
	tenantID, management := site.tenant("Loyal")
	var got settings
	management.put("/api/v1/settings", `{"rewardRatio":"100","fallbackUrl":"https://example.com/none","goalsEnabled":false,"fraudChecks":{"bot":"off","geo":"off"}}`).into(200, &got)
	require.Equal(t, "100.00", *got.RewardRatio)
	require.False(t, got.GoalsEnabled)
	require.Equal(t, "off", got.FraudChecks["bot"])
	require.Equal(t, "off", got.FraudChecks["geo"])

	t.Run("what is left out stays", func(t *testing.T) {
		management.put("/api/v1/settings", `{"fraudChecks":{"geo":"off"}}`).into(200, &got)
		require.Equal(t, "100.00", *got.RewardRatio)
		require.Equal(t, "off", got.FraudChecks["bot"])
		management.put("/api/v1/settings", `{"rewardRatio":null,"fraudChecks":null}`).into(200, &got)
		require.Nil(t, got.RewardRatio)
		require.Equal(t, "refuse", got.FraudChecks["bot"])
		require.Equal(t, "https://example.com/none", got.FallbackURL)
	})
	t.Run("refused", func(t *testing.T) {
		management.put("/api/v1/settings", `{"timezone":"Nowhere","rewardRatio":"x","fallbackUrl":"x","fraudChecks":{"geo":"maybe","moon":"off"}}`).
			refused(400, "timezone", "rewardRatio", "fallbackUrl", "fraudChecks.geo", "fraudChecks.moon")
		// A check that nothing runs, and an action that a check does not know.
		management.put("/api/v1/settings", `{"fraudChecks":{"geo":"refuse","proxy":"hold","accounts":"off","bot":"hold"}}`).
			refused(400, "fraudChecks.geo", "fraudChecks.proxy", "fraudChecks.bot")
		management.put("/api/v1/settings", `{"currency":"EUR"}`).refused(400, "currency")
	})
	t.Run("the redirect hears of it", func(t *testing.T) {
		require.NoError(t, site.store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			rows, err := tx.Query(t.Context(), "SELECT tenant_id, subject, payload->>'tenantId', payload->>'offerId' FROM outbox")
			require.NoError(t, err)
			var tenant uuid.UUID
			var subject, named string
			var offer *string
			n := 0
			_, err = pgx.ForEachRow(rows, []any{&tenant, &subject, &named, &offer}, func() error {
				n++
				require.Equal(t, tenantID, tenant.String())
				require.Equal(t, "offerflow.events.offer", subject)
				require.Equal(t, tenantID, named)
				require.Nil(t, offer)
				return nil
			})
			require.Equal(t, 3, n)
			return err
		}))
		require.GreaterOrEqual(t, relay.count, 3)
	})
}

func TestTimezoneChange(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	_, management := site.tenant("Loyal")
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	require.NoError(t, err)
	var got settings
	begun := clocktest.Now()

	// A new zone starts at its next local midnight; until then the old one counts.
	management.put("/api/v1/settings", `{"timezone":"Asia/Tokyo"}`).into(200, &got)
	require.Equal(t, "UTC", got.Timezone)
	require.Equal(t, "Asia/Tokyo", *got.NextTimezone)
	at := got.NextTimezoneAt.In(tokyo)
	require.Equal(t, "00:00:00", at.Format(time.TimeOnly))
	require.True(t, at.After(begun) && at.Before(clocktest.Now().Add(24*time.Hour+time.Minute)))

	// What was read can be put back, and changes nothing.
	shown := management.get("/api/v1/settings").body
	management.put("/api/v1/settings", string(shown)).into(200, &got)
	require.Equal(t, "Asia/Tokyo", *got.NextTimezone)
	require.JSONEq(t, string(shown), string(management.get("/api/v1/settings").body))

	// Back again before that: nothing is planned.
	management.put("/api/v1/settings", `{"timezone":"UTC"}`).into(200, &got)
	require.Nil(t, got.NextTimezone)

	// Once midnight has passed, the new one counts, and the next change starts from it.
	management.put("/api/v1/settings", `{"timezone":"Asia/Tokyo"}`).into(200, &got)
	require.NoError(t, site.store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "UPDATE tenants SET next_timezone_at = now() - interval '1 hour'")
		return err
	}))
	management.get("/api/v1/settings").into(200, &got)
	require.Equal(t, "Asia/Tokyo", got.Timezone)
	require.Nil(t, got.NextTimezone)
	management.put("/api/v1/settings", `{"timezone":"Europe/Berlin"}`).into(200, &got)
	require.Equal(t, "Asia/Tokyo", got.Timezone)
	require.Equal(t, "Europe/Berlin", *got.NextTimezone)
}
