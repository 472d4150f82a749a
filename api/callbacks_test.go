package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/api/clocktest"
)

// endpointView is the tests' own reading of an endpoint.
type endpointView struct {
	ID, URL, HeaderName, Signature, SigningSecret, PublicKey, DisabledReason string
	Events                                                                   []string
	PreviousSecretUntil, DisabledAt                                          *time.Time
}

// deliveryView is the tests' own reading of a delivery.
type deliveryView struct {
	ID, Kind, State, Status, ConversionID string
	AttemptCount                          int
	Attempts                              []struct {
		Number, StatusCode, LatencyMs int
		Answer                        string
	}
}

const endpointPath = "/api/v1/callback-endpoint"

func newCallbackSite(t *testing.T) (*site, string, *caller) {
	t.Helper()
	s := newSite(t, func(server *api.Server) {
		server.Config.CallbackAllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	id, c := s.tenant("Publisher")
	return s, id, c
}

func TestCallbackEndpointShowsItsSecretOnce(t *testing.T) {
	t.Parallel()
	s, tenantID, c := newCallbackSite(t)
	c.get(endpointPath).refused(http.StatusNotFound)
	var made, again, kept, rotated, changed endpointView
	c.put(endpointPath, map[string]any{"url": "http://127.0.0.1:9/hook", "headerName": "X-Key", "headerValue": "very-secret-value"}).into(200, &made)
	require.True(t, strings.HasPrefix(made.SigningSecret, "whsec_"), made.SigningSecret)
	require.Equal(t, []string{"success"}, made.Events)
	require.Equal(t, "v1", made.Signature)

	c.put(endpointPath, map[string]any{"url": "http://127.0.0.1:9/other", "events": []string{"rejected", "pending", "pending"}}).into(200, &again)
	require.Empty(t, again.SigningSecret+again.PublicKey)
	require.Equal(t, []string{"pending", "rejected"}, again.Events)
	require.Equal(t, made.ID, again.ID)
	require.Equal(t, "X-Key", again.HeaderName)

	answer := c.get(endpointPath)
	answer.into(200, &kept)
	require.Equal(t, "http://127.0.0.1:9/other", kept.URL)

	c.post(endpointPath+"/rotate", nil).into(200, &rotated)
	require.True(t, strings.HasPrefix(rotated.SigningSecret, "whsec_") && rotated.SigningSecret != made.SigningSecret)
	require.WithinDuration(t, clocktest.Now().Add(24*time.Hour), *rotated.PreviousSecretUntil, time.Minute)

	c.put(endpointPath, map[string]any{"url": "http://127.0.0.1:9/", "signature": "v1a"}).into(200, &changed)
	require.True(t, strings.HasPrefix(changed.PublicKey, "whpk_"), changed.PublicKey)
	require.Empty(t, changed.SigningSecret)

	// No secret in the answers to anybody, the log of changes or, unsealed, in the database.
	everything := string(answer.body) + string(c.get("/api/v1/audit?page_size=100").body)
	require.NoError(t, s.store.Tenant(t.Context(), uuid.MustParse(tenantID), func(ctx context.Context, tx pgx.Tx) error {
		var row string
		err := tx.QueryRow(t.Context(), "SELECT row_to_json(e)::text FROM callback_endpoints e").Scan(&row)
		everything += row
		return err
	}))
	for _, secret := range []string{"very-secret-value", "whsec_", "whsk_"} {
		require.NotContains(t, everything, secret)
	}
}

func TestRule53CallbackEndpointsAreVettedWhenSaved(t *testing.T) {
	t.Parallel()
	_, _, c := newCallbackSite(t)
	for _, url := range []string{
		"", "nonsense", "http://10.0.0.1/", "https://10.0.0.1/", "https://[::1]/", "https://169.254.169.254/", "https://user:pw@127.0.0.1/",
		"http://93.184.216.34/", "https://93.184.216.34:22/", "https://does-not-resolve.invalid/", "https://2130706433/", "https://0x7f.1/",
	} {
		c.put(endpointPath, map[string]any{"url": url}).refused(http.StatusBadRequest, "url")
	}
	c.put(endpointPath, map[string]any{"url": "https://93.184.216.34/"}).into(200, nil)
	good := "http://127.0.0.1:9/"
	for field, body := range map[string]map[string]any{
		"events":      {"url": good, "events": []string{"everything"}},
		"signature":   {"url": good, "signature": "v2"},
		"headerName":  {"url": good, "headerName": "Webhook-Id", "headerValue": "x"},
		"headerValue": {"url": good, "headerName": "X-Key", "headerValue": "a\r\nX-Other: b"},
	} {
		c.put(endpointPath, body).refused(http.StatusBadRequest, field)
	}
	c.put(endpointPath, map[string]any{"url": good, "headerName": "X-New"}).refused(http.StatusBadRequest, "headerValue")
	c.token("readonly").put(endpointPath, map[string]any{"url": good}).refused(http.StatusForbidden)
}

func (s *site) asTenant(tenantID, sql string, args ...any) {
	s.t.Helper()
	require.NoError(s.t, s.store.Tenant(s.t.Context(), uuid.MustParse(tenantID), func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(s.t.Context(), sql, args...)
		return err
	}))
}

// asked are the deliveries that the outbox asks attempts for.
func (s *site) asked(tenantID string) (ids []string) {
	s.t.Helper()
	require.NoError(s.t, s.store.Tenant(s.t.Context(), uuid.MustParse(tenantID), func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(s.t.Context(), "DELETE FROM outbox WHERE subject = 'offerflow.events.delivery' RETURNING payload")
		if err != nil {
			return err
		}
		payloads, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
		for _, payload := range payloads {
			var event struct{ TenantID, DeliveryID string }
			require.NoError(s.t, json.Unmarshal(payload, &event))
			require.Equal(s.t, tenantID, event.TenantID)
			ids = append(ids, event.DeliveryID)
		}
		return err
	}))
	return ids
}

