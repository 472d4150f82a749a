package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/worker/workertest"
)

// provider is an attribution provider as it is known from outside: the parameter in which it takes a
// click id, and its macros, listed here a second time and not read from the presets.
type provider struct{ parameter, click, event, amount, currency, conversion string }

var providers = map[string]provider{
	"AppsFlyer":       {"clickid", "(clickid)", "(event-name)", "(orig-monetary)", "(currency)", ""},
	"Singular":        {"cl", "{cl?YOUR_NETWORK_NAME}", "{EVTNAME}", "{AMOUNT}", "", ""},
	"Impact":          {"subId1", "{SubId1}", "", "{Amount}", "{Currency}", "{ActionId}"},
	"Adjust":          {"label", "{label}", "{event_name}", "{revenue_float}", "{currency}", ""},
	"CJAffiliate":     {"sid", "{shopperId}", "", "{saleAmountPubCurrency}", "", "{commissionId}"},
	"TUNE":            {"aff_sub", "{aff_sub}", "", "{sale_amount}", "{currency}", ""},
	"CAKE":            {"s2", "#s2#", "", "#price#", "", "#leadid#"},
	"Everflow":        {"sub1", "{sub1}", "{event_name}", "{sale_amount}", "", ""},
	"PerformCB":       {"subid1", "{subid1}", "", "{payout}", "", ""},
	"MAF":             {"click_id", "{click_id}", "{event_name}", "{payout}", "", "{install_id}"},
	"Lootably":        {"sid", "{userID}", "{goalName}", "{revenue}", "", "{transactionID}"},
	"Sharesale":       {"afftrack", "{afftrack}", "", "{amount}", "", "{transactionid}"},
	"AdAction":        {"aff_sub", "{aff_sub}", "", "{payout}", "", ""},
	"AdGateMedia":     {"s1", "{s1}", "{event_id}", "{payout}", "", "{conversion_id}"},
	"RevenueUniverse": {"sid", "$sid$", "", "$rate$", "", ""},
	"HangMyAds":       {"aff_click_id", "{aff_click_id}", "", "{payout}", "", ""},
	"Torox":           {"user_id", "{user_id}", "", "{payout}", "", "{id}"},
	"AyeTstudios":     {"external_identifier", "{external_identifier}", "{event_name}", "{payout_usd}", "", "{transaction_id}"},
	"Besitos":         {"user_id", "{user_id}", "", "{payout}", "", "{transaction_id}"},
	"Rakuten":         {"u1", "{u1}", "", "{sale_amount}", "{currency}", "{etransaction_id}"},
	"AdGateReward":    {"s2", "{s2}", "{event_id}", "{payout}", "", "{conversion_id}"},
	"AdJoe":           {"sub_id1", "{publisher_sub_id1}", "", "{coin_amount}", "", "{trans_uuid}"},
	"AdMantum":        {"uid", "{uid}", "", "{payout}", "", "{transaction_id}"},
	"AdscendMedia":    {"sub1", "[SB1]", "", "[PAY]", "", "[TID]"},
	"AdworkMedia":     {"sid", "[INFO:SID]", "", "[INFO:COMMISSION]", "", "[INFO:LEADID]"},
	"Bitlabs":         {"uid", "[%UID%]", "[%TASK_ID%]", "[%RAW%]", "", "[%TX%]"},
	"Cpalead":         {"subid", "{subid}", "", "{payout}", "", "{lead_id}"},
	"JustTrack":       {"click_id", "{click_id}", "{event_name}", "{revenue}", "{currency}", ""},
	"KashKick":        {"sub1", "{sub1}", "{event_name}", "{payout_amount}", "", ""},
	"Kiwiwall":        {"sub_id", "{sub_id}", "", "{gross}", "", "{trans_id}"},
	"MyChips":         {"user_id", "{user_id}", "{event_name}", "{payout}", "", "{install_id}"},
	"Notik":           {"user_id", "{user_id}", "{event_name}", "{payout}", "", "{txn_id}"},
	"Personaly":       {"userid", "{user_id}", "", "{payout}", "", "{transaction_id}"},
	"RevenueHut":      {"sub1", "{sub1}", "", "{payout}", "", ""},
	"Tapjoy":          {"snuid", "{snuid}", "", "{currency}", "", "{id}"},
	"Tenjin":          {"click_id", "{click_id}", "{event}", "{revenue}", "{currency}", ""},
	"TimeWall":        {"uid", "{userID}", "", "{revenue}", "", "{transactionID}"},
	"Wannads":         {"aff_sub", "{aff_sub}", "{goal_id}", "", "", "{transaction_id}"},
	"Branch":          {"~click_id", "${(last_attributed_touch_data.click_id)!}", "${(name)!}", "${(event_data.revenue)!}", "${(event_data.currency)!}", "${(event_data.transaction_id)!}"},
	"Kochava":         {"click_id", "{click_id}", "{event_name}", "{revenue}", "", ""},
	"CustomTracking":  {"sub1", "{sub1}", "{event}", "{amount}", "{currency}", "{transaction_id}"},
	"AWIN":            {"clickref", "!!!clickRef!!!", "", "!!!transactionAmount!!!", "!!!transactionCurrency!!!", "!!!transactionId!!!"},
	"AppSamurai":      {"click_id", "{click_id}", "{event_name}", "{payout}", "", ""},
	"GoKart":          {"pub_click_id", "{pub_click_id}", "{cnv_event_id}", "{cnv_amount}", "{currency}", "{gk_conversion_id}"},
}

