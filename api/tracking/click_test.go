package tracking

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

const iPhone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"

func TestClickRedirects(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.load(t)
	w := e.get("/c/"+e.link.ID.String()+"?pub_member_id=m+1&pub_sub_2=a%26b&pub_sub_15=z&pub_click_id=p&viewId=v&pub_member_id=other",
		"User-Agent", iPhone, "X-Forwarded-For", "203.0.113.7", "Cf-Ipcountry", "DE", "Referer", "https://pub.example/x")
	if w.Code != http.StatusFound || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Referrer-Policy") == "" {
		t.Fatalf("answer %d %v", w.Code, w.Header())
	}
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	click := e.click[0]
	q := to.Query()
	if q.Get("s") != click.ID.String() || q.Get("m") != "m 1" || q.Get("x") != "a&b" || q.Get("n") != "Star & Co" ||
		q.Get("p") != e.partner.ID.String() || q.Get("u") != "" {
		t.Errorf("destination %s", to)
	}
	if !e.keys.Genuine(keyring.KindClick, click.ID) || click.OfferVersion != 3 || *click.PubMemberID != "m 1" || click.IP != "203.0.113.7" ||
		click.Country != "DE" || click.Device != domain.DeviceIOS || click.OS != "iOS" || click.ViewID != "v" || len(click.PubSubs) != 15 ||
		click.Referer != "https://pub.example/x" || click.RefusedReason != "" || !click.SessionEndsAt.Equal(e.offer.SessionEnd(e.at)) {
		t.Errorf("click %+v", click)
	}
}

// Rules 57, 58: a click on a shared offer goes to its advertiser too, who is to decide, with a key in
// place of the member; one on an own offer to nobody.
func TestRule58ClickOfASharedOffer(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	publisher := uuid.Must(uuid.NewV7())
	e.link.TenantID, e.partner.TenantID = publisher, publisher
	e.load(t)
	e.offers.PutTenant(dbgen.Tenant{TenantID: publisher, Timezone: "UTC", FraudChecks: []byte("{}"), GoalsEnabled: true})
	path := "/c/" + e.link.ID.String()
	from := []string{"User-Agent", iPhone, "X-Forwarded-For", "203.0.113.7"}
	for _, query := range []string{"?pub_member_id=m", "?pub_member_id=m", "?pub_member_id=n", "", ""} {
		if w := e.get(path+query, from...); w.Code != http.StatusFound {
			t.Fatalf("answer %d", w.Code)
		}
	}
	e.get(path, "User-Agent", iPhone, "X-Forwarded-For", "203.0.113.8")
	var keys []string
	for _, click := range e.click {
		if click.TenantID != publisher || click.AdvertiserTenantID == nil || *click.AdvertiserTenantID != e.tenant.TenantID || click.DecidedBy() != e.tenant.TenantID {
			t.Errorf("click %+v", click)
		}
		keys = append(keys, click.MemberKey)
	}
	if keys[0] != keys[1] || keys[0] == keys[2] || keys[3] != keys[4] || keys[3] == keys[5] {
		t.Errorf("keys %q", keys)
	}
	if !strings.HasPrefix(keys[0], domain.MemberKeyPrefix) || !strings.HasPrefix(keys[3], domain.VisitorKeyPrefix) || strings.Contains(keys[3], "203.0.113") {
		t.Errorf("keys %q", keys)
	}

	own := newEdge(t)
	own.load(t)
	own.get("/c/"+own.link.ID.String()+"?pub_member_id=m", from...)
	if click := own.click[0]; click.AdvertiserTenantID != nil || click.MemberKey != "" || click.DecidedBy() != own.tenant.TenantID {
		t.Errorf("click %+v", click)
	}
}

func TestClickByOffer(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.load(t)
	if w := e.get("/wall?offerId=" + e.offer.ID.String() + "&pub_member_id=m"); w.Code != http.StatusFound {
		t.Fatalf("answer %d", w.Code)
	}
	if w := e.get("/wall?offerId=nonsense"); w.Code != http.StatusNotFound {
		t.Fatalf("answer %d", w.Code)
	}
}

