package api_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// partnerPostbackView is the tests' own reading of a partner postback.
type partnerPostbackView struct {
	ID, PartnerID, URL, Method, Status, DisabledReason string
	EventID                                            *string
	DisabledAt                                         *time.Time
	Events, Warnings                                   []string
}

type previewView struct {
	Method, URL, ContentType, Body, Why string
	WouldFire                           bool
}

const partnerPostbackPath = "/api/v1/partner-postbacks"

// newPartnerBook is a book whose partner may be called here.
func newPartnerBook(t *testing.T) (b *book, partnerID string) {
	t.Helper()
	b = newBook(t)
	b.api.Config.CallbackAllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	return b, b.me.made("/api/v1/partners", map[string]any{"name": "Blue Network"})
}

func (b *book) partnersClick(partnerID string) uuid.UUID {
	return b.click("ann", func(c *domain.Click) {
		id := uuid.MustParse(partnerID)
		c.PartnerID, c.PubSubs, c.PubClickID = &id, []string{"a&b c"}, "p1"
	})
}

func TestRule54PartnerPostbacksAreKept(t *testing.T) {
	t.Parallel()
	b, partner := newPartnerBook(t)
	b.exec("INSERT INTO offer_events (tenant_id, id, offer_id) VALUES ('" + b.tenantID.String() + "', '" + b.offer.Events[0].ID.String() + "', '" + b.offer.ID.String() + "')")
	var made, got, changed partnerPostbackView
	b.me.post(partnerPostbackPath, map[string]any{"partnerId": partner, "url": "http://127.0.0.1:9/cb?c={aff_sub}&x={revenue}"}).into(http.StatusCreated, &made)
	require.Equal(t, "GET", made.Method)
	require.Equal(t, []string{"success"}, made.Events)
	require.Equal(t, "active", made.Status)
	require.Nil(t, made.EventID)
	require.Equal(t, []string{"{revenue} is not a known macro and becomes empty"}, made.Warnings)
	b.me.get(partnerPostbackPath+"/"+made.ID).into(200, &got)
	require.Equal(t, made, got)

	event := b.offer.Events[0].ID.String()
	b.asTenant(b.tenantID.String(), "UPDATE partner_postbacks SET disabled_at = now(), disabled_reason = 'answered 410 Gone'")
	b.me.put(partnerPostbackPath+"/"+made.ID, map[string]any{
		"eventId": event, "method": "POST", "events": []string{"success", "reversed", "success"}, "status": "paused",
	}).into(200, &changed)
	require.Equal(t, event, *changed.EventID)
	require.Equal(t, []string{"reversed", "success"}, changed.Events)
	require.Equal(t, made.URL, changed.URL)
	require.Nil(t, changed.DisabledAt, "rule 51: a PUT enables it again")
	require.Len(t, changed.Warnings, 2)
	// A document can be read, edited and put as it is; null sets the default.
	b.me.put(partnerPostbackPath+"/"+made.ID, string(b.me.get(partnerPostbackPath+"/"+made.ID).body)).into(200, nil)
	b.me.put(partnerPostbackPath+"/"+made.ID, map[string]any{"eventId": nil, "method": nil, "events": nil, "status": nil}).into(200, &changed)
	made.Warnings, changed.Warnings = nil, nil
	require.Equal(t, made, changed)

	var all page[partnerPostbackView]
	b.me.get(partnerPostbackPath+"?filter.partnerId="+partner).into(200, &all)
	require.Equal(t, 1, all.TotalCount)
	b.me.get(partnerPostbackPath+"?filter.partnerId="+uuid.NewString()).into(200, &all)
	require.Zero(t, all.TotalCount)
	require.Equal(t, 4, b.count("SELECT count(*) FROM audit_log WHERE noun = 'partner-postback'"))

	_, foreign := b.tenant("Other")
	foreign.get(partnerPostbackPath + "/" + made.ID).refused(http.StatusNotFound)
	foreign.put(partnerPostbackPath+"/"+made.ID, map[string]any{}).refused(http.StatusNotFound)
	foreign.post(partnerPostbackPath, map[string]any{"partnerId": partner, "url": "https://93.184.216.34/"}).refused(http.StatusBadRequest, "partnerId")
	own := foreign.made("/api/v1/partners", map[string]any{"name": "P"})
	foreign.post(partnerPostbackPath, map[string]any{"partnerId": own, "eventId": event, "url": "https://93.184.216.34/"}).refused(http.StatusBadRequest, "eventId")
	foreign.post(partnerPostbackPath+"/preview", map[string]any{"partnerPostbackId": made.ID, "conversionId": uuid.New()}).refused(http.StatusBadRequest, "partnerPostbackId")
}

