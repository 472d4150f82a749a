package tracking

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/worker/workertest"
)

// guarded is the edge in front of the real decisions on a real database.
type guarded struct {
	*edge
	t         *testing.T
	decisions *attribution.Decisions
	mu        sync.Mutex
	answers   []domain.Answer
}

// Publish decides at once what a worker would decide later.
func (g *guarded) Publish(ctx context.Context, _, _ string, data []byte) error {
	var message struct {
		Postback domain.Postback
		ReplyTo  string
	}
	if err := json.Unmarshal(data, &message); err != nil {
		return err
	}
	answer, err := workertest.ConsumerOf(g.decisions).Answer(ctx, &message.Postback, false)
	if err != nil {
		g.t.Error(err)
		return err
	}
	g.mu.Lock()
	g.answers = append(g.answers, answer)
	g.mu.Unlock()
	if message.ReplyTo != "" {
		reply, _ := json.Marshal(answer)
		g.replies.heard(message.ReplyTo, reply)
	}
	return nil
}

// refusedNow logs at once what a worker would log later.
type refusedNow struct{ *guarded }

// Publish is what the edge refused.
func (g refusedNow) Publish(ctx context.Context, refused *domain.Postback) error {
	answer, err := g.decisions.Refuse(ctx, *refused, refused.Refused)
	if err != nil {
		g.t.Error(err)
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers = append(g.answers, answer)
	return nil
}

func newGuarded(t *testing.T, change func(*domain.Offer)) *guarded {
	t.Helper()
	store, err := db.Open(t.Context(), dbtest.New(t), 8)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	g := &guarded{edge: newEdge(t), t: t}
	g.messages, g.refusals = g, refusedNow{g}
	g.decisions = &attribution.Decisions{Store: store, Keys: g.keys, Nudge: func() {}, Now: func() time.Time { return g.at }}
	g.offer.RewardType, g.offer.OverCapPolicy, g.offer.Budget = domain.RewardTypeAutomatic, domain.OverCapPolicyReject, 1e6*domain.MicrosPerUnit
	g.offer.Events[0].Name, g.offer.Events[0].GoalSettings = "Buy", domain.GoalSettings{
		Slug: "buy", Status: domain.GoalStatusActive, RecordAs: domain.RecordAsConversion}
	if change != nil {
		change(&g.offer)
	}
	document, err := json.Marshal(g.offer)
	require.NoError(t, err)
	q, ctx := dbgen.New(), t.Context()
	require.NoError(t, store.Tenant(ctx, g.tenant.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		for _, insert := range []func() error{
			func() error {
				return q.InsertTenant(ctx, tx, dbgen.InsertTenantParams{TenantID: g.tenant.TenantID, PostbackSecurity: "open", Name: "T", Product: "publisher",
					Email: "t@example.com", Currency: "USD", Timezone: "UTC", CreatedAt: g.at})
			},
			func() error {
				return q.InsertAdvertiser(ctx, tx, dbgen.InsertAdvertiserParams{TenantID: g.tenant.TenantID, ID: g.offer.AdvertiserID,
					Key: "key", Name: "A", IpAllowlist: []string{}, CreatedAt: g.at})
			},
			func() error {
				return q.InsertOffer(ctx, tx, dbgen.InsertOfferParams{TenantID: g.tenant.TenantID, ID: g.offer.ID, AdvertiserID: g.offer.AdvertiserID,
					Version: g.offer.Version, Name: g.offer.Name, OfferType: string(g.offer.OfferType), LaunchAt: g.offer.LaunchAt, CreatedAt: g.at, UpdatedAt: g.at})
			},
			func() error {
				return q.InsertOfferAccess(ctx, tx, dbgen.InsertOfferAccessParams{TenantID: g.tenant.TenantID, OfferID: g.offer.ID, Side: "owner", CreatedAt: g.at})
			},
			func() error {
				return q.InsertOfferVersion(ctx, tx, dbgen.InsertOfferVersionParams{TenantID: g.tenant.TenantID, OfferID: g.offer.ID,
					Version: g.offer.Version, Document: document, CreatedAt: g.at, CreatedBy: "test"})
			},
		} {
			if err := insert(); err != nil {
				return err
			}
		}
		return nil
	}))
	return g
}