// rejecting are the providers that post what they reject, and the macro of the reason where it is known.
var rejecting = map[string]string{"AppsFlyer": "(blocked-reason)", "Singular": "", "Adjust": "{rejection_reason}"}

// fire fills a postback URL as the provider does: its own macros and nothing else.
func (p provider) fire(postbackURL, click, event string) string {
	values := map[string]string{p.click: click, p.event: event, p.amount: "12.34", p.currency: "USD", p.conversion: "c-1"}
	for macro, value := range values {
		if macro != "" {
			postbackURL = strings.ReplaceAll(postbackURL, macro, url.QueryEscape(value))
		}
	}
	return postbackURL
}

// shopfront is the whole API with its tracking edge: clicks become rows and postbacks decisions, as the
// worker makes them; only the stream and the engine between are not.
type shopfront struct {
	t          *testing.T
	url, token string
	decisions  *attribution.Decisions
	clicks     attribution.Clicks
	tracking   *tracking.Edge
}

const shopfrontURL = "https://offers.example.com"

func newShopfront(t *testing.T) *shopfront {
	t.Helper()
	store, err := db.Open(t.Context(), dbtest.New(t), 8)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	keys, err := keyring.Parse(keyring.Generate())
	require.NoError(t, err)
	s := &shopfront{t: t, clicks: attribution.Clicks{Store: store}, decisions: &attribution.Decisions{Store: store, Keys: keys, Nudge: func() {}, Now: clocktest.Now}}
	server := &Server{Store: store, Keys: keys, Now: clocktest.Now, Config: Config{PublicURL: shopfrontURL, OperatorTokenHash: keys.Hash("operator")}}
	parts := server.TrackingParts()
	parts.Clicks, parts.Messages, parts.Refusals = shopfrontClicks{s}, shopfrontPostbacks{s}, refusalFunc(func(domain.Postback) {})
	s.tracking, err = tracking.New(parts)
	require.NoError(t, err)
	server.Tracking = s.tracking
	handler, err := server.Handler()
	require.NoError(t, err)
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)
	s.url, s.token = web.URL, "operator"
	var tenant struct{ APIToken string }
	s.call(http.MethodPost, "/api/v1/tenants", map[string]any{"name": "T", "product": "publisher", "email": "t@example.com", "currency": "USD", "postbackSecurity": "open"}, 201, &tenant)
	s.token = tenant.APIToken
	return s
}

