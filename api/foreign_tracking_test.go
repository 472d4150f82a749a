package api_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/keyring"
)

// The public routes in TestEveryRouteKeepsTenantsApart. Nobody asks there with a token: one parameter
// says whose the request is, and the others only say something about it (rule 2). Each of those is given
// another tenant's real id. It must do what an id does that nobody ever had, move no row of anybody else
// and leave no reference to anybody else's.

// trackedForm is a request that a public route takes, by its parameters. Those of the path stand in
// braces; cookie is a click, and cookieOffer the offer that the browser holds it for.
type trackedForm struct {
	// goesBy says whose the request is; "" where the address and browser of the visitor do.
	goesBy string
	claims []string
	// with is the rest of the query.
	with string
}

// tracked are the forms of each public route. A new route needs a line here.
var tracked = map[string][]trackedForm{
	"/c/{linkId}": {{goesBy: "{linkId}", claims: []string{"viewId", "pub_member_id"}}},
	"/api/v1/offer-wall/offer-link-redirect": {
		{goesBy: "offerId", claims: []string{"pub_member_id"}}, {goesBy: "offerId", claims: []string{"viewId"}},
		{goesBy: "viewId", claims: []string{"pub_member_id"}},
	},
	"/aff_c":                 {{goesBy: "offer_id", claims: []string{"aff_id", "viewId"}}},
	"/track":                 plainForms(),
	"/track/{advertiserKey}": plainForms("{advertiserKey}"),
	"/pixel":                 pixelForms("cnv_event_id=install", "goal_id"),
	"/pixel.gif":             pixelForms("cnv_event_id=install", "goal_id"),
	"/aff_l":                 pixelForms(""),
	"/aff_lsr":               pixelForms(""),
	"/aff_goal": append(pixelForms("a=lsr", "goal_id"),
		trackedForm{goesBy: "transaction_id", claims: []string{"goal_id", "security_token"}, with: "a=l"},
		trackedForm{goesBy: "transaction_id", claims: []string{"adv_id", "security_token"}, with: "a=lsr&goal_name=install"}),
	"/SP{code}": {{goesBy: "transaction_id", claims: []string{"{code}", "aff_id", "security_token"}}},
	"/SL{code}": {{goesBy: "transaction_id", claims: []string{"{code}", "aff_id", "security_token"}}},
	"/GP{code}": {{goesBy: "transaction_id", claims: []string{"{code}", "goal_id", "security_token"}}},
	"/GL{code}": {{goesBy: "transaction_id", claims: []string{"{code}", "goal_id", "security_token"}}},
}

func plainForms(more ...string) []trackedForm {
	return []trackedForm{
		{goesBy: "gk_click_id", claims: append([]string{"goal_id", "security_token"}, more...), with: "cnv_event_id=install"},
		{goesBy: "gk_click_id", claims: append([]string{"adv_id", "security_token"}, more...), with: "goal_name=install"},
	}
}

func pixelForms(with string, more ...string) []trackedForm {
	return []trackedForm{
		{goesBy: "transaction_id", claims: append([]string{"offer_id", "aff_id", "security_token"}, more...), with: with},
		{goesBy: "cookie", claims: append([]string{"cookieOffer", "offer_id", "security_token"}, more...), with: with},
		{claims: append([]string{"offer_id", "aff_id", "security_token"}, more...), with: with},
	}
}

// nounOfParameter says whose id a public route's parameter takes, by its name, or where that is not
// enough by the path with it.
var nounOfParameter = map[string]string{
	"{linkId}": "link", "{advertiserKey}": "advertiser key", "offerId": "offer", "offer_id": "offer", "cookieOffer": "offer",
	"viewId": "view", "pub_member_id": "member", "aff_id": "partner", "gk_click_id": "click", "transaction_id": "click", "cookie": "click",
	"goal_id": "event", "adv_id": "advertiser", "security_token": "security token",
	"/SP{code}": "opaque postback", "/SL{code}": "opaque pixel", "/GP{code}": "opaque goal postback", "/GL{code}": "opaque goal pixel",
}

// mustAgree are claims that a postback is refused for where they are not of its click's offer.
var mustAgree = []string{"{code}", "cookieOffer"}

// notOfTenants are public routes that take nothing of a tenant's.
var notOfTenants = []string{"/healthz", "/readyz", "/openapi.json", "/docs"}

// party is whose rows a request may move: a tenant's, or both sides' of a partnership.
type party struct {
	*world
	t       *testing.T
	name    string
	tenants []*rich
	// own are its ids by noun, others those of an offer more that one of them has.
	own, others map[string]string
	theirs      []holding
	db          *pgx.Conn
	// requests counts, so that no two have one visitor.
	requests *int
}

