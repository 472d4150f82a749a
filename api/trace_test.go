package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
)

// loggedPostback is the tests' own reading of a postback.
type loggedPostback struct {
	ID, SourceIP, Method, Path, Outcome, Reason, Detail string
	RecordedAs                                          string
	Time, DecidedAt                                     time.Time
	Query                                               map[string]string
	ClickID, ConversionID                               *string
	DecideBy                                            *time.Time
}

func TestPostbackLog(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	click := b.click("anna")
	install := b.postback(click, eventInstall)
	b.postback(click, "nonsense")
	stray := domain.Postback{
		ID: uuid.New(), ReceivedAt: clocktest.Now().UTC(), Method: "POST", Path: "/track", Params: map[string]string{"a": "b"},
	}
	_, err := b.decisions.Refuse(t.Context(), stray, domain.ReasonMalformed)
	require.NoError(t, err)

	var log page[loggedPostback]
	b.me.token("readonly").get("/api/v1/postbacks").into(http.StatusOK, &log)
	require.Equal(t, 2, log.TotalCount)
	newest, oldest := log.Items[0], log.Items[1]
	require.Equal(t, []string{"refused", "unknown_event"}, []string{newest.Outcome, newest.Reason})
	require.Equal(t, []string{"accepted", "203.0.113.9", "GET", "/track"}, []string{oldest.Outcome, oldest.SourceIP, oldest.Method, oldest.Path})
	require.Equal(t, "***", oldest.Query["security_token"])
	require.Equal(t, install.ConversionID.String(), *oldest.ConversionID)
	require.False(t, oldest.Time.IsZero() || oldest.DecidedAt.IsZero())

	tomorrow := clocktest.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)
	for query, want := range map[string]int{
		"filter.outcome=refused": 1, "filter.clickId=" + click.String(): 2, "filter.conversionId=" + install.ConversionID.String(): 1,
		"from=" + tomorrow: 0, "to=" + tomorrow: 2, "filter.from=2020-01-01": 2, "filter.reason=unknown_event&order_asc=true": 1,
	} {
		b.me.get("/api/v1/postbacks?"+query).into(http.StatusOK, &log)
		require.Equal(t, want, log.TotalCount, query)
	}
	b.me.get("/api/v1/postbacks?from=then").refused(http.StatusBadRequest, "from")

	operator := b.as(operatorToken)
	operator.get("/api/v1/postbacks").into(http.StatusOK, &log)
	require.Equal(t, 1, log.TotalCount, "what belongs to nobody, and nothing else")
	require.Equal(t, stray.ID.String(), log.Items[0].ID)
	operator.with("X-Tenant", b.tenantID.String()).get("/api/v1/postbacks").into(http.StatusOK, &log)
	require.Equal(t, 2, log.TotalCount)
	operator.with("X-Tenant", uuid.NewString()).get("/api/v1/postbacks").refused(http.StatusBadRequest, "X-Tenant")
	_, stranger := b.tenant("Stranger")
	stranger.get("/api/v1/postbacks").into(http.StatusOK, &log)
	require.Zero(t, log.TotalCount)
	stranger.with("X-Tenant", b.tenantID.String()).get("/api/v1/postbacks").refused(http.StatusForbidden)
	b.as("").get("/api/v1/postbacks").refused(http.StatusUnauthorized)
	b.as("wrong").get("/api/v1/postbacks").refused(http.StatusUnauthorized)
}

// shownTrace is the tests' own reading of a click's trace.
type shownTrace struct {
	Click       struct{ ID, IP, RefusedReason string }
	Findings    []struct{ Stage, Reason string }
	Postbacks   []loggedPostback
	Conversions []shownConversion
	Ledger      []struct{ Account, Amount string }
	Deliveries  []struct {
		ID, State string
		Attempts  []struct{ StatusCode int }
	}
	WorkflowURL *string
}

func TestTraceOfAClick(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	click := b.click("anna")
	held := b.postback(click, eventLevel)
	require.Equal(t, domain.OutcomeHeld, held.Outcome)
	var trace shownTrace
	b.me.get("/api/v1/clicks/"+click.String()).into(http.StatusOK, &trace)
	require.Equal(t, click.String(), trace.Click.ID)
	require.Equal(t, "http://temporal.example/namespaces/offers/workflows/click%2F"+click.String(), *trace.WorkflowURL)
	require.Len(t, trace.Postbacks, 1)
	require.WithinDuration(t, clocktest.Now().Add(time.Hour), *trace.Postbacks[0].DecideBy, time.Minute)
	require.NotNil(t, trace.Conversions)
	require.NotNil(t, trace.Deliveries)

	install := b.postback(click, eventInstall) // and the held one after it
	b.exec(`INSERT INTO deliveries (tenant_id, id, kind, endpoint_id, conversion_id, sequence, status, state, body, attempts, created_at)
		SELECT tenant_id, gen_random_uuid(), 'callback', gen_random_uuid(), id, 1, 'Success', 'waiting', '{}', 1, now() FROM conversions WHERE id = '` +
		install.ConversionID.String() + `';
		INSERT INTO delivery_attempts (tenant_id, delivery_id, number, at, status_code, latency_ms) SELECT tenant_id, id, 1, now(), 503, 7 FROM deliveries`)
	b.me.get("/api/v1/clicks/"+click.String()).into(http.StatusOK, &trace)
	require.Len(t, trace.Postbacks, 2)
	require.Nil(t, trace.Postbacks[0].DecideBy)
	require.Len(t, trace.Conversions, 2)
	require.Len(t, trace.Conversions[0].History, 1)
	require.Equal(t, "Event install", trace.Conversions[1].EventName, "level came first, and was decided second")
	require.Len(t, trace.Ledger, 4)
	require.Len(t, trace.Deliveries, 1)
	require.Equal(t, 503, trace.Deliveries[0].Attempts[0].StatusCode)
	require.Empty(t, trace.Findings)

	_, stranger := b.tenant("Stranger")
	stranger.get("/api/v1/clicks/" + click.String()).refused(http.StatusNotFound)
}

func TestTraceOfARefusedClick(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	click := b.click("", func(c *domain.Click) { c.RefusedReason = domain.ReasonFraudBot })
	var trace shownTrace
	b.me.get("/api/v1/clicks/"+click.String()).into(http.StatusOK, &trace)
	require.Len(t, trace.Findings, 1)
	require.Equal(t, "fraud_bot", trace.Findings[0].Reason)
	require.Nil(t, trace.WorkflowURL)
}