// set changes the advertiser.
func (g *guarded) set(sql string, args ...any) {
	g.t.Helper()
	require.NoError(g.t, g.decisions.Store.Tenant(g.t.Context(), g.tenant.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(g.t.Context(), "UPDATE advertisers SET "+sql, args...)
		return err
	}))
}

// newClick is a click of an hour ago that has its row.
func (g *guarded) newClick() uuid.UUID {
	g.t.Helper()
	at := g.at.Add(-time.Hour)
	click := domain.Click{ID: g.keys.NewID(keyring.KindClick, at), TenantID: g.tenant.TenantID, ClickedAt: at, LinkID: uuid.Must(uuid.NewV7()), OfferID: g.offer.ID,
		OfferVersion: g.offer.Version, AdvertiserID: g.offer.AdvertiserID, SessionEndsAt: g.offer.SessionEnd(at)}
	packed, err := json.Marshal([]domain.Click{click})
	require.NoError(g.t, err)
	clicks := attribution.Clicks{Store: g.decisions.Store}
	require.NoError(g.t, clicks.Insert(g.t.Context(), packed))
	return click.ID
}

// request is one request before it is sent, so that it can be tampered with.
type request struct {
	method, path, query, body string
	headers                   map[string]string
}

// signedAt signs a request with headers, as an advertiser does.
func (r request) signedAt(secret string, at time.Time, nonce string) request {
	stamp := strconv.FormatInt(at.Unix(), 10)
	text := domain.CanonicalPostback(r.method, r.path, r.query, []byte(r.body), stamp, nonce)
	r.headers = map[string]string{"of_timestamp": stamp, "of_nonce": nonce, "of_signature": domain.SignPostback([]byte(secret), text)}
	return r
}

// sent is the decision on a request, whatever form its answer has.
func (g *guarded) sent(r request) domain.Answer {
	g.t.Helper()
	before := len(g.answers)
	in := httptest.NewRequest(r.method, r.path+"?"+r.query, strings.NewReader(r.body))
	for name, value := range r.headers {
		in.Header[name] = []string{value}
		in.Header.Set(name, value)
	}
	w := g.serve(in)
	require.Len(g.t, g.answers, before+1, "%+v: %d %s", r, w.Code, w.Body)
	answer := g.answers[before]
	switch {
	case strings.HasPrefix(in.URL.Path, "/track"):
		require.Equal(g.t, domain.HTTPStatus(answer.Outcome, answer.Reason), w.Code)
	default:
		require.Equal(g.t, http.StatusOK, w.Code)
		if body := w.Body.String(); strings.HasPrefix(body, "success=") {
			done := answer.Outcome == domain.OutcomeAccepted || answer.Reason == domain.ReasonReversed // by the verdict sent (rule 77)
			require.Equal(g.t, done, body == "success=true;", body)
			require.True(g.t, done || body == "success=false; err_msg="+string(answer.Reason)+";", body)
		}
	}
	return answer
}

// everyForm are the addresses of conversions, each with its parameters, for one click; plain ones
// first, then the opaque ones.
func (g *guarded) everyForm(click uuid.UUID) (plain, opaque map[string]request) {
	goal := g.offer.Events[0].ID
	id, ours := "transaction_id="+click.String(), "gk_click_id="+click.String()
	of := func(path, query string) request {
		return request{method: http.MethodGet, path: path, query: query + "&amount=2.50"}
	}
	plain = map[string]request{
		"/track": of("/track", ours+"&cnv_amount=2.50"), "/track/{key}": of("/track/key", ours), "/aff_lsr": of("/aff_lsr", id),
		"/aff_goal by id": of("/aff_goal", "a=lsr&goal_id="+goal.String()+"&"+id), "/aff_goal by name": of("/aff_goal", "a=lsr&goal_name=buy&"+id),
		"/aff_l": of("/aff_l", id), "/aff_goal pixel": of("/aff_goal", "a=l&goal_name=buy&"+id), "/pixel": of("/pixel", ours), "/pixel.gif": of("/pixel.gif", id),
		"/aff_lsr by POST": {method: http.MethodPost, path: "/aff_lsr", query: id, body: "amount=2.50"},
	}
	opaque = map[string]request{}
	for _, form := range []domain.OpaqueForm{domain.OpaquePostback, domain.OpaqueGoalPostback, domain.OpaquePixel, domain.OpaqueGoalPixel} {
		opaque["/"+string(form)] = of(g.code(form, goal), id)
	}
	return plain, opaque
}