// Rule 46: a click that cannot convert is recorded with its reason and goes along the chain; no
// click id is given away.
func TestRule46ClickRefused(t *testing.T) {
	t.Parallel()
	young := 18
	for name, c := range map[string]struct {
		change func(*edge)
		query  string
		agent  string
		reason domain.Reason
	}{
		"paused":       {func(e *edge) { e.offer.IsPaused = true }, "", iPhone, domain.ReasonOfferInactive},
		"not launched": {func(e *edge) { e.offer.LaunchAt = e.at.Add(time.Second) }, "", iPhone, domain.ReasonOfferInactive},
		"expired":      {func(e *edge) { e.offer.ExpiresAt = &e.at }, "", iPhone, domain.ReasonOfferInactive},
		"goal deleted": {func(e *edge) { e.offer.Events[0].Status = domain.GoalStatusDeleted }, "", iPhone, domain.ReasonOfferInactive},
		"goals deleted, hidden": {func(e *edge) {
			e.offer.OfferType, e.tenant.GoalsEnabled = domain.OfferTypeMultiEvent, false
			e.offer.Events = []domain.Event{{ID: uuid.Must(uuid.NewV7()), GoalSettings: domain.GoalSettings{Status: domain.GoalStatusDeleted}}, {ID: uuid.Must(uuid.NewV7()), GoalSettings: domain.GoalSettings{Status: domain.GoalStatusDeleted}}}
		}, "", iPhone, domain.ReasonOfferInactive},
		"one goal left, private": {func(e *edge) {
			e.offer.OfferType = domain.OfferTypeMultiEvent
			e.offer.Events[0].Status = domain.GoalStatusDeleted
			e.offer.Events = append(e.offer.Events, domain.Event{ID: uuid.Must(uuid.NewV7()), GoalSettings: domain.GoalSettings{IsPrivate: true}})
		}, "", iPhone, ""},
		"one goal left, counted": {func(e *edge) {
			e.offer.OfferType, e.tenant.GoalsEnabled = domain.OfferTypeMultiEvent, false
			e.offer.Events[0].Status = domain.GoalStatusDeleted
			e.offer.Events = append(e.offer.Events, domain.Event{ID: uuid.Must(uuid.NewV7()), DisplayOrder: 2, GoalSettings: domain.GoalSettings{RecordAs: domain.RecordAsClick}})
		}, "", iPhone, ""},
		"partner paused":   {func(e *edge) { e.partner.Status = "paused" }, "", iPhone, domain.ReasonPartnerBlocked},
		"partner blocked":  {func(e *edge) { e.partner.Status = "blocked" }, "", iPhone, domain.ReasonPartnerBlocked},
		"link preview":     {func(*edge) {}, "", "WhatsApp/2.23.20.0", domain.ReasonFraudBot},
		"crawler":          {func(*edge) {}, "", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", domain.ReasonFraudBot},
		"device":           {func(e *edge) { e.offer.Targeting.Devices = []string{domain.DeviceAndroid} }, "", iPhone, domain.ReasonOutOfTarget},
		"country unknown":  {func(e *edge) { e.offer.Targeting.Countries = []string{"DE"} }, "", iPhone, domain.ReasonOutOfTarget},
		"country claimed":  {func(e *edge) { e.offer.Targeting.Countries = []string{"DE"} }, "pub_geo_country=deu", iPhone, ""},
		"state claimed":    {func(e *edge) { e.offer.Targeting.States = []string{"US-CA"} }, "pub_geo_country=US&pub_geo_state=CA", iPhone, ""},
		"too young":        {func(e *edge) { e.offer.Targeting.MinAge = &young }, "pub_age=17", iPhone, domain.ReasonOutOfTarget},
		"old enough":       {func(e *edge) { e.offer.Targeting.MinAge = &young }, "pub_age=18", iPhone, ""},
		"curl":             {func(*edge) {}, "", "curl/8.5.0", domain.ReasonFraudBot},
		"no user agent":    {func(*edge) {}, "", "", ""},
		"a Go program":     {func(*edge) {}, "", "Go-http-client/1.1", domain.ReasonFraudBot},
		"headless browser": {func(*edge) {}, "", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36", domain.ReasonFraudBot},
		"bots admitted":    {func(e *edge) { e.tenant.FraudChecks = []byte(`{"bot":"off"}`) }, "", "WhatsApp/2.23.20.0", ""},
	} {
		e := newEdge(t)
		e.tenant.FallbackUrl = "https://tenant.example/?c={gk_click_id}&m={pub_member_id}"
		c.change(e)
		e.load(t)
		w := e.get("/c/"+e.link.ID.String()+"?pub_member_id=m&"+c.query, "User-Agent", c.agent)
		if len(e.click) != 1 || e.click[0].RefusedReason != c.reason || w.Code != http.StatusFound {
			t.Errorf("%s: %d, %+v", name, w.Code, e.click)
			continue
		}
		if location := w.Header().Get("Location"); c.reason != "" && location != "https://tenant.example/?c=&m=m" {
			t.Errorf("%s: sent to %s", name, location)
		}
	}
}

func TestFallbackChain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ offer, partner, tenant, want string }{
		"offer's":   {"https://o.example/", "https://p.example/", "https://t.example/", "https://o.example/"},
		"partner's": {"", "https://p.example/", "https://t.example/", "https://p.example/"},
		"tenant's":  {"", "", "https://t.example/", "https://t.example/"},
		"none":      {"", "", "", ""},
	} {
		e := newEdge(t)
		e.offer.IsPaused = true
		e.offer.FallbackURL, e.partner.FallbackUrl, e.tenant.FallbackUrl = c.offer, c.partner, c.tenant
		e.load(t)
		w := e.get("/c/" + e.link.ID.String())
		want := http.StatusFound
		if c.want == "" {
			want = http.StatusNotFound
		}
		if w.Code != want || w.Header().Get("Location") != c.want || len(e.click) != 1 {
			t.Errorf("%s: %d %s", name, w.Code, w.Header().Get("Location"))
		}
	}
}