type shopfrontClicks struct{ *shopfront }

func (s shopfrontClicks) Publish(ctx context.Context, click *domain.Click) error {
	packed, err := json.Marshal([]domain.Click{*click})
	if err != nil {
		return err
	}
	return s.clicks.Insert(ctx, packed)
}

type shopfrontPostbacks struct{ *shopfront }

func (s shopfrontPostbacks) Publish(ctx context.Context, _, _ string, data []byte) error {
	var message stream.PostbackMessage
	if err := json.Unmarshal(data, &message); err != nil || message.Postback.ClickID == nil {
		return err
	}
	decided, err := workertest.ConsumerOf(s.decisions).Answer(ctx, &message.Postback, false)
	if err != nil {
		return err
	}
	answer, err := json.Marshal(decided)
	s.tracking.Decided(message.ReplyTo, answer)
	return err
}

func (s *shopfront) call(method, path string, body any, status int, out any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	require.NoError(s.t, err)
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(text))
	require.NoError(s.t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "ApiToken "+s.token)
	request.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1")
	response, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(request)
	require.NoError(s.t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, status, response.StatusCode, "%s %s: %s", method, path, answer)
	if location, ok := out.(*url.URL); ok {
		parsed, err := url.Parse(response.Header.Get("Location"))
		require.NoError(s.t, err)
		*location = *parsed
		return
	}
	if out != nil {
		require.NoError(s.t, json.Unmarshal(answer, out), "%s", answer)
	}
}

// in is the shopfront within a subtest.
func (s *shopfront) in(t *testing.T) *shopfront {
	other := *s
	other.t = t
	return &other
}

// shownPreset is the test's own reading of the answer.
type shownPreset struct {
	Name, ClickParameter, TrackingLink, PostbackURL, InstallPostbackURL, Method, Notes, Certainty, RedirectLink string

	PerEvent   bool
	Parameters []struct{ Name, Macro string }
	Events     []struct{ ID, EventID, Name, PostbackURL, RejectionPostbackURL string }
	Rejections *struct{ PostbackURL, InstallPostbackURL, ReasonMacro, Certainty string }
}