// Rule 67 in every form: replayed, reordered, forged, truncated, re-encoded or with a parameter
// twice, a signed postback is refused with its reason, and uses nothing up.
func TestRule67SignatureInEveryForm(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	g := newGuarded(t, nil)
	g.set("signing_secret_sealed = $1", g.keys.Seal([]byte(secret)))
	sign := func(r request) request { return r.signedAt(secret, g.at, uuid.NewString()) }
	header := func(r request, name string, change func(string) string) request {
		headers := map[string]string{}
		for n, v := range r.headers {
			headers[n] = v
		}
		headers[name] = change(headers[name])
		r.headers = headers
		return r
	}
	click := g.newClick()
	plain, opaque := g.everyForm(click)
	names := []string{}
	for _, forms := range []map[string]request{plain, opaque} {
		for name := range forms {
			names = append(names, name)
		}
	}
	for _, name := range names {
		click := g.newClick()
		plain, opaque := g.everyForm(click)
		genuine, ok := plain[name]
		other := opaque["/SP"]
		if !ok {
			genuine, other = opaque[name], plain["/aff_lsr"]
		}
		with := func(change func(*request)) request {
			r := sign(genuine)
			change(&r)
			return r
		}
		for what, c := range map[string]struct {
			tampered request
			reason   domain.Reason
		}{
			"unsigned":              {genuine, domain.ReasonBadSignature},
			"another secret":        {genuine.signedAt("guess", g.at, uuid.NewString()), domain.ReasonBadSignature},
			"the empty secret":      {genuine.signedAt("", g.at, uuid.NewString()), domain.ReasonBadSignature},
			"too old":               {genuine.signedAt(secret, g.at.Add(-301*time.Second), uuid.NewString()), domain.ReasonBadSignature},
			"too new":               {genuine.signedAt(secret, g.at.Add(301*time.Second), uuid.NewString()), domain.ReasonBadSignature},
			"time moved":            {header(sign(genuine), "of_timestamp", func(s string) string { return strconv.Itoa(len(s)) + s[1:] }), domain.ReasonBadSignature},
			"time as milliseconds":  {header(sign(genuine), "of_timestamp", func(s string) string { return s + "000" }), domain.ReasonBadSignature},
			"another nonce":         {header(sign(genuine), "of_nonce", func(string) string { return uuid.NewString() }), domain.ReasonBadSignature},
			"no nonce":              {header(sign(genuine), "of_nonce", func(string) string { return "" }), domain.ReasonBadSignature},
			"a signature cut short": {header(sign(genuine), "of_signature", func(s string) string { return s[:len(s)-2] }), domain.ReasonBadSignature},
			"a longer signature":    {header(sign(genuine), "of_signature", func(s string) string { return s + "00" }), domain.ReasonBadSignature},
			"no signature":          {header(sign(genuine), "of_signature", func(string) string { return "" }), domain.ReasonBadSignature},
			"cut short":             {with(func(r *request) { r.query, r.body = lastCut(r.query, r.body) }), domain.ReasonBadSignature},
			"re-encoded":            {with(func(r *request) { r.query = strings.Replace(r.query, "-", "%2D", 1) }), domain.ReasonBadSignature},
			"re-encoded name":       {with(func(r *request) { r.query = strings.Replace(r.query, "id=", "%69d=", 1) }), domain.ReasonBadSignature},
			"a space":               {with(func(r *request) { r.query += "+" }), domain.ReasonBadSignature},
			"a parameter twice":     {with(func(r *request) { r.query += "&" + r.query[:strings.IndexByte(r.query+"&", '&')] }), domain.ReasonBadSignature},
			"one more parameter":    {with(func(r *request) { r.query += "&cnv_sub_1=x" }), domain.ReasonBadSignature},
			"another value first":   {with(func(r *request) { r.query = "amount=9&" + r.query }), map[bool]domain.Reason{true: domain.ReasonMalformed, false: domain.ReasonBadSignature}[renames(name)]},
			"a body":                {with(func(r *request) { r.body += "cnv_sub_1=x" }), domain.ReasonBadSignature},
			"another form's":        {with(func(r *request) { r.path = other.path }), domain.ReasonBadSignature},
			"an escaped path":       {with(func(r *request) { r.path = r.path[:2] + escapedByte(r.path[2]) + r.path[3:] }), domain.ReasonMalformed}, // no such route
		} {
			if what == "an escaped path" && (genuine.path == other.path || !strings.HasPrefix(genuine.path, "/track")) {
				continue // nor a log of it
			}
			if what == "another form's" && strings.Contains(name, "pixel") {
				continue
			}
			if what == "a body" && genuine.method == http.MethodGet {
				continue // nobody reads it: TestBodyOfGetIsNotRead
			}
			answer := g.sent(c.tampered)
			require.Equal(t, []any{domain.OutcomeRefused, c.reason}, []any{answer.Outcome, answer.Reason}, "%s: %s: %+v", name, what, c.tampered)
			require.Contains(t, answer.Detail, saysOfSignature[what], "%s: %s", name, what)
		}
		right := sign(genuine)
		pairs := strings.Split(right.query, "&")
		for i, j := 0, len(pairs)-1; i < j; i, j = i+1, j-1 {
			pairs[i], pairs[j] = pairs[j], pairs[i]
		}
		reordered := right
		reordered.query = strings.Join(pairs, "&")
		first := g.sent(reordered)
		require.Equal(t, domain.OutcomeAccepted, first.Outcome, "%s: the order of pairs is no part of it, and nothing was used up", name)
		for what, replay := range map[string]request{"replayed": reordered, "replayed and reordered": right,
			"replayed in capitals": header(right, "of_signature", strings.ToUpper)} {
			require.Equal(t, first, g.sent(replay), "%s: %s: the same request gets the first one's answer", name, what)
		}
		nonce := sign(genuine)
		nonce.query += "&cnv_sub_2=y"
		answer := g.sent(nonce.signedAt(secret, g.at, right.headers["of_nonce"]))
		require.Equal(t, []any{domain.OutcomeRefused, domain.ReasonBadSignature}, []any{answer.Outcome, answer.Reason}, "%s: its nonce with another content", name)
		g.at = g.at.Add(time.Second)
	}
}