func (w *world) parties(t *testing.T) (parties []*party) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), w.database)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close(context.WithoutCancel(t.Context())) })
	requests := 0
	for _, tenant := range w.tenants {
		own := maps.Clone(tenant.ids)
		own["security token"] = "token of " + tenant.member
		tenant.me.put("/api/v1/advertisers/"+tenant.own("advertiser"), map[string]any{"name": "Safe", "securityToken": own["security token"]}).into(http.StatusOK, nil)
		parties = append(parties, &party{
			world: w, name: tenant.member, tenants: []*rich{tenant}, own: own, others: tenant.another().codes(), theirs: w.foreignTo(tenant), db: db, requests: &requests,
		})
	}
	for i, publisher := range w.tenants[1:] {
		parties = append(parties, &party{
			world: w, name: "the partnership with " + publisher.member, tenants: []*rich{w.tenants[0], publisher}, own: w.shared[i],
			others: w.tenants[0].ids, theirs: w.foreignTo(publisher), db: db, requests: &requests,
		})
	}
	for _, p := range parties { // everybody's token is made by now
		p.theirs = slices.Clone(p.theirs)
		for i, h := range p.theirs {
			p.theirs[i].ids = maps.Clone(h.ids)
			if h.ids["link"] != "" && len(h.of) == 1 {
				p.theirs[i].ids["security token"] = "token of " + strings.TrimPrefix(h.name, "of ")
			}
		}
	}
	return parties
}

// tracksApart lets every tenant, and every partnership, say to the public routes all that is somebody
// else's.
func (w *world) tracksApart(t *testing.T) {
	t.Helper()
	routes := w.publicRoutes(t)
	for _, p := range w.parties(t) {
		t.Run("tracking: "+p.name, func(t *testing.T) {
			before := w.rowsBut(t, p.tenants...)
			for _, o := range routes {
				for _, form := range tracked[o.path] {
					t.Run(fmt.Sprintf("%s %s by %q", o.method, o.path, form.goesBy), func(t *testing.T) { p.in(t).attack(o, form) })
				}
			}
			require.Equal(t, before, w.rowsBut(t, p.tenants...), "rows of other tenants were changed")
		})
	}
	for _, tenant := range w.tenants {
		w.refersToItsOwn(t, tenant)
	}
	require.Empty(t, w.edge.failures)
}

// publicRoutes are those of the OpenAPI document that take no token.
func (w *world) publicRoutes(t *testing.T) (routes []operation) {
	t.Helper()
	for _, o := range w.documented() {
		if isOpen(o.path) && !slices.Contains(notOfTenants, o.path) {
			require.NotEmpty(t, tracked[o.path], "what of a tenant's does %s take? Add it to tracked in foreign_tracking_test.go", o.path)
			routes = append(routes, o)
		}
	}
	require.Greater(t, len(routes), 15)
	return routes
}

func (p *party) in(t *testing.T) *party {
	out := *p
	out.t = t
	return &out
}

// attack makes a request with all that is the party's own, which works, and then with claims that are
// not: one after another, and all of somebody's at once.
func (p *party) attack(o operation, form trackedForm) {
	p.t.Helper()
	own := map[string]string{}
	for _, claim := range form.claims {
		if id := p.own[nounOfClaim(o, claim)]; id != "" && claim != "pub_member_id" {
			own[claim] = id
		}
	}
	if form.goesBy == "viewId" && p.own["view"] == "" {
		return
	}
	p.tracks(o, form, own, "").works(p.t)
	all := map[string]map[string]string{}
	for _, claim := range form.claims {
		noun := nounOfClaim(o, claim)
		theirs := p.theirsOf(noun)
		if len(theirs) == 0 {
			continue
		}
		unheard := p.tracks(o, form, with(own, claim, p.nobodys(noun)), claim)
		for name, id := range theirs {
			effect := p.tracks(o, form, with(own, claim, id), claim)
			require.Equal(p.t, unheard, effect, "%s, %s, in %s is not as one that nobody has", noun, name, claim)
			if slices.Contains(mustAgree, claim) {
				require.NotContains(p.t, effect.rows, "conversion", "%s, %s, in %s is taken: %+v", noun, name, claim, effect)
			}
			if all[name] == nil {
				all[name] = maps.Clone(own)
			}
			all[name][claim] = id
		}
	}
	if form.goesBy == "" {
		return // offer and partner of one tenant are a visitor of its own
	}
	for _, claims := range all {
		p.tracks(o, form, claims, "")
	}
}

