package api

import (
	"context"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// clickTracked is GET /c/{linkId}: the click is on disk before the member is sent on.
func (t *Tracking) clickTracked(c *gin.Context) {
	id, ok := domain.ParseSentID(c.Param("linkId"))
	if !ok {
		deadEnd(c)
		return
	}
	found, err := t.offers.byLink(c.Request.Context(), c, id)
	t.click(c, found, err)
}

// linkProbed is HEAD on a link: somebody asks whether it is there. Nobody visits, so that no click
// is made, and nothing says where the link leads.
func (t *Tracking) linkProbed(c *gin.Context) {
	id, ok := domain.ParseSentID(c.Param("linkId"))
	err := errNoTarget
	if ok {
		_, err = t.offers.byLink(c.Request.Context(), c, id)
	}
	c.Header("Cache-Control", "no-store")
	switch {
	case err == nil:
		c.Status(http.StatusOK)
	case errors.Is(err, errTooManyMisses):
		c.Status(http.StatusServiceUnavailable)
	default:
		c.Status(http.StatusNotFound)
	}
}

// click redirects one member.
func (t *Tracking) click(c *gin.Context, to target, err error) {
	switch {
	case errors.Is(err, errNoTarget):
		deadEnd(c)
		return
	case err != nil:
		if !errors.Is(err, errTooManyMisses) {
			clicksUnavailable.Inc()
			slog.WarnContext(c.Request.Context(), "cannot look up link", "error", err)
		}
		tryAgain(c, "Please try again.")
		return
	}
	if isPrefetch(c.Request) {
		// No click before the member clicks: browsers take a 503 for "not yet" and ask again (rule 46).
		c.Header("Vary", "Sec-Purpose, Purpose, X-Moz, X-Purpose")
		c.Header("Retry-After", retrySeconds)
		c.Writer.Header()["Cache-Control"] = noStore
		c.Status(http.StatusServiceUnavailable)
		return
	}
	params, tooLong := readClickParams(c.Request.URL.RawQuery)
	if tooLong != "" {
		// Cut short, it would name another member or click than the publisher's.
		c.Header("Cache-Control", "no-store")
		c.String(http.StatusBadRequest, "The parameter %s is too long.", tooLong)
		return
	}
	if to.view != nil {
		params.fill(to.view)
	}
	t.record(c, to, &params)
}

// clickWait bounds how long a member waits for the disk; a stream that is that far behind is full.
const clickWait = 5 * time.Second

// record puts the click on disk, then sends the member on, or along the fallback chain with the
// reason recorded (rule 46).
func (t *Tracking) record(c *gin.Context, to target, params *clickParams) {
	at := t.now()
	t.traffic.count(at)
	clientIP := c.ClientIP()
	userAgent := truncated(c.Request.UserAgent(), maxHeaderText)
	visitor := parseVisitor(userAgent, params.device)
	where := t.places.find(c, clientIP)
	click := t.newClick(to, params, at)
	click.IP, click.UserAgent = clientIP, userAgent
	click.Referer = truncated(c.Request.Referer(), maxHeaderText)
	click.Country, click.Device, click.OS, click.Browser = where.country, visitor.device, visitor.os, visitor.browser
	click.Normalise()
	t.addDecider(click, &to.offer.TenantID)
	seen := audience(to, params, where, visitor.device)
	click.RefusedReason = refusal(to, at, visitor, seen)
	if click.RefusedReason == domain.ReasonNone || t.spending.clicks.mayRecord(click, at) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), clickWait)
		defer cancel()
		if err := t.clicks.Publish(ctx, click); err != nil {
			clicksUnavailable.Inc()
			slog.WarnContext(c.Request.Context(), "click not recorded", "error", err)
			tryAgain(c, "Please try again.")
			return
		}
	}
	if click.RefusedReason != domain.ReasonNone {
		why := ""
		if missesCountry(click.RefusedReason, &to.offer.Targeting, seen) {
			why = t.unplacedClick(c, click)
		}
		t.fallback(c, to, params, why)
		return
	}
	t.leaveCookie(c, to, click)
	sendOn(c, to.offer.destination, func(name string) string { return params.offersMacro(name, to, click.ID) })
}

var clicksUnavailable = promauto.NewCounter(prometheus.CounterOpts{
	Name: "offerflow_clicks_unavailable_total",
	Help: "Clicks of any format answered 503 because they could not be stored or their link could not be looked up.",
})

func (t *Tracking) newClick(to target, params *clickParams, at time.Time) *domain.Click {
	return &domain.Click{
		ID: t.keys.NewID(keyring.KindClick, at), TenantID: to.link.TenantID, ClickedAt: at, LinkID: to.link.ID,
		OfferID: to.offer.ID, OfferVersion: to.offer.Version, AdvertiserID: to.offer.AdvertiserID,
		PartnerID: to.link.PartnerID, PlacementID: to.link.PlacementID, CreativeOrder: params.creative(to),
		PubMemberID: params.member(), PubClickID: params.clickID, PubSessionID: params.sessionID,
		PubGender: params.gender, PubAge: params.age, PubGeoCountry: params.country, PubGeoState: params.state,
		PubPostalCode: params.postalCode, PubDevice: params.device, PubSubs: params.filledSubs(),
		ViewID: params.viewID, Source: params.source, SessionEndsAt: to.offer.SessionEnd(at),
	}
}

// addDecider gives a click on a shared offer to the advertiser too, with a key in place of who it was:
// the link is the publisher's, and so are its members (rules 57, 58). Other clicks have no need of it.
func (t *Tracking) addDecider(click *domain.Click, offersTenant *uuid.UUID) {
	if *offersTenant == click.TenantID {
		return
	}
	click.AdvertiserTenantID, click.MemberKey = offersTenant, memberKey(t.keys, click)
}

