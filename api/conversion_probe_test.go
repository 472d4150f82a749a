package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
)

// testResult is the tests' own reading of the tool's answer.
type testResult struct {
	OK                                            bool
	ClickID, PostbackID, ConversionID, DeliveryID string
	Steps                                         []struct {
		Step, State, Detail, Reason, EventID, Outcome string
		OK                                            bool
		StatusCode                                    int
		Predecessors                                  []string
	}
}

// states are the steps with their states, in order.
func (r testResult) states() (all []string) {
	for _, step := range r.Steps {
		all = append(all, strings.TrimSpace(step.Step+" "+step.State+" "+step.Reason))
	}
	return all
}

// toolBook is a book with all that a worker does behind its API, at once and without streams.
type toolBook struct {
	*book
	partner  string
	receiver *httptest.Server

	mu     sync.Mutex
	got    []string // paths with their queries
	answer int
	// Faults.
	clickFails, clickLost, postbackLost bool
}

func newToolBook(t *testing.T) *toolBook {
	t.Helper()
	b := &toolBook{answer: http.StatusNoContent}
	b.book, b.partner = newPartnerBook(t)
	b.receiver = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.got = append(b.got, r.URL.RequestURI())
		w.WriteHeader(b.answer)
	}))
	t.Cleanup(b.receiver.Close)
	b.asTenant(b.tenantID.String(), "INSERT INTO links (tenant_id, id, offer_id, is_default, created_at) VALUES ($1, $2, $3, true, now())",
		b.tenantID, uuid.New(), b.offer.ID)
	require.NoError(t, b.api.TrackWith(t.Context(), b.takeClick, b.takePostback))
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	deliveries := delivery.NewDeliveries(b.store, b.api.Keys, outbound.New(loopback, nil), nil)
	t.Cleanup(deliveries.Wait)
	relay := &testRelay{book: b.book, deliveries: deliveries}
	b.api.Relay, b.decisions.Nudge = relay, relay.Nudge
	return b
}

func (b *toolBook) takeClick(click domain.Click) error {
	switch {
	case b.clickFails:
		return errors.New("full")
	case b.clickLost:
		return nil
	}
	packed, err := json.Marshal([]domain.Click{click})
	if err != nil {
		return err
	}
	return (&attribution.Clicks{Store: b.store}).Insert(context.Background(), packed)
}

func (b *toolBook) takePostback(postback domain.Postback) (domain.Answer, bool) {
	if b.postbackLost {
		return domain.Answer{}, false
	}
	decided, err := b.decisions.Decide(context.Background(), b.tenantID, postback)
	require.NoError(b.t, err)
	return decided.Answer, true
}

// testRelay hands the outbox's news to the deliveries.
type testRelay struct {
	*book
	deliveries *delivery.Deliveries
	mu         sync.Mutex
}

func (r *testRelay) Nudge() {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx := context.Background()
	rows, err := dbgen.New().SystemOutbox(ctx, r.store.SystemPool(), 100)
	require.NoError(r.t, err)
	for _, row := range rows {
		require.NoError(r.t, dbgen.New().SystemLeaveOutbox(ctx, r.store.SystemPool(), []uuid.UUID{row.ID}, []int64{row.Position}))
		var conversion stream.ConversionEvent
		var delivery stream.DeliveryEvent
		switch row.Subject {
		case stream.SubjectConversion:
			require.NoError(r.t, json.Unmarshal(row.Payload, &conversion))
			require.NoError(r.t, r.deliveries.HandleConversion(ctx, conversion))
		case stream.SubjectDelivery:
			require.NoError(r.t, json.Unmarshal(row.Payload, &delivery))
			require.NoError(r.t, r.deliveries.HandleDelivery(ctx, delivery))
		}
	}
}

func (b *toolBook) endpoint(path string) {
	b.t.Helper()
	b.me.put(endpointPath, map[string]any{"url": b.receiver.URL + path}).into(200, nil)
}

func (b *toolBook) try(body map[string]any) (result testResult) {
	b.t.Helper()
	body["offerId"] = b.offer.ID
	b.me.post("/api/v1/tools/test-conversion", body).into(200, &result)
	for _, step := range result.Steps {
		require.NotEmpty(b.t, step.Step+step.Detail)
		require.Equal(b.t, step.State == "ok" || step.State == "skipped", step.OK)
	}
	return result
}