func TestRule53PartnerURLsAreVettedWhenSaved(t *testing.T) {
	t.Parallel()
	b, partner := newPartnerBook(t)
	good := "http://127.0.0.1:9/?c={aff_sub}"
	id := b.me.made(partnerPostbackPath, map[string]any{"partnerId": partner, "url": good})
	for _, url := range []string{
		"", "nonsense", "http://10.0.0.1/", "https://169.254.169.254/?c={aff_sub}", "https://user:pw@127.0.0.1/", "https://does-not-resolve.invalid/?c={aff_sub}",
		"https://{aff_sub}/", "https://{aff_sub}.example.com/", "http://127.0.0.1:{source}/", "https://%7Bsource%7D.example.com/", good + "#{payout}",
		"https://93.184.216.34:22/?c={aff_sub}", "https://2130706433/{aff_sub}",
	} {
		b.me.post(partnerPostbackPath, map[string]any{"partnerId": partner, "url": url}).refused(http.StatusBadRequest, "url")
		b.me.put(partnerPostbackPath+"/"+id, map[string]any{"url": url}).refused(http.StatusBadRequest, "url")
	}
	for field, body := range map[string]map[string]any{
		"method": {"method": "PUT"}, "events": {"events": []string{"everything"}}, "status": {"status": "blocked"}, "partnerId": {"partnerId": uuid.New()},
	} {
		b.me.put(partnerPostbackPath+"/"+id, body).refused(http.StatusBadRequest, field)
	}
	b.me.post(partnerPostbackPath, map[string]any{"url": good}).refused(http.StatusBadRequest, "partnerId")
	b.me.token("readonly").post(partnerPostbackPath, map[string]any{"partnerId": partner, "url": good}).refused(http.StatusForbidden)
}

func TestRule54APreviewSendsNothing(t *testing.T) {
	t.Parallel()
	b, partner := newPartnerBook(t)
	id := b.me.made(partnerPostbackPath, map[string]any{"partnerId": partner, "url": "http://127.0.0.1:9/cb?c={aff_sub}&p={payout}&s={status}&e={cnv_event_id}"})
	converted := b.postback(b.partnersClick(partner), eventInstall)
	var preview previewView
	ask := func(body map[string]any) {
		t.Helper()
		preview = previewView{}
		b.me.post(partnerPostbackPath+"/preview", body).into(200, &preview)
	}
	ask(map[string]any{"partnerPostbackId": id, "conversionId": converted.ConversionID})
	require.Equal(t, previewView{Method: "GET", URL: "http://127.0.0.1:9/cb?c=a%26b+c&p=0.00&s=Success&e=install", WouldFire: true}, preview)
	ask(map[string]any{"partnerId": partner, "method": "POST", "url": "https://not.yet.saved.example/{goal_name}?c={pub_click_id}", "conversionId": converted.ConversionID})
	require.Equal(t, "https://not.yet.saved.example/Event%20install", preview.URL)
	require.Equal(t, []string{"POST", "application/x-www-form-urlencoded", "c=p1"}, []string{preview.Method, preview.ContentType, preview.Body})

	pending := b.postback(b.partnersClick(partner), eventBuy)
	ask(map[string]any{"partnerPostbackId": id, "conversionId": pending.ConversionID})
	require.False(t, preview.WouldFire)
	require.Equal(t, "this status is not in the postback's events", preview.Why)
	require.Contains(t, preview.URL, "s=Pending")

	b.asTenant(b.tenantID.String(), `INSERT INTO offer_versions (tenant_id, offer_id, version, document, created_at, created_by)
		SELECT tenant_id, offer_id, 2, jsonb_set(document, '{events,0,isPrivate}', 'true'), now(), 'test' FROM offer_versions WHERE offer_id = $1`, b.offer.ID)
	b.asTenant(b.tenantID.String(), "UPDATE offers SET version = 2 WHERE id = $1", b.offer.ID)
	ask(map[string]any{"partnerPostbackId": id, "conversionId": converted.ConversionID})
	require.Equal(t, previewView{Why: "its goal is private (rule 66)"}, preview)
	ask(map[string]any{"partnerPostbackId": id, "conversionId": b.converted("bob", eventInstall)})
	require.Equal(t, "the conversion belongs to another partner", preview.Why)
	require.Empty(t, preview.URL)

	b.me.post(partnerPostbackPath+"/preview", map[string]any{"partnerPostbackId": id, "conversionId": uuid.New()}).refused(http.StatusBadRequest, "conversionId")
	b.me.post(partnerPostbackPath+"/preview", map[string]any{"conversionId": converted.ConversionID}).refused(http.StatusBadRequest, "partnerId", "url")
	require.Zero(t, b.count("SELECT count(*) FROM deliveries"))
}