func TestClickNotRecorded(t *testing.T) {
	t.Parallel()
	for name, paused := range map[string]bool{"to the destination": false, "to the fallback": true} {
		e := newEdge(t)
		e.offer.IsPaused, e.offer.FallbackURL = paused, "https://o.example/"
		e.load(t)
		e.failed = errors.New("stream is full")
		w := e.get("/c/" + e.link.ID.String())
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}

func TestClicksThatAreNone(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.load(t)
	link := "/c/" + e.link.ID.String()
	if w := e.get(link, "Sec-Purpose", "prefetch;prerender"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("prefetch: %d", w.Code)
	}
	if w := e.serve(httptest.NewRequest(http.MethodHead, link, nil)); w.Code != http.StatusOK || w.Header().Get("Location") != "" {
		t.Errorf("HEAD: %d", w.Code)
	}
	if w := e.get(link + "?pub_member_id=" + strings.Repeat("x", 513)); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "pub_member_id") {
		t.Errorf("too long: %d %s", w.Code, w.Body)
	}
	if w := e.get("/c/nonsense"); w.Code != http.StatusNotFound {
		t.Errorf("no id: %d", w.Code)
	}
	if len(e.click) != 0 {
		t.Errorf("clicks %+v", e.click)
	}
}

// A peer that is not a trusted proxy says nothing about country and address.
func TestCountryHeaderOfStrangers(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.load(t)
	r := httptest.NewRequest(http.MethodGet, "/c/"+e.link.ID.String(), nil)
	r.RemoteAddr = "198.51.100.9:99"
	r.Header.Set("Cf-Ipcountry", "DE")
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	e.serve(r)
	if e.click[0].Country != "" || e.click[0].IP != "198.51.100.9" {
		t.Errorf("click %+v", e.click[0])
	}
}

func TestClickTextIsStorable(t *testing.T) {
	t.Parallel()
	p, tooLong := ReadClickParams("pub_member_id=a%00b&pub_sub_1=%ff&pub_click_id=100%&pub_sub_01=no&pub_sub_16=no&=&&x")
	if tooLong != "" || p.MemberID != "bytes:a%00b" || p.subs[0] != "bytes:%FF" || p.ClickID != "100%" {
		t.Errorf("%+v %s", p, tooLong)
	}
}

func FuzzReadClickParams(f *testing.F) {
	f.Add("pub_member_id=1&pub_sub_3=%zz")
	f.Fuzz(func(t *testing.T, query string) {
		p, _ := ReadClickParams(query)
		for _, text := range append(p.subs[:], p.MemberID, p.ClickID, p.ViewID, p.Source) {
			if strings.ContainsRune(text, 0) || len(text) > len(domain.BytesPrefix)+3*MaxClickID || text != domain.Storable(text) {
				t.Fatalf("%q", text)
			}
		}
		_ = p.macro("pub_sub_3", offercache.Target{}, uuid.Nil)
	})
}