// Every attribution provider, there and back: an offer with the preset's link is clicked, the provider
// finds the click id where it looks for it, fills in the URL that it was given with macros that are its
// own, and the postback makes the right event's conversion with the right amount, under the
// advertiser's token.
func TestEveryTrackingSystemThereAndBack(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	const secret = "s3cret token & more"
	var advertiser struct{ ID, PostbackURL string }
	s.call(http.MethodPost, "/api/v1/advertisers", map[string]any{"name": "A", "securityToken": secret}, 201, &advertiser)
	require.Len(t, providers, len(domain.TrackingSystems()))
	for _, name := range domain.TrackingSystems() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			outside := providers[name]
			var preset, filled shownPreset
			s.call(http.MethodGet, "/api/v1/tracking-systems/"+name, nil, 200, &preset)
			require.True(t, strings.HasPrefix(preset.PostbackURL, shopfrontURL+"/track/{advertiserKey}?gk_click_id="), preset.PostbackURL)
			var made struct {
				ID       string `json:"Id"`
				Warnings []string
			}
			s.call(http.MethodPost, offersPathOfPublisher, s.multiEventOffer(advertiser.ID, name, preset.TrackingLink), 201, &made)
			require.Empty(t, made.Warnings)
			s.call(http.MethodGet, "/api/v1/tracking-systems/"+strings.ToLower(name)+"?offerId="+made.ID, nil, 200, &filled)
			require.Equal(t, preset.TrackingLink, filled.TrackingLink)
			require.True(t, strings.HasPrefix(filled.PostbackURL, advertiser.PostbackURL+"?"), filled.PostbackURL)

			var location url.URL
			s.call(http.MethodGet, strings.TrimPrefix(filled.RedirectLink, shopfrontURL)+"?pub_member_id=m-1", nil, 302, &location)
			click := location.Query().Get(outside.parameter)
			require.Len(t, click, 36, "%s in %s", outside.parameter, location.String())

			require.NotRegexp(t, "cnv_amount|cnv_currency", filled.PostbackURL+filled.Events[0].PostbackURL, "the offer pays a flat rate")
			require.Len(t, filled.Events, 2)
			require.Equal(t, "buy & win", filled.Events[1].EventID)
			fired := outside.fire(filled.Events[1].PostbackURL, click, "buy & win")
			fired = strings.ReplaceAll(fired, "YOUR_SECURITY_TOKEN", url.QueryEscape(secret))
			require.NotRegexp(t, `[{}()\[\]#$!|]`, fired, "a macro that is not the provider's")
			var answer struct{ Outcome, Reason, ConversionID, Status string }
			s.call(preset.Method, strings.TrimPrefix(fired, shopfrontURL), nil, 200, &answer)
			require.Equal(t, "accepted", answer.Outcome, answer.Reason)

			var conversion struct {
				EventID, EventName, ClickID, CnvConversionID string
				Amount                                       *string
			}
			s.call(http.MethodGet, "/api/v1/conversions/"+answer.ConversionID, nil, 200, &conversion)
			require.Equal(t, "buy & win", conversion.EventID)
			require.Equal(t, click, conversion.ClickID)
			require.Nil(t, conversion.Amount)
			if outside.conversion != "" {
				require.Equal(t, "c-1", conversion.CnvConversionID)
			}
			first := answer.ConversionID
			s.call(preset.Method, strings.TrimPrefix(fired, shopfrontURL), nil, 200, &answer)
			require.Equal(t, "duplicate", answer.Outcome)
			require.Equal(t, first, answer.ConversionID)
			macro, rejects := rejecting[name]
			require.Equal(t, rejects, preset.Rejections != nil)
			if !rejects {
				require.Empty(t, filled.Events[1].RejectionPostbackURL)
				return
			}
			require.Equal(t, macro, preset.Rejections.ReasonMacro)
			fired = outside.fire(filled.Events[1].RejectionPostbackURL, click, "buy & win")
			fired = strings.ReplaceAll(fired, "YOUR_SECURITY_TOKEN", url.QueryEscape(secret))
			if macro != "" {
				require.Contains(t, fired, macro)
				fired = strings.ReplaceAll(fired, macro, "click_flood")
			}
			require.NotRegexp(t, `[{}()\[\]#$!|]`, fired, "a macro that is not the provider's")
			s.call(preset.Method, strings.TrimPrefix(fired, shopfrontURL), nil, 200, &answer)
			require.Equal(t, []any{"rejected", "reversed", first}, []any{answer.Outcome, answer.Reason, answer.ConversionID}, "rule 77")
		})
	}
}

// Of an offer that pays a share of the sale the provider is asked for amount and currency.
func TestTrackingSystemsSendTheSale(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	var advertiser struct{ ID string }
	s.call(http.MethodPost, "/api/v1/advertisers", map[string]any{"name": "A"}, 201, &advertiser)
	for name, outside := range providers {
		if outside.amount == "" {
			continue
		}
		var preset, filled shownPreset
		s.call(http.MethodGet, "/api/v1/tracking-systems/"+name, nil, 200, &preset)
		require.Contains(t, preset.PostbackURL, "cnv_amount="+outside.amount, name)
		document := s.multiEventOffer(advertiser.ID, name, preset.TrackingLink)
		document["conversionType"] = "RevShare"
		for _, event := range document["offerEvents"].([]any) {
			event.(map[string]any)["reward"], event.(map[string]any)["revenue"] = 5, 10
		}
		var made struct {
			ID string `json:"Id"`
		}
		s.call(http.MethodPost, offersPathOfPublisher, document, 201, &made)
		s.call(http.MethodGet, "/api/v1/tracking-systems/"+name+"?offerId="+made.ID, nil, 200, &filled)
		var location url.URL
		s.call(http.MethodGet, strings.TrimPrefix(filled.RedirectLink, shopfrontURL), nil, 302, &location)
		fired := outside.fire(filled.Events[1].PostbackURL, location.Query().Get(outside.parameter), "buy & win")
		var answer struct{ Outcome, Reason, ConversionID string }
		s.call(preset.Method, strings.TrimPrefix(fired, shopfrontURL), nil, 200, &answer)
		require.Equal(t, "accepted", answer.Outcome, "%s: %s", name, answer.Reason)
		var conversion struct{ Amount *string }
		s.call(http.MethodGet, "/api/v1/conversions/"+answer.ConversionID, nil, 200, &conversion)
		require.NotNil(t, conversion.Amount, name)
		require.Equal(t, "12.34", *conversion.Amount, name)
	}
}