// The partner's deliveries stand in the same list and the same trace, with its name.
func TestPartnerDeliveriesAreListedTracedAndSentAgain(t *testing.T) {
	t.Parallel()
	b, partner := newPartnerBook(t)
	tenant := b.tenantID.String()
	id := b.me.made(partnerPostbackPath, map[string]any{"partnerId": partner, "url": "http://127.0.0.1:9/cb?c={aff_sub}"})
	click := b.partnersClick(partner)
	converted := b.postback(click, eventInstall)
	delivery := uuid.New()
	b.asTenant(tenant, `INSERT INTO deliveries (tenant_id, id, kind, endpoint_id, conversion_id, sequence, status, state, body, attempts, created_at, finished_at)
		VALUES ($1, $2, 'partner', $3, $4, 1, 'Success', 'failed', '{}', 1, now(), now())`, tenant, delivery, id, converted.ConversionID)
	b.asTenant(tenant, `INSERT INTO delivery_attempts (tenant_id, delivery_id, number, at, status_code, latency_ms, url)
		VALUES ($1, $2, 1, now(), 400, 12, 'http://127.0.0.1:9/cb?c=1')`, tenant, delivery)
	type view struct {
		ID, Kind, EndpointID, PartnerID, PartnerName string
		Attempts                                     []struct{ URL string }
	}
	check := func(v view) {
		t.Helper()
		require.Equal(t, []string{delivery.String(), "partner", id, partner, "Blue Network"}, []string{v.ID, v.Kind, v.EndpointID, v.PartnerID, v.PartnerName})
		require.Equal(t, "http://127.0.0.1:9/cb?c=1", v.Attempts[0].URL)
	}
	var listed page[view]
	for _, filter := range []string{"kind=partner", "partnerId=" + partner, "endpointId=" + id, "state=failed"} {
		b.me.get("/api/v1/deliveries?filter."+filter).into(200, &listed)
		require.Len(t, listed.Items, 1, filter)
		check(listed.Items[0])
	}
	b.me.get("/api/v1/deliveries?filter.kind=callback").into(200, &listed)
	require.Empty(t, listed.Items)
	var trace struct{ Deliveries []view }
	b.me.get("/api/v1/clicks/"+click.String()).into(200, &trace)
	require.Len(t, trace.Deliveries, 1)
	check(trace.Deliveries[0])

	// Without any callback endpoint, and not while its own is closed.
	var out struct{ Count int }
	b.me.post("/api/v1/deliveries/"+delivery.String()+"/resend", nil).into(http.StatusAccepted, nil)
	b.me.post("/api/v1/deliveries/resend", map[string]any{"kind": "partner", "state": "waiting"}).into(http.StatusAccepted, &out)
	require.Equal(t, 1, out.Count)
	require.Len(t, b.asked(tenant), 2)
	b.me.put(partnerPostbackPath+"/"+id, map[string]any{"status": "paused"}).into(200, nil)
	b.me.post("/api/v1/deliveries/"+delivery.String()+"/resend", nil).refused(http.StatusConflict)
	b.me.post("/api/v1/deliveries/resend", map[string]any{"endpointId": id, "state": "waiting"}).refused(http.StatusConflict)
	b.me.post("/api/v1/deliveries/resend", map[string]any{"state": "waiting"}).into(http.StatusAccepted, &out)
	require.Zero(t, out.Count, "what is paused is left as it is")
}