func TestATestCallbackIsQueuedWithItsMessage(t *testing.T) {
	t.Parallel()
	s, tenantID, c := newCallbackSite(t)
	c.post(endpointPath+"/test", nil).refused(http.StatusNotFound)
	c.put(endpointPath, map[string]any{"url": "http://127.0.0.1:9/"}).into(200, nil)
	var made struct{ ID string }
	c.post(endpointPath+"/test", nil).into(http.StatusAccepted, &made)
	require.Equal(t, []string{made.ID}, s.asked(tenantID))
	require.NoError(t, s.store.Tenant(t.Context(), uuid.MustParse(tenantID), func(ctx context.Context, tx pgx.Tx) error {
		var body string
		err := tx.QueryRow(context.Background(), "SELECT body FROM deliveries WHERE id = $1 AND kind = 'test' AND state = 'waiting'", made.ID).Scan(&body)
		require.Contains(t, body, `"id":"`+made.ID+`"`)
		require.Contains(t, body, `"isTest":true`)
		return err
	}))
}

func TestDeliveriesAreListedAndSentAgain(t *testing.T) {
	t.Parallel()
	s, tenantID, c := newCallbackSite(t)
	var endpoint endpointView
	c.put(endpointPath, map[string]any{"url": "http://127.0.0.1:9/"}).into(200, &endpoint)
	conversion, failed, delivered, due := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	for id, state := range map[uuid.UUID]string{failed: "failed", delivered: "delivered", due: "waiting"} {
		s.asTenant(tenantID, `INSERT INTO deliveries (tenant_id, id, kind, endpoint_id, conversion_id, sequence, status, state, body, attempts, next_attempt_at, created_at, finished_at)
			VALUES ($1, $2, 'callback', $3, $4, 1, 'Reversed', $5, '{}', 1, CASE WHEN $5 = 'waiting' THEN now() + interval '5 hours' END, now(),
				CASE WHEN $5 <> 'waiting' THEN now() END)`,
			tenantID, id, endpoint.ID, map[bool]uuid.UUID{true: conversion, false: uuid.New()}[id == failed], state)
		s.asTenant(tenantID, `INSERT INTO delivery_attempts (tenant_id, delivery_id, number, at, status_code, latency_ms, answer)
			VALUES ($1, $2, 1, now(), 500, 12, repeat('x', 65536))`, tenantID, id)
	}
	var all, found page[deliveryView]
	c.get("/api/v1/deliveries").into(200, &all)
	require.Equal(t, 3, all.TotalCount)
	for _, filter := range []string{"filter.conversionId=" + conversion.String(), "filter.conversion=" + conversion.String(), "filter.state=failed", "filter.state=failed&filter.endpointId=" + endpoint.ID} {
		c.get("/api/v1/deliveries?"+filter).into(200, &found)
		require.Len(t, found.Items, 1, filter)
		require.Equal(t, failed.String(), found.Items[0].ID)
		require.Equal(t, "Rejected", found.Items[0].Status)
		require.Len(t, found.Items[0].Attempts, 1)
		require.Equal(t, 500, found.Items[0].Attempts[0].StatusCode)
		require.Len(t, found.Items[0].Attempts[0].Answer, 65536)
	}

	var out struct {
		ID    string
		Count int
		More  bool
	}
	c.post("/api/v1/deliveries/"+failed.String()+"/resend", nil).into(http.StatusAccepted, &out)
	require.Equal(t, failed.String(), out.ID)
	require.Equal(t, []string{failed.String()}, s.asked(tenantID))
	c.get("/api/v1/deliveries?filter.id="+failed.String()).into(200, &found)
	require.Equal(t, "waiting", found.Items[0].State)

	// In bulk: what failed, unless another state is named.
	c.post("/api/v1/deliveries/resend", map[string]any{}).into(http.StatusAccepted, &out)
	require.Zero(t, out.Count)
	c.post("/api/v1/deliveries/resend", map[string]any{"state": "delivered"}).into(http.StatusAccepted, &out)
	require.Equal(t, 1, out.Count)
	c.post("/api/v1/deliveries/resend", map[string]any{"state": "waiting"}).into(http.StatusAccepted, &out)
	require.Equal(t, 3, out.Count)
	require.ElementsMatch(t, []string{delivered.String(), failed.String(), delivered.String(), due.String()}, s.asked(tenantID))

	// Another tenant's are not there.
	_, foreign := s.tenant("Other")
	foreign.put(endpointPath, map[string]any{"url": "http://127.0.0.1:9/"}).into(200, nil)
	foreign.post("/api/v1/deliveries/"+failed.String()+"/resend", nil).refused(http.StatusNotFound)
	foreign.get("/api/v1/deliveries").into(200, &found)
	require.Zero(t, found.TotalCount)
}