// A provider that has no name for an install is given the install's URL with the name in it: its macro would be
// empty there, and the postback refused. That URL as the provider fires it makes the install's conversion.
func TestInstallsAreNamedInTheirURL(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	var advertiser struct{ ID string }
	s.call(http.MethodPost, "/api/v1/advertisers", map[string]any{"name": "A"}, 201, &advertiser)
	for name, install := range map[string]bool{"AppsFlyer": true, "Singular": true, "Kochava": true, "Everflow": false, "Adjust": false} {
		outside := providers[name]
		var preset, filled, single, others shownPreset
		s.call(http.MethodGet, "/api/v1/tracking-systems/"+name, nil, 200, &preset)
		document := s.multiEventOffer(advertiser.ID, name, preset.TrackingLink)
		filledFor := func(into *shownPreset) {
			var made struct {
				ID string `json:"Id"`
			}
			s.call(http.MethodPost, offersPathOfPublisher, document, 201, &made)
			s.call(http.MethodGet, "/api/v1/tracking-systems/"+name+"?offerId="+made.ID, nil, 200, into)
		}
		filledFor(&filled)
		require.Equal(t, install, preset.InstallPostbackURL != "", name)
		require.Equal(t, install, filled.InstallPostbackURL != "", name)
		if !install {
			continue
		}
		require.Contains(t, preset.InstallPostbackURL, "cnv_event_id=install", name)
		require.NotContains(t, preset.InstallPostbackURL, outside.event, name)
		require.Equal(t, filled.InstallPostbackURL, filled.Events[0].PostbackURL, "the event's own URL is that one")
		require.Contains(t, filled.Events[1].PostbackURL, outside.event, "other events have the macro")
		require.Contains(t, filled.PostbackURL, outside.event)
		if preset.Rejections != nil {
			require.Contains(t, preset.Rejections.InstallPostbackURL, "cnv_event_id=install&cnv_status=rejected", name)
			require.Equal(t, filled.Rejections.InstallPostbackURL, filled.Events[0].RejectionPostbackURL, name)
		}

		var location url.URL
		s.call(http.MethodGet, strings.TrimPrefix(filled.RedirectLink, shopfrontURL), nil, 302, &location)
		fired := outside.fire(filled.InstallPostbackURL, location.Query().Get(outside.parameter), "")
		var answer struct{ Outcome, Reason, ConversionID string }
		s.call(preset.Method, strings.TrimPrefix(fired, shopfrontURL), nil, 200, &answer)
		require.Equal(t, "accepted", answer.Outcome, "%s: %s", name, answer.Reason)
		var conversion struct{ EventID string }
		s.call(http.MethodGet, "/api/v1/conversions/"+answer.ConversionID, nil, 200, &conversion)
		require.Equal(t, "install", conversion.EventID)

		document["offerEvents"].([]any)[0].(map[string]any)["eventId"] = "level 5"
		filledFor(&others)
		require.Empty(t, others.InstallPostbackURL, "an offer without an install")
		delete(document, "offerEvents")
		document["offerType"], document["revenue"], document["reward"], document["rewardType"], document["pendingTime"] = "SingleEvent", 2.5, 100, "Automatic", 0
		filledFor(&single)
		require.Contains(t, single.InstallPostbackURL, "cnv_event_id=install")
	}
}