// theirsOf are a noun's ids that the party has not: of another tenant, and of a partnership with another.
func (p *party) theirsOf(noun string) map[string]string {
	theirs, kinds := map[string]string{}, map[int]bool{}
	for _, h := range slices.Backward(p.theirs) {
		if id := h.ids[noun]; id != "" && id != p.own[noun] && !kinds[len(h.of)] {
			theirs[h.name], kinds[len(h.of)] = id, true
		}
	}
	return theirs
}

func with(own map[string]string, claim, id string) map[string]string {
	out := maps.Clone(own)
	out[claim] = id
	return out
}

func nounOfClaim(o operation, parameter string) string {
	if parameter == "{code}" {
		return nounOfParameter[o.path]
	}
	return nounOfParameter[parameter]
}

// nobodys is what a noun's id looks like that no other tenant has. It is one that we might have minted,
// so that no look-up of it is refused for their number. A code is one of another offer: what is no code
// at all is refused for that.
func (p *party) nobodys(noun string) string {
	switch {
	case p.others[noun] != "" && strings.HasPrefix(noun, "opaque "):
		return p.others[noun]
	case noun == "member", noun == "advertiser key", noun == "security token":
		return "nobodys-" + strings.ReplaceAll(noun, " ", "-")
	default:
		kinds := map[string]keyring.Kind{"link": keyring.KindLink, "view": keyring.KindView, "postback": keyring.KindPostback}
		return p.api.Keys.NewID(cmp.Or(kinds[noun], keyring.KindClick), clocktest.Now()).String()
	}
}

// effect is what came of a request: the answer, and rows of clicks, postbacks and conversions.
type effect struct {
	status               int
	body, location, rows string
}

func (e *effect) works(t *testing.T) {
	t.Helper()
	if e.status == http.StatusFound {
		require.Contains(t, e.rows, `["click", `, "%+v", e)
		return
	}
	require.Equal(t, http.StatusOK, e.status, "%+v", e)
	require.Contains(t, e.rows, `"accepted"`, "%+v", e)
	require.Contains(t, e.rows, `["conversion", `, "%+v", e)
}

// tracks makes one request of a visitor of its own. The value of the claim that is tried is left out of
// the effect, as is what was minted for it.
func (p *party) tracks(o operation, form trackedForm, claims map[string]string, tried string) *effect {
	p.t.Helper()
	*p.requests++
	values := maps.Clone(claims)
	visitor := fmt.Sprintf("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/%d", *p.requests)
	switch noun := nounOfParameter[form.goesBy]; noun {
	case "", "click":
		clicked := p.visit(http.MethodGet, "/c/"+p.own["link"]+fmt.Sprintf("?pub_member_id=member-%d", *p.requests), visitor, "")
		click, err := url.Parse(clicked.location)
		require.NoError(p.t, err)
		require.NotEmpty(p.t, click.Query().Get("sub1"), "no click: %+v", clicked)
		if form.goesBy != "" {
			values[form.goesBy] = click.Query().Get("sub1")
		}
	default:
		values[form.goesBy] = p.own[noun]
	}
	path, cookie := p.addressOf(o, form, values)
	p.edge.came()
	e := p.visit(o.method, path, visitor, cookie)
	e.rows = p.rowsOf(p.edge.came())
	for _, h := range p.theirs {
		for _, id := range h.ids {
			if strings.Contains(e.body+e.location, id) {
				require.Contains(p.t, path, id, "the answer shows what another tenant alone has: %+v", e)
			}
		}
	}
	if tried != "" {
		for _, text := range []*string{&e.body, &e.location, &e.rows} {
			*text = strings.ReplaceAll(*text, claims[tried], "what is tried")
		}
	}
	e.body, e.location = anyID.ReplaceAllString(e.body, "an id"), anyID.ReplaceAllString(e.location, "an id")
	return e
}