// memberKey tells a publisher's members and visitors apart, and says nothing else about them.
func memberKey(keys *keyring.Keyring, click *domain.Click) string {
	if click.PubMemberID != nil {
		return domain.MemberKeyPrefix + keys.Pseudonym(click.TenantID, domain.MemberKeyPrefix+*click.PubMemberID)
	}
	return domain.VisitorKeyPrefix + keys.Pseudonym(click.TenantID, domain.VisitorKeyPrefix+click.IP+" "+click.UserAgent)
}

// refusal says why a click cannot convert; the first reason wins, what the offer's people must
// mend before what the member is.
func refusal(to target, at time.Time, who visitor, audience domain.Audience) domain.Reason {
	if who.bot && !to.tenant.admitsBots { // rule 47
		return domain.ReasonFraudBot
	}
	return to.unavailability(at, audience)
}

// audience is what targeting judges at the click. Where the address tells the country, it counts;
// what the publisher says in pub_geo_* counts only where nothing else is known, since it is a
// claim, and before the embedded database, which is not exact enough to overrule it. A state or postal code is believed within the country that is known.
func audience(to target, params *clickParams, where place, device string) domain.Audience {
	a := domain.Audience{Country: where.country, State: where.state, PostalCode: where.postalCode, Device: device, PlacementID: to.link.PlacementID}
	if len(to.offer.Targeting.Countries)+len(to.offer.Targeting.States) > 0 {
		claimed, _ := domain.ParseCountry(params.country)
		if a.Country == "" || where.rough && claimed.Code != "" {
			a.Country = claimed.Code
		}
		if state, ok := domain.ParseStateIn(a.Country, params.state); ok && a.State == "" && state.CountryCode == a.Country {
			a.State = state.Code
		}
	}
	if a.PostalCode == "" {
		a.PostalCode = params.postalCode
	}
	if age, err := strconv.Atoi(params.age); err == nil && age >= 0 {
		a.Age = &age
	}
	if gender, ok := domain.ParseGender(params.gender); ok {
		a.Gender = gender.Code
	}
	return a
}

// unplacedClick tells of a click that was refused since nobody knows its country: the log, now and then, and
// whoever clicked from a private address, which is a developer's, or that of a proxy that is not named.
func (t *Tracking) unplacedClick(c *gin.Context, click *domain.Click) (why string) {
	t.unplaced.Do(func() {
		slog.WarnContext(c.Request.Context(), "a click was refused: the offer has countries or states",
			"offer", click.OfferID, "click", click.ID, "why", t.places.whyUnknown(click.IP))
	})
	if addr, err := netip.ParseAddr(click.IP); err == nil && isPrivate(addr.Unmap()) {
		return t.places.whyUnknown(click.IP)
	}
	return ""
}

// fallback is the chain of rule 46: the offer's address, the partner's, the tenant's, else a page, which may
// say why. No click id is given away.
func (t *Tracking) fallback(c *gin.Context, to target, params *clickParams, why string) {
	switch {
	case to.offer.fallback != nil:
		sendOn(c, *to.offer.fallback, func(name string) string { return params.offersMacro(name, to, uuid.Nil) })
	case to.partner != nil && to.partner.fallback != nil:
		sendOn(c, *to.partner.fallback, func(name string) string { return params.macro(name, to, uuid.Nil) })
	case to.tenant.fallback != nil:
		sendOn(c, *to.tenant.fallback, func(name string) string { return params.macro(name, to, uuid.Nil) })
	default:
		deadEndBecause(c, why)
	}
}

// sendOn answers 302. The Location is fit for a header: the template has encoded what is not.
func sendOn(c *gin.Context, to domain.Template, value func(string) string) {
	header := c.Writer.Header()
	header["Location"] = []string{to.ExpandString(value)}
	header["Cache-Control"] = noStore
	// The publisher's page is named to the advertiser by its origin only: its path may name a member.
	header["Referrer-Policy"] = strictOrigin
	c.Status(http.StatusFound)
	c.Writer.WriteHeaderNow()
}

// barePage is the policy of pages that are text alone. Walls and advertisers' pages show them in frames.
const barePage = "default-src 'none'; base-uri 'none'; form-action 'none'"

var (
	noStore      = []string{"no-store"}
	strictOrigin = []string{"strict-origin"}
	deadEndPage  = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
		`<title>Not available</title><p>This offer is not available.</p>%s</html>`
)

// deadEnd is the plain page at the end of the fallback chain, and for links that do not exist.
func deadEnd(c *gin.Context) { deadEndBecause(c, "") }

func deadEndBecause(c *gin.Context, why string) {
	if why != "" {
		why = "<p>" + html.EscapeString(why) + ".</p>"
	}
	header := c.Writer.Header()
	header["Cache-Control"] = noStore
	header.Set("Content-Security-Policy", barePage)
	header.Set("Referrer-Policy", "no-referrer")
	c.Data(http.StatusNotFound, "text/html; charset=utf-8", fmt.Appendf(nil, deadEndPage, why))
}

// isPrefetch says whether a browser loads ahead of a click that may never come.
func isPrefetch(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Moz", "X-Purpose"} {
		value := r.Header.Get(name)
		if value == "" {
			continue
		}
		for token := range strings.FieldsFuncSeq(strings.ToLower(value), func(c rune) bool { return c == ';' || c == ',' || c == ' ' }) {
			if token == "prefetch" || token == "prerender" || token == "preview" {
				return true
			}
		}
	}
	return false
}