func TestATestGoesTheWholeWay(t *testing.T) {
	t.Parallel()
	b := newToolBook(t)
	b.endpoint("/hook")
	b.asTenant(b.tenantID.String(), "UPDATE advertisers SET security_token_hash = 'x'")
	result := b.try(map[string]any{"eventId": eventInstall, "pub_member_id": "ann"})
	require.Equal(t, []string{"offer ok", "event ok", "sequence ok", "click ok", "postback ok", "conversion ok", "callback ok"}, result.states())
	require.True(t, result.OK)
	require.Contains(t, result.Steps[4].Detail, "security_token")
	require.Equal(t, 204, result.Steps[6].StatusCode)
	require.Equal(t, []string{"/hook"}, b.got)

	// All of it is marked, and none of it counts.
	var trace struct {
		Click       struct{ IsTest bool }
		Conversions []struct {
			ID     string
			IsTest bool
		}
		Ledger     []any
		Deliveries []struct {
			ID     string
			IsTest bool
		}
	}
	b.me.get("/api/v1/clicks/"+result.ClickID).into(200, &trace)
	require.True(t, trace.Click.IsTest && trace.Conversions[0].IsTest && trace.Deliveries[0].IsTest)
	require.Equal(t, []string{result.ConversionID, result.DeliveryID}, []string{trace.Conversions[0].ID, trace.Deliveries[0].ID})
	require.Empty(t, trace.Ledger)
	require.Zero(t, b.count("SELECT count(*) FROM conversions WHERE is_counted"))
	require.Equal(t, 1, b.count("SELECT count(*) FROM audit_log WHERE action = 'test' AND noun_id = $1", result.ClickID))
	require.True(t, b.try(map[string]any{"eventId": b.offer.Events[0].ID, "pub_member_id": "ann"}).OK, "again, by our id of the event")
}

func TestRule14ATestCompletesPredecessorsOnRequest(t *testing.T) {
	t.Parallel()
	b := newToolBook(t)
	b.endpoint("/hook")
	result := b.try(map[string]any{"eventId": eventLevel})
	require.Equal(t, []string{"offer ok", "event ok", "sequence failed out_of_sequence"}, result.states())
	require.Equal(t, []string{eventInstall}, result.Steps[2].Predecessors)
	require.Empty(t, result.ClickID, "nothing was made")
	require.Zero(t, b.count("SELECT count(*) FROM clicks"))

	result = b.try(map[string]any{"eventId": eventLevel, "completePredecessors": true})
	require.Equal(t, []string{"offer ok", "event ok", "sequence ok", "click ok", "postback ok", "postback ok", "conversion ok", "callback skipped"}, result.states())
	require.True(t, result.OK)
	require.Contains(t, result.Steps[6].Detail, "It becomes Success on")

	// Minimum times (rule 15): the click is dated back; where nobody can ever be in time, it says so.
	b.asTenant(b.tenantID.String(), `INSERT INTO offer_versions (tenant_id, offer_id, version, document, created_at, created_by)
		SELECT tenant_id, offer_id, 2, jsonb_set(jsonb_set(document, '{events,1,minTimeFromPreviousEvent}', '5000000'), '{version}', '2'), now(), 'test' FROM offer_versions WHERE offer_id = $1`, b.offer.ID)
	b.asTenant(b.tenantID.String(), "UPDATE offers SET version = 2 WHERE id = $1", b.offer.ID)
	result = b.try(map[string]any{"eventId": eventLevel, "completePredecessors": true})
	require.True(t, result.OK, "%v", result.Steps)
	require.Contains(t, result.Steps[2].Detail, "5h0m0s")
	require.Equal(t, 1, b.count("SELECT count(*) FROM clicks WHERE id = $1 AND clicked_at < now() - interval '4 hours'", result.ClickID))
}

func TestATestSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := newToolBook(t)
	last := func(result testResult) (step string) {
		states := result.states()
		return states[len(states)-1]
	}
	result := b.try(map[string]any{"eventId": "Install"})
	require.Equal(t, []string{"offer ok", "event failed unknown_event"}, result.states())
	require.Contains(t, result.Steps[1].Detail, "install, level_5, buy")

	result = b.try(map[string]any{})
	require.Equal(t, "callback failed", last(result))
	require.Contains(t, result.Steps[6].Detail, "There is no callback endpoint")
	require.NotEmpty(t, result.ConversionID, "the rest was looked at")
	require.False(t, result.OK)

	b.endpoint("/hook")
	b.answer = http.StatusInternalServerError
	result = b.try(map[string]any{})
	require.Equal(t, "callback failed", last(result))
	require.Equal(t, 500, result.Steps[6].StatusCode)
	require.Contains(t, result.Steps[6].Detail, "500")
	require.Equal(t, 1, b.count("SELECT count(*) FROM deliveries WHERE state = 'failed' AND attempts = 1"), "a test is tried once")
	b.answer = http.StatusOK

	b.asTenant(b.tenantID.String(), "UPDATE callback_endpoints SET url = 'https://does-not-resolve.invalid/'")
	result = b.try(map[string]any{})
	require.Contains(t, result.Steps[6].Detail, "the host name does not resolve")
	b.asTenant(b.tenantID.String(), "UPDATE callback_endpoints SET disabled_at = now(), disabled_reason = 'answered 410 Gone'")
	require.Contains(t, b.try(map[string]any{}).Steps[6].Detail, "disabled")

	b.asTenant(b.tenantID.String(), "UPDATE partners SET status = 'blocked'")
	result = b.try(map[string]any{"partnerId": b.partner})
	require.Equal(t, "offer failed partner_blocked", result.states()[0])
	require.NotEmpty(t, result.ConversionID, "it goes on as an earlier click (rule 20)")

	b.postbackLost = true
	begin := time.Now()
	result = b.try(map[string]any{})
	require.Equal(t, "postback underWay", last(result))
	b.clickLost = true
	require.Equal(t, "click underWay", last(b.try(map[string]any{})))
	require.Less(t, time.Since(begin), time.Minute, "each may take 10 s, and what a busy machine adds")
	b.clickFails = true
	require.Equal(t, "click failed", last(b.try(map[string]any{})))
}