func TestRule51ADisabledEndpointIsEnabledByPut(t *testing.T) {
	t.Parallel()
	s, tenantID, c := newCallbackSite(t)
	c.put(endpointPath, map[string]any{"url": "http://127.0.0.1:9/"}).into(200, nil)
	s.asTenant(tenantID, "UPDATE callback_endpoints SET disabled_at = now(), disabled_reason = 'answered 410 Gone'")
	c.post(endpointPath+"/test", nil).refused(http.StatusConflict)
	c.post("/api/v1/deliveries/resend", map[string]any{}).refused(http.StatusConflict)
	var endpoint endpointView
	c.get(endpointPath).into(200, &endpoint)
	require.NotNil(t, endpoint.DisabledAt)
	endpoint = endpointView{}
	c.put(endpointPath, map[string]any{"url": "http://127.0.0.1:9/"}).into(200, &endpoint)
	require.Nil(t, endpoint.DisabledAt)
	require.Empty(t, endpoint.SigningSecret)
	c.post(endpointPath+"/test", nil).into(http.StatusAccepted, nil)
}

// Rule 51: the documents of the callback endpoint and of a partner's URL say how they do. A PUT begins anew:
// whether it works now is to be found out.
func TestRule51EndpointsShowHowTheyDo(t *testing.T) {
	t.Parallel()
	s, tenantID, c := newCallbackSite(t)
	type view struct {
		ID     string
		Health *struct {
			FailingSince, LastFailedForGoodAt *time.Time
			FailedAttempts, FailedForGood     int
			LastStatusCode                    int
			LastError                         string
		}
	}
	var callback, partner view
	c.put(endpointPath, map[string]any{"url": "http://127.0.0.1:9/"}).into(200, &callback)
	require.Nil(t, callback.Health, "it never failed")
	partnerID := c.made("/api/v1/partners", map[string]any{"name": "P"})
	partnerPath := "/api/v1/partner-postbacks/" + c.made("/api/v1/partner-postbacks", map[string]any{"partnerId": partnerID, "url": "http://127.0.0.1:9/p"})
	c.get(partnerPath).into(200, &partner)
	require.Nil(t, partner.Health)
	for id, kind := range map[string]string{callback.ID: "callback", partner.ID: "partner"} {
		s.asTenant(tenantID, `INSERT INTO endpoint_failures (tenant_id, endpoint_id, kind, failing_since, failures, last_failed_at, last_status_code, last_error, lost, last_lost_at)
			VALUES (current_tenant(), '`+id+`', '`+kind+`', now() - interval '1 hour', 7, now(), 401, 'answered with status 401', 3, now())`)
	}
	for path, body := range map[string]map[string]any{endpointPath: {"url": "http://127.0.0.1:9/"}, partnerPath: {"url": "http://127.0.0.1:9/p"}} {
		var failing, put view
		c.get(path).into(200, &failing)
		require.NotNil(t, failing.Health, path)
		require.NotNil(t, failing.Health.FailingSince)
		require.Equal(t, []any{7, 401, "answered with status 401", 3},
			[]any{failing.Health.FailedAttempts, failing.Health.LastStatusCode, failing.Health.LastError, failing.Health.FailedForGood})
		c.put(path, body).into(200, &put)
		require.Nil(t, put.Health.FailingSince, path)
		require.Equal(t, []int{0, 3}, []int{put.Health.FailedAttempts, put.Health.FailedForGood})
	}
	var list struct{ Items []view }
	c.get("/api/v1/partner-postbacks").into(200, &list)
	require.Equal(t, 3, list.Items[0].Health.FailedForGood)
}