const offersPathOfPublisher = "/api/v1/sdk-offer-management/publisher/offers"

func (s *shopfront) multiEventOffer(advertiserID, trackingSystem, link string) map[string]any {
	s.t.Helper()
	var ages struct{ Items []struct{ ID string } }
	s.call(http.MethodGet, "/api/v1/lookups/ages", nil, 200, &ages)
	event := func(eventID string, order int) map[string]any {
		return map[string]any{
			"name": "Event " + eventID, "showOnOfferWall": true, "eventId": eventID, "displayOrder": order, "sequenceNumber": nil, "pendingTime": 0,
			"hasRevenue": true, "revenue": 2.5, "hasReward": true, "useDefaultRatio": false, "reward": 100,
		}
	}
	return map[string]any{
		"trackingSystemLink": link, "trackingSystem": trackingSystem, "name": "Offer of " + trackingSystem,
		"headline": "Play", "offerDetails": "Do", "creatives": []any{map[string]any{"order": 1, "url": "https://cdn.example/1.png"}},
		"offerType": "MultiEvent", "conversionType": "FlatRate", "advertiserId": advertiserID, "isPaused": false,
		"budgetType": "Total", "budget": "1000", "launchDate": "2020-01-01T00:00:00Z", "ageId": ages.Items[0].ID,
		"categoryIds": []any{}, "countryIds": []any{}, "initialEpc": "1", "isEpcLocked": false,
		"offerEvents": []any{event("install", 1), event("buy & win", 2)},
	}
}

// A preset without an offer, of nobody, and with another tenant's offer.
func TestTrackingSystemRefusals(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	s.call(http.MethodGet, "/api/v1/tracking-systems/Nobody", nil, 404, nil)
	var problem struct{ Errors []struct{ Field string } }
	for _, id := range []string{newID().String(), "x"} {
		s.call(http.MethodGet, "/api/v1/tracking-systems/Adjust?offerId="+id, nil, 400, &problem)
		require.Equal(t, "offerId", problem.Errors[0].Field)
	}
	var preset shownPreset
	s.call(http.MethodGet, "/api/v1/tracking-systems/sharesale", nil, 200, &preset)
	require.Equal(t, "Sharesale", preset.Name)
	require.Equal(t, "unconfirmed", preset.Certainty)
	require.Contains(t, preset.Notes, "check them in the provider's console")
	require.Empty(t, preset.RedirectLink)
	require.Empty(t, preset.Events)
}

// No provider signs postbacks: the preset of an advertiser with a signing secret says that they are refused.
func TestAPresetSaysThatAProviderCannotSign(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	var advertiser struct{ ID string }
	s.call(http.MethodPost, "/api/v1/advertisers", map[string]any{"name": "A"}, 201, &advertiser)
	var made struct {
		ID string `json:"Id"`
	}
	s.call(http.MethodPost, offersPathOfPublisher, s.multiEventOffer(advertiser.ID, "Adjust", "https://app.adjust.com/abc?label={gk_click_id}"), 201, &made)
	path := "/api/v1/tracking-systems/Adjust?offerId=" + made.ID
	var preset shownPreset
	s.call(http.MethodGet, path, nil, 200, &preset)
	require.NotContains(t, preset.Notes, "signed")
	s.call(http.MethodPost, "/api/v1/advertisers/"+advertiser.ID+"/signing-secret/rotate", map[string]any{}, 200, nil)
	s.call(http.MethodGet, path, nil, 200, &preset)
	require.Contains(t, preset.Notes, "must be signed, which Adjust cannot do")
}

// A test callback without an endpoint says which call sets one.
func TestATestCallbackNeedsAnEndpoint(t *testing.T) {
	t.Parallel()
	s := newShopfront(t)
	var problem struct{ Detail string }
	s.call(http.MethodPost, "/api/v1/callback-endpoint/test", nil, 404, &problem)
	require.Contains(t, problem.Detail, "PUT /api/v1/callback-endpoint")
}