func TestRule46ATestOfAPausedOfferSaysSo(t *testing.T) {
	t.Parallel()
	b := newToolBook(t)
	b.endpoint("/hook")
	b.asTenant(b.tenantID.String(), `INSERT INTO offer_versions (tenant_id, offer_id, version, document, created_at, created_by)
		SELECT tenant_id, offer_id, 2, jsonb_set(jsonb_set(document, '{isPaused}', 'true'), '{version}', '2'), now(), 'test' FROM offer_versions WHERE offer_id = $1`, b.offer.ID)
	b.asTenant(b.tenantID.String(), "UPDATE offers SET version = 2 WHERE id = $1", b.offer.ID)
	result := b.try(map[string]any{})
	require.Equal(t, "offer failed offer_inactive", result.states()[0])
	require.Contains(t, result.Steps[0].Detail, "paused")
	require.Equal(t, "callback ok", result.states()[6])
	require.False(t, result.OK)
}

func TestRule46ATestOfAnOfferWithoutGoalsSaysSo(t *testing.T) {
	t.Parallel()
	b := newToolBook(t)
	b.asTenant(b.tenantID.String(), `INSERT INTO offer_versions (tenant_id, offer_id, version, document, created_at, created_by)
		SELECT tenant_id, offer_id, 2, jsonb_set(document, '{version}', '2') || jsonb_build_object('events', (SELECT jsonb_agg(e || '{"status": "deleted"}') FROM jsonb_array_elements(document->'events') e)), now(), 'test'
		FROM offer_versions WHERE offer_id = $1`, b.offer.ID)
	b.asTenant(b.tenantID.String(), "UPDATE offers SET version = 2 WHERE id = $1", b.offer.ID)
	result := b.try(map[string]any{})
	require.Equal(t, "offer failed offer_inactive", result.states()[0])
	require.Contains(t, result.Steps[0].Detail, "deleted")
}

func TestATestCallsPartnersOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	b := newToolBook(t)
	b.endpoint("/hook")
	b.me.made(partnerPostbackPath, map[string]any{"partnerId": b.partner, "url": b.receiver.URL + "/p?c={pub_click_id}&s={aff_sub2}&src={source}"})
	b.me.made(partnerPostbackPath, map[string]any{"partnerId": b.partner, "url": b.receiver.URL + "/pending", "events": []string{"pending"}})
	params := map[string]string{"pub_click_id": "abc", "pub_sub_2": "two", "source": "fb"}
	result := b.try(map[string]any{"partnerId": b.partner, "params": params})
	require.Equal(t, "partnerPostback skipped", result.states()[7])
	require.Equal(t, []string{"/hook"}, b.got)
	result = b.try(map[string]any{"partnerId": b.partner, "params": params, "partnerPostbacks": true})
	require.Equal(t, []string{"callback ok", "partnerPostback ok"}, result.states()[6:])
	require.ElementsMatch(t, []string{"/hook", "/hook", "/p?c=abc&s=two&src=fb"}, b.got)
	require.Zero(t, b.count("SELECT count(*) FROM deliveries WHERE NOT is_test"))
}

func TestTestConversionRefusesBadInput(t *testing.T) {
	t.Parallel()
	b := newToolBook(t)
	path := "/api/v1/tools/test-conversion"
	for field, body := range map[string]map[string]any{
		"offerId":         {"offerId": uuid.New()},
		"partnerId":       {"offerId": b.offer.ID, "partnerId": uuid.New()},
		"amount":          {"offerId": b.offer.ID, "amount": "-1"},
		"params.nonsense": {"offerId": b.offer.ID, "params": map[string]string{"nonsense": "x"}},
		"pub_member_id":   {"offerId": b.offer.ID, "pub_member_id": strings.Repeat("x", 513)},
	} {
		b.me.post(path, body).refused(http.StatusBadRequest, field)
	}
	_, foreign := b.tenant("Other")
	foreign.post(path, map[string]any{"offerId": b.offer.ID}).refused(http.StatusBadRequest, "offerId")
	b.me.token("readonly").post(path, map[string]any{"offerId": b.offer.ID}).refused(http.StatusForbidden)
	require.Zero(t, b.count("SELECT count(*) FROM clicks"))
}
