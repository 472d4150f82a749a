package tracking

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// senderForm sends what a query says to one form of a postback's address.
type senderForm struct {
	name string
	// clickName is the form's own name of the click id, amountName of the amount.
	clickName, amountName string
	send                  func(e *edge, query string) *httptest.ResponseRecorder
}

// senderForms are all forms of postbacks and pixels.
func senderForms(e *edge) []senderForm {
	byGet := func(path string) func(*edge, string) *httptest.ResponseRecorder {
		return func(e *edge, query string) *httptest.ResponseRecorder {
			return e.get(path + map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + query)
		}
	}
	byForm := func(path string) func(*edge, string) *httptest.ResponseRecorder {
		return func(e *edge, query string) *httptest.ResponseRecorder {
			return e.post(path, "application/x-www-form-urlencoded", query)
		}
	}
	byJSON := func(path string) func(*edge, string) *httptest.ResponseRecorder {
		return func(e *edge, query string) *httptest.ResponseRecorder {
			members := []string{}
			for _, p := range queryPairs(query) {
				members = append(members, jsonString(p.name)+":"+jsonString(p.value))
			}
			return e.post(path, "application/json", "\uFEFF{"+strings.Join(members, ",")+"}")
		}
	}
	forms := []senderForm{
		{"track", "gk_click_id", "cnv_amount", byGet("/track")},
		{"track with a key", "gk_click_id", "cnv_amount", byGet("/track/key")},
		{"track, a form", "gk_click_id", "cnv_amount", byForm("/track")},
		{"track, JSON with a byte order mark", "gk_click_id", "cnv_amount", byJSON("/track")},
		{"track with slashes", "gk_click_id", "cnv_amount", byGet("//track//key/")},
		{"aff_lsr", "transaction_id", "amount", byGet("/aff_lsr")},
		{"aff_lsr, JSON", "transaction_id", "amount", byJSON("/aff_lsr/")},
		{"aff_goal", "transaction_id", "amount", byGet("/aff_goal?A=lsr")},
		{"aff_goal, a pixel", "transaction_id", "amount", byGet("/aff_goal?amp;A=L")},
		{"aff_l", "transaction_id", "amount", byGet("/aff_l/")},
		{"our image", "transaction_id", "amount", byGet("/pixel.gif")},
		{"our frame", "transaction_id", "cnv_amount", byGet("//pixel")},
	}
	for _, code := range []string{e.code("SP", uuid.Nil), e.code("GP", e.offer.Events[0].ID), e.code("SL", uuid.Nil), e.code("GL", e.offer.Events[0].ID)} {
		forms = append(forms, senderForm{code[:3], "transaction_id", "amount", byGet(code)})
	}
	return append(forms, senderForm{"SP, a form", "transaction_id", "amount", byForm("/" + e.code("SP", uuid.Nil) + "/")})
}