var anyID = regexp.MustCompile(`[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// addressOf is a request's path with its query, and its cookie.
func (p *party) addressOf(o operation, form trackedForm, values map[string]string) (path, cookie string) {
	path = o.path
	query, _ := url.ParseQuery(form.with)
	query.Set("format", "json")
	for name, value := range values {
		switch {
		case strings.HasPrefix(name, "{"):
			path = strings.Replace(path, name, value, 1)
		case name == "cookie":
			offer := uuid.MustParse(values["cookieOffer"])
			cookie = "of_" + base64.RawURLEncoding.EncodeToString(offer[:]) + "=" + value
		case name != "cookieOffer":
			query.Set(name, value)
		}
	}
	return path + "?" + query.Encode(), cookie
}

// visit sends a browser's request, which follows no redirect.
func (p *party) visit(method, path, userAgent, cookie string) *effect {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, nil)
	require.NoError(p.t, err)
	request.Header.Set("User-Agent", userAgent)
	if cookie != "" {
		request.Header.Set("Cookie", cookie)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	require.NoError(p.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(p.t, err)
	require.Less(p.t, response.StatusCode, 500, "%s %s: %s", method, path, body)
	return &effect{status: response.StatusCode, body: string(body), location: response.Header.Get("Location")}
}

// rowsOf are the rows that came of clicks and postbacks.
func (p *party) rowsOf(clicks, postbacks []uuid.UUID) (rows string) {
	p.t.Helper()
	require.NoError(p.t, p.db.QueryRow(p.t.Context(), `SELECT coalesce(jsonb_agg(x.made ORDER BY x.made), '[]')::text FROM (
		SELECT jsonb_build_array('click', c.tenant_id, c.side, c.link_id, c.offer_id, c.partner_id, c.advertiser_id, c.placement_id, c.pub_member_id,
			c.view_id, c.refused_reason) AS made FROM clicks c WHERE c.id = ANY($1)
		UNION ALL
		SELECT jsonb_build_array('postback', b.tenant_id, b.advertiser_id, b.outcome, b.reason) FROM postbacks b WHERE b.id = ANY($2)
		UNION ALL
		SELECT jsonb_build_array('conversion', v.tenant_id, v.side, v.offer_id, v.event_id, v.partner_id, v.advertiser_id, v.status, v.rejection_reason,
			v.revenue_micros, v.payout_micros, v.reward_micros) FROM postbacks b JOIN conversions v ON v.click_id = b.click_id WHERE b.id = ANY($2)
		) x`, clicks, postbacks).Scan(&rows))
	return rows
}

// copied are columns of a publisher's rows that hold an id of the advertiser's: what came with a
// conversion, and is shown to nobody.
var copied = []string{"conversions.postback_id"}

// refersToItsOwn looks into every column of ids for one that is somebody else's alone: what was sent is
// kept as it came in texts and documents only.
func (w *world) refersToItsOwn(t *testing.T, r *rich) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.database)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `SELECT format('SELECT %L, x.%I::text FROM %I x WHERE x.tenant_id = $1 AND x.%I = ANY($2::uuid[])',
			c.relname || '.' || a.attname, a.attname, c.relname, a.attname)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
			AND EXISTS (SELECT 1 FROM pg_attribute o WHERE o.attrelid = c.oid AND o.attname = 'tenant_id' AND NOT o.attisdropped)`)
	require.NoError(t, err)
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Greater(t, len(columns), 100)
	foreign := []uuid.UUID{}
	for _, secret := range w.secretsFrom(r) {
		if id, err := uuid.Parse(secret); err == nil {
			foreign = append(foreign, id)
		}
	}
	require.NotEmpty(t, foreign)
	rows, err = conn.Query(t.Context(), strings.Join(columns, " UNION ALL "), r.tenantID, foreign)
	require.NoError(t, err)
	var column, id string
	_, err = pgx.ForEachRow(rows, []any{&column, &id}, func() error {
		if !slices.Contains(copied, column) {
			t.Errorf("%s of %s is somebody else's: %s", column, r.member, id)
		}
		return nil
	})
	require.NoError(t, err)
}

// another is the tenant with an offer more, and nothing else.
func (r *rich) another() *rich {
	r.t.Helper()
	out, b := *r, *r.book
	out.book, out.ids = &b, map[string]string{"advertiser": r.own("advertiser")}
	out.multiEvent()
	return &out
}

// codes are the opaque addresses of the tenant's offer.
func (r *rich) codes() map[string]string {
	r.t.Helper()
	var goals struct {
		Items []struct{ OpaqueCodes map[string]string }
	}
	r.me.get("/api/v1/offers/"+r.offer.ID.String()+"/goals").into(http.StatusOK, &goals)
	codes := map[string]string{}
	for name, noun := range map[string]string{
		"offerPostback": "opaque postback", "offerPixel": "opaque pixel", "postback": "opaque goal postback", "pixel": "opaque goal pixel",
	} {
		address := goals.Items[0].OpaqueCodes[name]
		require.NotEmpty(r.t, address, name)
		codes[noun] = address[strings.LastIndex(address, "/")+len("/SP"):]
	}
	return codes
}

// advertiserKey is what an advertiser's postback address ends with.
func (r *rich) advertiserKey(id string) string {
	r.t.Helper()
	var advertiser struct{ PostbackURL string }
	r.me.get("/api/v1/advertisers/"+id).into(http.StatusOK, &advertiser)
	return advertiser.PostbackURL[strings.LastIndex(advertiser.PostbackURL, "/")+1:]
}
