package tracking

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/gif"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// A pixel is 200 and nothing to see, whatever was decided and however it was called.
func TestPixelAnswers(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	click := e.keys.NewID(keyring.KindClick, e.at).String()
	const image, frame = "image/gif", "text/html; charset=utf-8"
	for _, query := range []string{"", "?transaction_id=" + click, "?transaction_id=nonsense", "?gk_click_id=" + uuid.NewString(), "?offer_id=1&offer_id=2", "?%zz=%"} {
		for _, c := range []struct {
			path, header, value, want string
		}{
			{"/pixel.gif", "", "", image},
			{"/pixel.gif", "Sec-Fetch-Dest", "iframe", image},
			{"/pixel", "", "", frame},
			{"/pixel", "Sec-Fetch-Dest", "image", image},
			{"/aff_l", "", "", image},
			{"/aff_l", "Accept", "*/*", image},
			{"/aff_l", "Accept", "image/avif,image/webp,*/*;q=0.8", image},
			{"/aff_l", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8", frame},
			{"/aff_l", "Sec-Fetch-Dest", "iframe", frame},
			{"/SLnonsense", "Sec-Fetch-Dest", "image", image},
			{e.code(domain.OpaquePixel, uuid.Nil), "Accept", "text/html", frame},
			{e.code(domain.OpaqueGoalPixel, uuid.Must(uuid.NewV7())), "", "", image},
		} {
			before := len(e.posted)
			headers := []string{c.header, c.value}
			if c.header == "" {
				headers = nil
			}
			begin := time.Now()
			w := e.get(c.path+query, headers...)
			require.Less(t, time.Since(begin), answerWait, "nobody waits for the decision")
			require.Equal(t, http.StatusOK, w.Code, c.path+query)
			require.Equal(t, []string{c.want, "no-store", "cross-origin"}, []string{w.Header().Get("Content-Type"), w.Header().Get("Cache-Control"), w.Header().Get("Cross-Origin-Resource-Policy")}, c.path)
			require.Len(t, e.posted, before+1, "%s%s: it is in the log", c.path, query)
		}
	}
	picture, err := gif.Decode(bytes.NewReader([]byte(pixelImage)))
	require.NoError(t, err)
	require.Equal(t, "(0,0)-(1,1)", picture.Bounds().String())
	_, _, _, alpha := picture.At(0, 0).RGBA()
	require.Zero(t, alpha, "transparent")
}

// clicked is a click of the edge's offer; it returns the cookies that it left.
func (e *edge) clicked(t *testing.T, headers ...string) []*http.Cookie {
	t.Helper()
	w := e.get("/c/"+e.link.ID.String(), append([]string{"User-Agent", iPhone}, headers...)...)
	require.Equal(t, http.StatusFound, w.Code)
	return w.Result().Cookies()
}

func TestClickCookie(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.load(t)
	cookies := e.clicked(t)
	require.Len(t, cookies, 1)
	c := cookies[0]
	require.Equal(t, e.click[0].ID.String(), c.Value, "the click's id and nothing else")
	require.NotContains(t, c.Name, e.offer.ID.String())
	require.Equal(t, []any{"/", "", 30 * 24 * 3600, true, true, http.SameSiteNoneMode}, []any{c.Path, c.Domain, c.MaxAge, c.Secure, c.HttpOnly, c.SameSite})
	require.LessOrEqual(t, len(c.Name)+len(c.Value), 64)

	e.cookieScope = cookieScope("http://127.0.0.1:8080")
	c = e.clicked(t)[0]
	require.Equal(t, []any{false, http.SameSiteLaxMode}, []any{c.Secure, c.SameSite}, "browsers take no other over http")

	require.Empty(t, e.clicked(t, "Sec-GPC", "1"), "who asks not to be followed is not")
	long := domain.Micros(500 * domain.MicrosPerUnit)
	e.offer.Events[0].DeadlineDays, e.offer.Version = &long, 4
	e.load(t)
	require.Equal(t, 400*24*3600, e.clicked(t)[0].MaxAge)

	e.offer.IsPaused, e.offer.FallbackURL, e.offer.Version = true, "https://o.example/", 5
	e.load(t)
	require.Empty(t, e.clicked(t), "rule 46: no click id is given away")
}

// Each offer has its own; there is a bound to what a browser sends, and the oldest go first.
func TestClickCookiesAreBounded(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.load(t)
	var sent []string
	for i := range maxClickCookies + 5 {
		sent = append(sent, clickCookieName(uuid.Must(uuid.NewV7()))+"="+e.keys.NewID(keyring.KindClick, e.at.Add(-time.Duration(i)*time.Minute)).String())
	}
	oldest, _, _ := strings.Cut(sent[len(sent)-1], "=")
	own := clickCookieName(e.offer.ID) + "=" + e.keys.NewID(keyring.KindClick, e.at.Add(-time.Hour*24)).String()
	cookies := e.clicked(t, "Cookie", strings.Join(append(sent, own, "session=of_no", "of_bad=x"), "; "))
	require.Len(t, cookies, 1+6, "its own, and six of twenty-five make place")
	dropped := map[string]bool{}
	for _, c := range cookies[:6] {
		require.Equal(t, []any{-1, "", "/", true}, []any{c.MaxAge, c.Value, c.Path, c.Secure})
		dropped[c.Name] = true
	}
	require.True(t, dropped[oldest])
	require.False(t, dropped[clickCookieName(e.offer.ID)])
	require.Equal(t, e.click[0].ID.String(), cookies[6].Value)
}

// A pixel is told whose click it is by the offer's cookie.
func TestPixelByCookie(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.accepting()
	click, earlier, other := e.keys.NewID(keyring.KindClick, e.at), e.keys.NewID(keyring.KindClick, e.at.Add(-time.Hour)), e.keys.NewID(keyring.KindClick, e.at)
	otherOffer := uuid.Must(uuid.NewV7())
	cookie := func(offer, click uuid.UUID) string { return clickCookieName(offer) + "=" + click.String() }
	mine := cookie(e.offer.ID, click)
	both := mine + "; " + cookie(otherOffer, other)
	offer := "offer_id=" + e.offer.ID.String()
	sl, gl := e.code(domain.OpaquePixel, uuid.Nil), e.code(domain.OpaqueGoalPixel, uuid.Must(uuid.NewV7()))
	for name, c := range map[string]struct {
		path, cookies string
		want          *uuid.UUID
	}{
		"of the offer":          {"/pixel.gif?" + offer, both, &click},
		"in a frame":            {"/pixel?" + offer, both, &click},
		"compatible":            {"/aff_l?" + offer, both, &click},
		"a goal's":              {"/aff_goal?a=l&goal_name=x&" + offer, both, &click},
		"opaque":                {sl, both, &click},
		"opaque, a goal's":      {gl, both, &click},
		"the later of two":      {"/aff_l?" + offer, cookie(e.offer.ID, earlier) + "; " + mine, &click},
		"the only one":          {"/pixel.gif", mine, &click},
		"no offer, two cookies": {"/pixel.gif", both, nil},
		"another offer's":       {sl, cookie(otherOffer, other), nil},
		"forged":                {"/aff_l?" + offer, cookie(e.offer.ID, uuid.New()), nil},
		"no id":                 {"/aff_l?" + offer, clickCookieName(e.offer.ID) + "=x", nil},
		"a parameter first":     {"/aff_l?transaction_id=" + other.String() + "&" + offer, mine, &other},
		"a bad parameter":       {"/aff_l?transaction_id=x&" + offer, mine, nil},
		"our own postback":      {"/track?" + offer, mine, nil},
	} {
		e.get(c.path, "Cookie", c.cookies)
		got := e.last(t)
		require.Equal(t, c.want, got.ClickID, name)
		if c.want == &click {
			require.Equal(t, e.offer.ID, *got.Address.OfferID, "%s: the click must be of this offer", name)
		} else if c.want == nil {
			require.Equal(t, domain.ReasonMalformed, got.Refused, name)
		}
	}
	signed := []string{"Cookie", mine, "of_timestamp", "1778671800", "of_nonce", "12345678", "of_signature", "00"}
	e.get("/aff_l?"+offer, signed...)
	require.Nil(t, e.last(t).ClickID, "a cookie is no part of what is signed")
}

// The bound holds whatever a browser sends.
func TestManyCookies(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.load(t)
	var all strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&all, "of_%s=%s; ", base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf("%016d", i))), strings.Repeat("x", 36))
	}
	require.Len(t, e.clicked(t, "Cookie", all.String()), 1)
}