// saysOfSignature is what the detail says of some of them; of the others only that the signature is wrong.
var saysOfSignature = map[string]string{
	"unsigned": "The request is not signed", "another secret": "of_signature is wrong", "too old": "of_timestamp is stale", "too new": "of_timestamp is stale",
	"no nonce": "of_nonce is missing", "another nonce": "of_signature is wrong", "no signature": "of_signature is missing", "one more parameter": "of_signature is wrong",
}

// lastCut leaves out the last parameter, wherever it is.
func lastCut(query, body string) (string, string) {
	if body != "" {
		return query, ""
	}
	return query[:strings.LastIndexByte(query, '&')], ""
}

// renames says whether a form knows amount under both names, so that two values are a contradiction.
func renames(name string) bool {
	return !strings.HasPrefix(name, "/track")
}

func escapedByte(b byte) string { return "%" + strings.ToUpper(strconv.FormatInt(int64(b), 16)) }

// Rule 67: token and address list hold in every form; the token is a keyed hash from the edge on.
func TestRule67TokenAndAddressInEveryForm(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, nil)
	plain, opaque := g.everyForm(uuid.Nil)
	names := map[string]bool{}
	for name := range plain {
		names[name] = false
	}
	for name := range opaque {
		names[name] = true
	}
	for name, isOpaque := range names {
		click := g.newClick()
		plain, opaque := g.everyForm(click)
		r := plain[name]
		if isOpaque {
			r = opaque[name]
		}
		g.set("security_token_hash = $1", g.keys.Hash("correct horse"))
		require.Equal(t, domain.ReasonBadSignature, g.sent(r).Reason, name)
		wrong, right := r, r
		wrong.query += "&security_token=wrong"
		require.Equal(t, domain.ReasonBadSignature, g.sent(wrong).Reason, name)
		right.query += "&security_token=correct+horse"
		g.set("ip_allowlist = $1", []string{"198.51.100.0/24"})
		require.Equal(t, domain.ReasonIPNotAllowed, g.sent(right).Reason, name)
		forwarded := right
		forwarded.headers = map[string]string{"X-Forwarded-For": "198.51.100.7"}
		require.Equal(t, domain.ReasonIPNotAllowed, g.sent(forwarded).Reason, "%s: the sender is no proxy of ours", name)
		g.set("ip_allowlist = $1", []string{netip.MustParsePrefix("192.0.2.0/24").String()}) // httptest's
		require.Equal(t, domain.OutcomeAccepted, g.sent(right).Outcome, name)
		require.Equal(t, domain.ReasonDuplicate, g.sent(right).Reason, name)
		g.set("security_token_hash = NULL, ip_allowlist = '{}'")
		g.at = g.at.Add(time.Second)
	}
}

