package tracking

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// A click leaves a cookie, so that a pixel on the advertiser's page can be told whose it is. Each
// offer has one of its own: a click of one does not make another's forgotten. It holds the click id,
// which proves itself by its MAC, and nothing about the member.
const (
	clickCookiePrefix = "of_"
	// maxClickCookies bounds what a browser sends us with each request: the oldest go first.
	maxClickCookies = 20
	// longestCookie is what browsers keep at most.
	longestCookie = 400 * 24 * time.Hour
)

func clickCookieName(offerID uuid.UUID) string {
	return clickCookiePrefix + base64.RawURLEncoding.EncodeToString(offerID[:])
}

// clickCookie is one that a browser sent, its name and value read.
type clickCookie struct {
	name         string
	offer, click uuid.UUID
}

// clickCookies are the genuine ones, the latest click first.
func (t *Edge) clickCookies(r *http.Request) []clickCookie {
	if len(r.Header["Cookie"]) == 0 {
		return nil
	}
	var found []clickCookie
	for _, cookie := range r.Cookies() {
		text, ours := strings.CutPrefix(cookie.Name, clickCookiePrefix)
		if !ours {
			continue
		}
		raw, err := base64.RawURLEncoding.DecodeString(text)
		click, ok := canonicalUUID(cookie.Value)
		if err != nil || len(raw) != len(uuid.Nil) || !ok || !t.keys.Genuine(keyring.KindClick, click) {
			continue
		}
		found = append(found, clickCookie{cookie.Name, uuid.UUID(raw), click})
	}
	slices.SortStableFunc(found, func(a, b clickCookie) int { return strings.Compare(string(b.click[:]), string(a.click[:])) })
	return found
}

// clickOfCookie is the click that the browser holds for an offer; without an offer it is told only
// where the browser holds the click of one alone.
func (t *Edge) clickOfCookie(r *http.Request, offerID uuid.UUID) (click, offer uuid.UUID, ok bool) {
	cookies := t.clickCookies(r)
	for _, cookie := range cookies {
		if offerID == uuid.Nil && cookie.offer != cookies[0].offer {
			return uuid.Nil, uuid.Nil, false
		}
		if !ok && (offerID == uuid.Nil || cookie.offer == offerID) {
			click, offer, ok = cookie.click, cookie.offer, true
		}
	}
	return click, offer, ok
}

// leaveCookie tells the browser to keep a click as long as something can be completed, and to drop
// the oldest of too many. A browser that asks not to be followed is not.
func (t *Edge) leaveCookie(c *gin.Context, to offercache.Target, click *domain.Click) {
	if c.Request.Header.Get("Sec-GPC") == "1" {
		return
	}
	name := clickCookieName(to.Offer.ID)
	others := t.clickCookies(c.Request)
	others = slices.DeleteFunc(others, func(o clickCookie) bool { return o.name == name })
	header := c.Writer.Header()
	for i := maxClickCookies - 1; i < len(others); i++ {
		header.Add("Set-Cookie", others[i].name+"=; Max-Age=0"+t.cookieScope)
	}
	// Not as long as the late proof (rule 19): no pixel proves anything.
	keep := min(click.SessionEndsAt.Sub(click.ClickedAt)-domain.LateProof-to.Offer.Grace(), longestCookie)
	seconds := strconv.FormatInt(int64(keep/time.Second), 10)
	header.Add("Set-Cookie", name+"="+click.ID.String()+"; Max-Age="+seconds+t.cookieScope)
}

// cookieScope is the rest of every click cookie. A pixel stands on the advertiser's page, which is
// another site, whereto only cookies go that say so, and only over https.
func cookieScope(publicURL string) string {
	if strings.HasPrefix(publicURL, "https://") {
		return "; Path=/; HttpOnly; Secure; SameSite=None"
	}
	return "; Path=/; HttpOnly; SameSite=Lax"
}