func jsonString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`
}

// Rule 71: what real senders send, over every form of a postback. $ID stands for the id, click_id and
// amount for the form's own names of them.
func TestRule71Senders(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		query    string
		refused  domain.Reason
		field    string // of the first error
		warnings []string
		check    func(*testing.T, *domain.Postback)
	}{
		"as documented":            {query: "click_id=$ID&cnv_event_id=buy"},
		"amp; left on":             {query: "a1=b&amp;click_id=$ID&amp;cnv_event_id=buy"},
		"amp; twice":               {query: "amp;amp;click_id=$ID&AMP;cnv_event_id=buy"},
		"capitals":                 {query: "CLICK_ID=$ID&Cnv_Event_ID=buy"},
		"our names everywhere":     {query: "gk_click_id=$ID&cnv_event_id=buy"},
		"a name with blanks":       {query: "+click_id=$ID&cnv_event_id+=buy"},
		"an id without dashes":     {query: "click_id=$BARE&cnv_event_id=buy"},
		"an id in capitals":        {query: "click_id=$LOUD&cnv_event_id=buy"},
		"an id in braces":          {query: "click_id=%7B$ID%7D&cnv_event_id=buy"},
		"an id in quotes":          {query: "click_id=%22$LOUD%22&cnv_event_id=%09buy%0A"},
		"blanks around it":         {query: "click_id=+$ID%0D%0A&cnv_event_id=+buy+"},
		"a byte order mark":        {query: "%EF%BB%BFclick_id=%EF%BB%BF$ID&cnv_event_id=%EF%BB%BFbuy"},
		"the same id in two forms": {query: "click_id=$ID&CLICK_ID=%7B$BARE%7D&cnv_event_id=buy"},
		"the same twice":           {query: "click_id=$ID&cnv_event_id=buy&amp;CNV_EVENT_ID=buy"},
		"an empty one before":      {query: "click_id=&click_id=$ID&cnv_event_id=&cnv_event_id=buy"},
		"a time as databases print it": {query: "click_id=$ID&cnv_event_id=buy&cnv_completed_at=2026-11-30+09:00:00", warnings: []string{"cnv_completed_at"},
			check: func(t *testing.T, p *domain.Postback) { require.True(t, at.Equal(*p.CompletedAt)) }},
		"a time in words": {query: "click_id=$ID&cnv_event_id=buy&CNV_completed_at=yesterday", warnings: []string{"CNV_completed_at"},
			check: func(t *testing.T, p *domain.Postback) { require.Nil(t, p.CompletedAt) }},
		"day or month": {query: "click_id=$ID&cnv_event_id=buy&cnv_completed_at=11/12/2026", warnings: []string{"cnv_completed_at"},
			check: func(t *testing.T, p *domain.Postback) { require.Nil(t, p.CompletedAt) }},
		"a macro that was not filled": {query: "click_id=$ID&cnv_event_id=buy&cnv_completed_at=%7Btime%7D", warnings: []string{"cnv_completed_at"}},
		"a long sub": {query: "click_id=$ID&cnv_event_id=buy&cnv_sub_2=" + strings.Repeat("x", 1025), warnings: []string{"cnv_sub_2"},
			check: func(t *testing.T, p *domain.Postback) { require.Empty(t, p.Subs) }},
		"two subs": {query: "click_id=$ID&cnv_event_id=buy&cnv_sub_1=first&CNV_SUB_1=second", warnings: []string{"CNV_SUB_1"},
			check: func(t *testing.T, p *domain.Postback) { require.Equal(t, []string{"first"}, p.Subs) }},
		"an amount as sent": {query: "click_id=$ID&cnv_event_id=buy&amount=19.99+&CNV_CURRENCY=usd+",
			check: func(t *testing.T, p *domain.Postback) {
				require.Equal(t, []string{"19.99", "USD"}, []string{p.Amount, p.Currency})
			}},
		"one amount in two spellings": {query: "click_id=$ID&cnv_event_id=buy&amount=5&AMOUNT=5.00"},
		"a long amount": {query: "click_id=$ID&cnv_event_id=buy&amount=" + strings.Repeat("1", 256),
			check: func(t *testing.T, p *domain.Postback) {
				_, err := domain.ParseAmount(p.Amount)
				require.ErrorIs(t, err, domain.ErrAmount)
			}},

		"two clicks":                {query: "click_id=$ID&CLICK_ID=$OTHER", refused: domain.ReasonMalformed, field: "CLICK_ID"},
		"two events":                {query: "click_id=$ID&cnv_event_id=buy&cnv_event_id=Buy", refused: domain.ReasonMalformed, field: "cnv_event_id"},
		"two amounts":               {query: "click_id=$ID&amount=1&amp;AMOUNT=2", refused: domain.ReasonMalformed, field: "amp;AMOUNT"},
		"two currencies":            {query: "click_id=$ID&cnv_currency=USD&Cnv_Currency=EUR", refused: domain.ReasonMalformed, field: "Cnv_Currency"},
		"two conversion ids":        {query: "click_id=$ID&cnv_conversion_id=1&cnv_conversion_id=2", refused: domain.ReasonMalformed, field: "cnv_conversion_id"},
		"no click":                  {query: "cnv_event_id=buy", refused: domain.ReasonMalformed, field: "click_id"},
		"an unfilled click":         {query: "click_id=%7Bclick_id%7D", refused: domain.ReasonMalformed, field: "click_id"},
		"a click id with something": {query: "click_id=$IDx", refused: domain.ReasonMalformed, field: "click_id"},
	} {
		e := newEdge(t)
		e.accepting()
		click, other := e.keys.NewID(keyring.KindClick, e.at), e.keys.NewID(keyring.KindClick, e.at)
		for _, form := range senderForms(e) {
			mine := func(name string) string {
				name = strings.Replace(name, "CLICK_ID", strings.ToUpper(form.clickName), 1)
				return strings.Replace(name, "click_id", form.clickName, 1)
			}
			query := c.query
			if !strings.HasPrefix(query, "gk_") {
				query = strings.ReplaceAll(strings.ReplaceAll(query, "CLICK_ID", strings.ToUpper(form.clickName)), "click_id", form.clickName)
				query = strings.ReplaceAll(strings.ReplaceAll(query, "&amount", "&"+form.amountName), "AMOUNT", strings.ToUpper(form.amountName))
			}
			query = strings.NewReplacer("$ID", click.String(), "$BARE", strings.ReplaceAll(click.String(), "-", ""), "$LOUD", strings.ToUpper(click.String()),
				"$OTHER", other.String()).Replace(query)
			before := len(e.posted)
			w := form.send(e, query)
			where := name + ", " + form.name
			require.Len(t, e.posted, before+1, where)
			p := &e.posted[before].Postback
			require.Equal(t, c.refused, p.Refused, "%s: %s %s", where, p.Detail, w.Body)
			if c.refused != "" {
				require.True(t, strings.HasPrefix(strings.ToLower(p.Detail), strings.ToLower(strings.Replace(mine(c.field), "AMOUNT", strings.ToUpper(form.amountName), 1))), "%s: %s", where, p.Detail)
				continue
			}
			require.Equal(t, click, *p.ClickID, where)
			if strings.Contains(c.query, "buy") {
				require.Equal(t, "buy", p.EventID, where)
			}
			var warned []string
			for _, warning := range p.Warnings {
				warned = append(warned, warning.Field)
			}
			require.Equal(t, c.warnings, warned, where)
			if c.check != nil {
				c.check(t, p)
			}
			if form.name == "track" {
				require.Equal(t, http.StatusOK, w.Code, where)
			}
		}
	}
}

// Rule 71: whatever the source, two values for what counts are nobody's guess.
func TestRule71TwoSources(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.accepting()
	click := e.keys.NewID(keyring.KindClick, e.at).String()
	e.post("/track?gk_click_id="+click+"&cnv_amount=5", "application/json", `{"cnv_amount":9.99,"CNV_SUB_1":"x"}`)
	require.Equal(t, domain.ReasonMalformed, e.last(t).Refused)
	require.Equal(t, "cnv_amount has several different values.", e.last(t).Detail)
	w := e.post("/track?gk_click_id="+click+"&cnv_amount=5&cnv_sub_1=a", "application/json", `{"CNV_AMOUNT":5.00,"cnv_sub_1":"x"}`)
	require.Equal(t, []any{domain.ReasonNone, "5", []string{"a"}}, []any{e.last(t).Refused, e.last(t).Amount, e.last(t).Subs})
	require.Equal(t, domain.FieldErrors{{Field: "cnv_sub_1", Reason: firstCounts}}, e.last(t).Warnings)
	require.Equal(t, http.StatusOK, w.Code)
	// The pairs of a signed postback have no order, so that none is the first.
	for _, query := range []string{"cnv_sub_1=a&cnv_sub_1=b", "cnv_sub_1=b&cnv_sub_1=a"} {
		e.get("/track?gk_click_id="+click+"&"+query, "of_timestamp", "1778671800", "of_nonce", "12345678", "of_signature", "00")
		require.Equal(t, domain.ReasonMalformed, e.last(t).Refused)
	}
}

// Signatures are over what was sent, before anything of it was mended.
func TestRule71SignedAsSent(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.accepting()
	query := "AMP;GK_CLICK_ID=%7B" + e.keys.NewID(keyring.KindClick, e.at).String() + "%7D"
	for _, path := range []string{"/track", "//track", "/track/", "//track//k%41y/"} {
		signature := domain.SignPostback([]byte("a secret"), domain.CanonicalPostback("GET", path, query, nil, "1778671800", "n-123456"))
		w := e.get(path+"?"+query, "of_timestamp", "1778671800", "of_nonce", "n-123456", "of_signature", signature)
		require.Equal(t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
		text, err := e.keys.Open(e.last(t).Signed.SealedText)
		require.NoError(t, err)
		require.True(t, domain.SignatureMatches([]byte("a secret"), string(text), signature), path)
	}
	require.Equal(t, domain.SentByKey("kAy"), e.last(t).AdvertiserKey)
}

// What nobody can read is in a log with its reason, wrong addresses too.
func TestRule71WrongAddresses(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	query := "?gk_click_id=" + e.keys.NewID(keyring.KindClick, e.at).String()
	for _, c := range []struct {
		method, path string
		code         int
		key, detail  string
	}{
		{"GET", "/track/key/more", 400, "key", "path is not a postback address."},
		{"POST", "//track//key//more/", 400, "key", "path is not a postback address."},
		{"GET", "/Track", 400, "", "path is not a postback address."},
		{"PUT", "/track/key", 400, "key", "method must be GET or POST."},
		{"GET", "/aff_lsr/x", 200, "", "path is not a postback address."},
		{"GET", "/aff_lsrs", 200, "", "path is not a postback address."},
		{"PATCH", "/aff_goal", 200, "", "method must be GET or POST."},
		{"GET", "/SPsecretcode/more", 200, "", "path is not a postback address."},
	} {
		before := len(e.posted)
		w := e.serve(httptest.NewRequest(c.method, c.path+query, nil))
		require.Equal(t, c.code, w.Code, "%s %s", c.path, w.Body)
		require.Len(t, e.posted, before+1, c.path)
		p := e.last(t)
		require.Equal(t, []any{domain.ReasonMalformed, c.detail}, []any{p.Refused, p.Detail}, c.path)
		require.Equal(t, c.key != "", p.AdvertiserKey == domain.SentByKey("key"), c.path)
		require.NotContains(t, p.Path, "secretcode")
		require.NotContains(t, p.Path, "key", "rule 78")
	}
	before := len(e.posted)
	for _, c := range []struct{ method, path string }{{"GET", "/nothing"}, {"HEAD", "/track"}, {"OPTIONS", "/track"}, {"GET", "/c/a/b"}, {"GET", "/c/x/"}, {"GET", "/"}, {"GET", "//"}} {
		w := e.serve(httptest.NewRequest(c.method, c.path, nil))
		require.GreaterOrEqual(t, w.Code, 404, c.path)
	}
	require.Len(t, e.posted, before)
}

// Rule 71: an address with its port is an address; what is no address is the proxy's.
func TestRule71ForwardedAddresses(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for sent, want := range map[string]string{
		"203.0.113.9": "203.0.113.9", "203.0.113.9:4711": "203.0.113.9", "[2001:db8::9]:4711": "2001:db8::9", "[2001:db8::9]": "2001:db8::9",
		"2001:db8::9": "2001:db8::9", "198.51.100.1:1, 203.0.113.9:4711,10.2.2.2:80": "203.0.113.9", "unknown": "10.1.1.1", "x:1": "10.1.1.1",
	} {
		e.get("/track", "X-Forwarded-For", sent)
		require.Equal(t, want, e.last(t).SourceIP, sent)
	}
	r := httptest.NewRequest(http.MethodGet, "/track", nil)
	r.RemoteAddr = "198.51.100.7:99" // a stranger, whom nobody believes
	r.Header.Set("X-Forwarded-For", "203.0.113.9:4711")
	e.serve(r)
	require.Equal(t, "198.51.100.7", e.last(t).SourceIP)
}

// Rules 71, 72: the forms of a click read alike.
func TestRule71Clicks(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.link.PartnerID = nil
	e.offer.TrackingSystemLink = "https://adv.example/?s={gk_click_id}&m={pub_member_id}&c={pub_click_id}&x={pub_sub_1}&o={source}"
	e.load(t)
	link := e.link.ID.String()
	for _, path := range []string{
		"/c/" + link + "?", "//c/" + strings.ToUpper(link) + "/?", "/c/" + strings.ReplaceAll(link, "-", "") + "?", "/c/%7B" + link + "%7D?",
		"/aff_c?OFFER_ID=" + strings.ReplaceAll(e.offer.ID.String(), "-", "") + "&", "/aff_c/?amp;offer_id=%7B" + e.offer.ID.String() + "%7D&",
		"/wall?OFFERID=" + e.offer.ID.String() + "&", "/wall?amp;offerId=" + strings.ToUpper(e.offer.ID.String()) + "&",
	} {
		before := len(e.click)
		w := e.get(path + "PUB_MEMBER_ID=+m+&amp;pub_click_id=+c%E9+&amp;Pub_Sub_1=%FFs&source=bytes:o&pub_session_id=S&pub_device=" + strings.Repeat("x", 300))
		require.Equal(t, http.StatusFound, w.Code, "%s %s", path, w.Body)
		click := e.click[before]
		require.Equal(t, []string{" m ", "bytes:c%E9", "bytes:%FFs", "bytes:bytes%3Ao", "S", ""},
			[]string{*click.PubMemberID, click.PubClickID, click.PubSubs[0], click.Source, click.PubSessionID, click.PubDevice}, path)
		to, err := url.Parse(w.Header().Get("Location"))
		require.NoError(t, err)
		q := to.Query() // what was sent goes back as it was
		require.Equal(t, []string{" m ", "c\xe9", "\xffs", "bytes:o"}, []string{q.Get("m"), q.Get("c"), q.Get("x"), q.Get("o")}, path)
	}
}

// Rule 72: two members are never one, and nobody is turned away for a long id that names nobody.
func TestRule72ClickParameters(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.load(t)
	path := "/c/" + e.link.ID.String() + "?pub_member_id="
	members := map[string]string{}
	for _, sent := range []string{"Jos%E9", "Jos%E8", "Jos%C3%A9", "bytes:Jos%25E9", "bytes%3AJos%25E8", "Jos%EF%BF%BD", "a%00", "a%EF%BF%BD", "m", "+m", "m+", "%EF%BB%BFm"} {
		before := len(e.click)
		require.Equal(t, http.StatusFound, e.get(path+sent).Code, sent)
		member := *e.click[before].PubMemberID
		require.Empty(t, members[member], "%s and %s are one member, %q", sent, members[member], member)
		members[member] = sent
		require.Equal(t, domain.Storable(member), member)
	}
	require.Contains(t, members, "bytes:Jos%E9")
	long, wide := strings.Repeat("x", 2048), strings.Repeat("%FF", 2048)
	for _, name := range []string{"pub_click_id", "pub_session_id", "pub_sub_1", "pub_sub_15", "source"} {
		require.Equal(t, http.StatusFound, e.get(path+"m&"+name+"="+long).Code, name)
		require.Equal(t, http.StatusFound, e.get(path+"m&"+name+"="+wide).Code, name)
		require.Equal(t, http.StatusBadRequest, e.get(path+"m&"+name+"="+long+"x").Code, name)
	}
	require.Equal(t, long, e.click[len(members)].PubClickID)
	require.Equal(t, http.StatusFound, e.get(path+strings.Repeat("y", 512)).Code)
	require.Equal(t, http.StatusFound, e.get(path+strings.Repeat("%FF", 512)).Code)
	require.Equal(t, http.StatusBadRequest, e.get(path+strings.Repeat("y", 513)).Code)
}

// Rule 46: a prefetch makes no click, and has nothing that a browser could keep.
func TestRule46Prefetch(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.load(t)
	for _, header := range [][]string{
		{"Sec-Purpose", "prefetch"}, {"Sec-Purpose", "prefetch;prerender"}, {"Sec-Purpose", "prefetch;anonymous-client-ip"}, {"Purpose", "prefetch"},
		{"Purpose", "Prefetch"}, {"X-Moz", "prefetch"}, {"X-Purpose", "preview"},
	} {
		for _, path := range []string{"/c/" + e.link.ID.String(), "/aff_c?offer_id=" + e.offer.ID.String(), "/wall?offerId=" + e.offer.ID.String()} {
			w := e.get(path, header...)
			require.Equal(t, http.StatusServiceUnavailable, w.Code, header)
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"), header)
			require.Empty(t, w.Body.String(), header)
			require.Empty(t, w.Header().Get("Location"), header)
		}
	}
	require.Empty(t, e.click)
	require.Equal(t, http.StatusFound, e.get("/c/"+e.link.ID.String()).Code, "the real navigation")
}

// Rule 73: international names go out as punycode, stores' and apps' addresses as they are.
func TestRule73Redirects(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		"https://пример.рф/путь?m={pub_member_id}":                "https://xn--e1afmkfd.xn--p1ai/%D0%BF%D1%83%D1%82%D1%8C?m=a+b",
		"https://BÜCHER.example:8443/?m={pub_member_id}":          "https://xn--bcher-kva.example:8443/?m=a+b",
		"https://例え。テスト?m={pub_member_id}":                        "https://xn--r8jz45g.xn--zckzah?m=a+b",
		"https://plain_name.example/?m={pub_member_id}":           "https://plain_name.example/?m=a+b",
		"market://details?id=com.game&referrer={pub_member_id}":   "market://details?id=com.game&referrer=a+b",
		"itms-apps://apps.apple.com/app/id1?m={pub_member_id}":    "itms-apps://apps.apple.com/app/id1?m=a+b",
		"intent://x/#Intent;scheme=zxing;S.m={pub_member_id};end": "intent://x/#Intent;scheme=zxing;S.m=a%20b;end",
	} {
		e := newEdge(t)
		e.offer.TrackingSystemLink, e.offer.FallbackURL = link, link
		e.load(t)
		w := e.get("/c/" + e.link.ID.String() + "?pub_member_id=a+b")
		require.Equal(t, http.StatusFound, w.Code)
		require.Equal(t, want, w.Header().Get("Location"))
		e.offer.IsPaused = true
		e.offer.Version++
		e.load(t)
		require.Equal(t, want, e.get("/c/"+e.link.ID.String()+"?pub_member_id=a+b").Header().Get("Location"), "as a fallback")
	}
}