// Rule 65: with enforcement on, plain addresses are refused, signed or not, and opaque ones of this
// offer are taken.
func TestRule65EnforcedEncryption(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, func(o *domain.Offer) { o.EnforceEncryptedTracking = true })
	g.set("signing_secret_sealed = $1", g.keys.Seal([]byte("s3cret")))
	click := g.newClick()
	plain, _ := g.everyForm(click)
	for name, r := range plain {
		answer := g.sent(r.signedAt("s3cret", g.at, uuid.NewString()))
		require.Equal(t, []any{domain.OutcomeRefused, domain.ReasonEncryptionRequired}, []any{answer.Outcome, answer.Reason}, name)
		require.Equal(t, domain.ReasonBadSignature, g.sent(r).Reason, "%s: a stranger is told nothing of the offer", name)
	}
	_, opaque := g.everyForm(click)
	foreign := opaque["/SP"]
	own := g.offer.ID
	g.offer.ID = uuid.Must(uuid.NewV7())
	foreign.path = g.code(domain.OpaquePostback, uuid.Nil)
	g.offer.ID = own
	answer := g.sent(foreign.signedAt("s3cret", g.at, uuid.NewString()))
	require.Equal(t, domain.ReasonGoalMismatch, answer.Reason, "another offer's code opens nothing")
	for name := range opaque {
		_, opaque := g.everyForm(g.newClick())
		require.Equal(t, domain.OutcomeAccepted, g.sent(opaque[name].signedAt("s3cret", g.at, uuid.NewString())).Outcome, name)
	}
}

// What memory does not know yet costs one look-up: offer, partner and link were made just now.
func TestTuneClickIsLookedUpOnce(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, nil)
	own := uuid.Must(uuid.NewV7())
	partners := map[uuid.UUID]uuid.UUID{uuid.Must(uuid.NewV7()): g.link.ID, uuid.Must(uuid.NewV7()): own} // and their links
	q, ctx := dbgen.New(), t.Context()
	require.NoError(t, g.decisions.Store.Tenant(ctx, g.tenant.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		links := []dbgen.InsertLinkParams{{TenantID: g.tenant.TenantID, ID: g.link.ID, OfferID: g.offer.ID, IsDefault: true, CreatedAt: g.at}}
		for id, link := range partners {
			if err := q.InsertPartner(ctx, tx, dbgen.InsertPartnerParams{TenantID: g.tenant.TenantID, ID: id, Name: "P", Status: "active", CreatedAt: g.at}); err != nil {
				return err
			}
			if link == own {
				links = append(links, dbgen.InsertLinkParams{TenantID: g.tenant.TenantID, ID: own, OfferID: g.offer.ID, PartnerID: &id, CreatedAt: g.at})
			}
		}
		for _, link := range links {
			if err := q.InsertLink(ctx, tx, link); err != nil {
				return err
			}
		}
		return nil
	}))
	for id, link := range partners {
		g.offers = offercache.New(g.decisions.Store, g.keys)
		made := prometheus.NewCounter(prometheus.CounterOpts{Name: "made"})
		g.offers.Misses.Made = made
		for range 2 {
			w := g.get("/aff_c?offer_id="+g.offer.ID.String()+"&aff_id="+id.String(), "User-Agent", iPhone)
			require.Equal(t, http.StatusFound, w.Code)
			click := g.click[len(g.click)-1]
			require.Equal(t, []any{id, link}, []any{*click.PartnerID, click.LinkID})
		}
		require.InDelta(t, 1, testutil.ToFloat64(made), 0, "the second one needs memory only")
	}
}
