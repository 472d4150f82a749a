package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// world is three tenants of one site: an advertiser and two publishers, each with one of everything and
// an offer that the advertiser shares with each of the publishers.
type world struct {
	*site
	tenants  []*rich
	holdings []holding
	// live is what was told in live streams, edge where clicks and postbacks come.
	live *liveLog
	edge *edge
	// shared is what each publisher and the advertiser need for traffic on what they share, by noun.
	shared []map[string]string
}

// surface is what tenants may call: the operator's own routes take no token of theirs.
func (w *world) surface() *surface {
	all := w.site.surface()
	all.operations = slices.DeleteFunc(all.operations, func(o operation) bool { return strings.HasPrefix(o.path, "/api/v1/operator/") })
	return all
}

// holding is what some tenants have and the others must neither see nor move.
type holding struct {
	name string
	of   []uuid.UUID
	ids  map[string]string
	// words are what besides the ids would give it away. A figure has its point, without which its
	// digits are somewhere in every few dozen random ids.
	words []string
}

// all are the ids of a noun, none or one.
func (h holding) all(noun string) []string {
	if id := h.ids[noun]; id != "" {
		return []string{id}
	}
	return nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{live: newLiveLog()}
	b := newBook(t, func(s *api.Server) {
		s.Config.CallbackAllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		w.edge = edgeOf(t, s, w.live)
	})
	w.site = b.site
	w.edge.behind(t, b.site, b.decisions)
	for _, one := range []struct {
		rich
		name, rewardRatio string
	}{
		{rich{member: "advertisers-member", product: domain.ProductAdvertiser, digits: "41357"}, "Games Inc", "12.7"},
		{rich{member: "publishers-member", product: domain.ProductPublisher, digits: "58231"}, "Coins", "137.31"},
		{rich{member: "rivals-member", product: domain.ProductPublisher, digits: "69743"}, "Prizes", "241.83"},
	} {
		one.book, one.ids, one.live = b.neighbour(one.name, one.product, one.rewardRatio), map[string]string{}, w.live
		w.tenants = append(w.tenants, &one.rich)
	}
	advertiser := w.tenants[0]
	for i, tenant := range w.tenants {
		tenant.ids["publisher tenant"] = w.tenants[1:][(i+1)%2].tenantID.String()
	}
	for i, publisher := range w.tenants[1:] {
		w.share(advertiser, publisher, []string{"27919", "83477"}[i])
	}
	for _, tenant := range w.tenants {
		tenant.everything()
		own := maps.Clone(tenant.ids)
		maps.DeleteFunc(own, func(noun, _ string) bool { return slices.Contains(nounsOfPartnerships, noun) })
		w.hold("of "+tenant.member, own, []string{tenant.member, "." + tenant.digits}, tenant)
	}
	for _, tenant := range w.tenants {
		tenant.secret = w.secretsFrom(tenant)
	}
	require.NoError(t, w.api.LoadOffers(t.Context()))
	return w
}

func (w *world) hold(name string, ids map[string]string, words []string, of ...*rich) {
	h := holding{name: name, ids: ids, words: words}
	for _, tenant := range of {
		h.of = append(h.of, tenant.tenantID)
	}
	w.holdings = append(w.holdings, h)
}

func (w *world) foreignTo(r *rich) (foreign []holding) {
	for _, h := range w.holdings {
		if !slices.Contains(h.of, r.tenantID) {
			foreign = append(foreign, h)
		}
	}
	return foreign
}

func (w *world) ownOf(r *rich) (own []holding) {
	for _, h := range w.holdings {
		if slices.Contains(h.of, r.tenantID) {
			own = append(own, h)
		}
	}
	return own
}

// otherThan is another tenant.
func (w *world) otherThan(r *rich) *rich {
	return w.tenants[slices.IndexFunc(w.tenants, func(other *rich) bool { return other.tenantID != r.tenantID })]
}

// secretsFrom are the ids and words that others have and the tenant has not.
func (w *world) secretsFrom(r *rich) (secrets []string) {
	known := map[string]bool{}
	for _, h := range w.ownOf(r) {
		for _, id := range h.ids {
			known[id] = true
		}
	}
	for _, h := range w.foreignTo(r) {
		for _, id := range h.ids {
			if !known[id] {
				secrets = append(secrets, id)
			}
		}
		secrets = append(secrets, h.words...)
	}
	return secrets
}

// nounsOfPartnerships are what a tenant has with another, or asks it for.
var nounsOfPartnerships = []string{"partnership", "shared offer", "shared conversion", "proposal", "publisher tenant"}

// share makes a partnership with traffic: a click through the publisher's link, a conversion in both
// books, and what the two sides tell each other.
func (w *world) share(advertiser, publisher *rich, digits string) {
	b, t := advertiser.book, advertiser.t
	name := "what " + publisher.member[:len(publisher.member)-len("-member")] + " shares"
	source := &rich{book: &book{}, member: strings.ReplaceAll(name, " ", "-"), ids: map[string]string{}, product: advertiser.product, digits: digits, byRatio: true}
	*source.book = *advertiser.book
	source.multiEvent()
	key := advertiser.advertiserKey(source.own("advertiser"))
	publisher.me.put("/api/v1/exchange/profile", map[string]any{"listed": true, "description": "Players"}).into(http.StatusOK, nil)
	var made struct{ SharedOfferID, PartnershipID string }
	advertiser.me.post("/api/v1/exchange/shares", map[string]any{"offerId": source.offer.ID, "publisherTenantId": publisher.tenantID}).
		into(http.StatusCreated, &made)
	shared := *source
	shared.book = &book{}
	*shared.book = *source.book
	shared.readOffer(made.SharedOfferID)
	offer, event := shared.offer, shared.offer.Events[0].ID
	partnership := domain.Partnership{
		ID: uuid.MustParse(made.PartnershipID), OfferID: offer.ID, AdvertiserTenantID: advertiser.tenantID, PublisherTenantID: publisher.tenantID,
	}

	address := "198.51.100." + digits[:2]

	// The publisher's side: a partner with a payout of its own sends a member.
	link := publisher.me.made("/api/v1/offers/"+made.SharedOfferID+"/links", map[string]any{"partnerId": publisher.own("partner")})
	payout := "0." + digits + "1"
	publisher.me.post("/api/v1/partner-payouts", map[string]any{
		"partnerId": publisher.own("partner"), "offerId": offer.ID, "eventId": event, "flat": payout,
	}).into(http.StatusCreated, nil)
	partnerID, member := uuid.MustParse(publisher.own("partner")), "shared-"+publisher.member
	click := b.click(member, func(c *domain.Click) {
		c.TenantID, c.AdvertiserTenantID, c.OfferID, c.OfferVersion, c.AdvertiserID = publisher.tenantID, &advertiser.tenantID, offer.ID, offer.Version, offer.AdvertiserID
		c.LinkID, c.PartnerID, c.PubClickID, c.PubSubs, c.IP = uuid.MustParse(link), &partnerID, "click-of-"+member, []string{"sub-of-" + member}, address
		c.MemberKey = domain.MemberKeyPrefix + b.api.Keys.Pseudonym(publisher.tenantID, member)
	})
	answer := advertiser.postback(click, eventInstall)
	require.NotNil(t, answer.ConversionID, "%+v", answer)
	_, err := (&attribution.Exchange{Decisions: b.decisions}).SyncConversion(t.Context(), partnership, *answer.ConversionID)
	require.NoError(t, err)
	var atPublisher struct{ Payout, Reward, Revenue string }
	publisher.me.get("/api/v1/conversions/"+answer.ConversionID.String()).into(http.StatusOK, &atPublisher)
	require.Equal(t, payout, atPublisher.Payout)
	require.NotEqual(t, "0", atPublisher.Reward)

	for _, side := range []*rich{advertiser, publisher} {
		side.me.edit(made.SharedOfferID, map[string]any{"headline": "Said of " + source.member + " by the " + side.product}).into(http.StatusOK, nil)
	}
	request := publisher.me.made("/api/v1/exchange/conversions/"+answer.ConversionID.String()+"/requests", map[string]any{"action": "reverse", "reason": "Why " + name})

	proposal := publisher.me.proposed(made.SharedOfferID, map[string]any{"revenue": "7.25", "headline": "Why " + name})
	ids := map[string]string{
		"request": request, "proposal": proposal, "partnership": made.PartnershipID, "shared offer": made.SharedOfferID, "offer": made.SharedOfferID, "event": event.String(), "click": click.String(),
		"conversion": answer.ConversionID.String(), "shared conversion": answer.ConversionID.String(), "reconciliation": w.reconciled(partnership),
	}
	for _, noun := range nounsOfPartnerships[:4] {
		advertiser.ids[noun], publisher.ids[noun] = ids[noun], ids[noun]
	}
	w.hold(name, ids, []string{source.member, source.figure("5"), "Why " + name}, advertiser, publisher)
	w.hold("what it was made from", map[string]string{"offer": source.offer.ID.String(), "event": source.offer.Events[0].ID.String()}, nil, advertiser)
	w.hold("the publisher's part of it", map[string]string{
		"link": link, "member": member, "partner": publisher.own("partner"), "delivery": w.delivered(publisher, *answer.ConversionID),
	}, []string{payout, atPublisher.Reward, address}, publisher)
	advertisers := map[string]string{
		"postback": answer.PostbackID.String(), "delivery": w.delivered(advertiser, *answer.ConversionID), "advertiser key": key,
	}
	maps.Copy(advertisers, shared.codes())
	w.hold("the advertiser's part of it", advertisers, nil, advertiser)
	w.hold("who the advertiser is", map[string]string{"advertiser": offer.AdvertiserID.String()}, nil, advertiser, publisher)
	w.shared = append(w.shared, maps.Clone(advertisers))
	for _, more := range []map[string]string{ids, {"link": link, "partner": publisher.own("partner"), "advertiser": offer.AdvertiserID.String()}} {
		maps.Copy(w.shared[len(w.shared)-1], more)
	}
}

// reconciled writes what a comparison of the books found.
func (w *world) reconciled(p domain.Partnership) string {
	id := uuid.Must(uuid.NewV7())
	w.write(`INSERT INTO reconciliations (partnership_id, id, at, from_day, to_day, days, differences, found, repaired)
		VALUES ($1, $2, now(), current_date - 1, current_date, '[]', '[]', 0, 0)`, p.ID, id)
	return id.String()
}

// delivered writes news of a conversion to one side's callback endpoint.
func (w *world) delivered(r *rich, conversionID uuid.UUID) string {
	id := uuid.Must(uuid.NewV7())
	w.write(`INSERT INTO deliveries (tenant_id, id, kind, endpoint_id, conversion_id, sequence, status, state, body, created_at, finished_at)
		VALUES ($1, $2, 'callback', $3, $4, 1, 'Success', 'delivered', '{}', now(), now())`, r.tenantID, id, r.own("endpoint"), conversionID)
	return id.String()
}

// write runs SQL as the superuser.
func (w *world) write(sql string, args ...any) {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.database)
	require.NoError(w.t, err)
	defer conn.Close(w.t.Context())
	_, err = conn.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

// readOffer takes the first version of an offer as the tenant's.
func (r *rich) readOffer(id string) {
	r.t.Helper()
	var document []byte
	r.inTenant(func(ctx context.Context, tx pgx.Tx) error {
		version, err := dbgen.New().GetOfferVersion(r.t.Context(), tx, uuid.MustParse(id), 1)
		document = version.Document
		return err
	})
	r.offer = domain.Offer{}
	require.NoError(r.t, json.Unmarshal(document, &r.offer))
}

// asPartner is one of the tenant's partners.
func (r *rich) asPartner() *rich {
	out := r.withHeaders("Authorization", r.me.token("partner", "partnerId", r.own("partner")).headers["Authorization"])
	out.isOutside = true
	return out
}

// asAdvertiser is one of the tenant's advertisers.
func (r *rich) asAdvertiser() *rich {
	out := r.withHeaders("Authorization", r.me.token("advertiser", "advertiserId", r.own("advertiser")).headers["Authorization"])
	out.isOutside = true
	return out
}

// withHeaders is the tenant whose requests carry headers.
func (r *rich) withHeaders(headers ...string) *rich {
	out, b := *r, *r.book
	b.me = r.me.with(headers...).in(r.t)
	out.book = &b
	return &out
}

// by is the same world behind a server of its own, which reaches the database by another address.
func (w *world) by(t *testing.T, address string) *world {
	t.Helper()
	engine := &engine{}
	out := &world{holdings: w.holdings, live: w.live, shared: w.shared}
	site := newSiteOn(t, w.database, address, func(s *api.Server) {
		s.Keys, s.Config, s.Temporal = w.api.Keys, w.api.Config, engine
		out.edge = edgeOf(t, s, w.live)
	})
	engine.decisions = &attribution.Decisions{Store: site.store, Keys: site.api.Keys, Nudge: func() {}, Now: clocktest.Now}
	out.site = site
	out.edge.behind(t, site, engine.decisions)
	for _, tenant := range w.tenants {
		there, b := *tenant, *tenant.book
		b.site, b.engine, b.decisions = site, engine, engine.decisions
		b.me = &caller{site: site, t: t, headers: tenant.me.headers}
		there.book = &b
		out.tenants = append(out.tenants, &there)
	}
	return out
}

// rowsBut is a digest of all rows that are not some tenants', by table. The operator's log is nobody's:
// postbacks that belong to no tenant are there.
func (w *world) rowsBut(t *testing.T, tenants ...*rich) map[string]string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.database)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `SELECT format('SELECT %L, (SELECT count(*) || '' '' || coalesce(md5(string_agg(x::text, E''\n'' ORDER BY x::text)), '''') FROM %I x %s)',
			c.relname, c.relname, CASE WHEN a.attname IS NULL THEN '' WHEN c.relname = 'postbacks' THEN 'WHERE tenant_id <> ALL($1)'
			ELSE 'WHERE coalesce(tenant_id <> ALL($1), true)' END)
		FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Greater(t, len(tables), 40)
	whose := []uuid.UUID{}
	for _, tenant := range tenants {
		whose = append(whose, tenant.tenantID)
	}
	rows, err = conn.Query(t.Context(), strings.Join(tables, " UNION ALL "), whose)
	require.NoError(t, err)
	digests := map[string]string{}
	var table, digest string
	_, err = pgx.ForEachRow(rows, []any{&table, &digest}, func() error { digests[table] = digest; return nil })
	require.NoError(t, err)
	return digests
}

// selectsEverything is the control of withoutRowSecurity: what a query forgets to ask for, it sees.
func (w *world) selectsEverything(t *testing.T) {
	t.Helper()
	require.NoError(t, w.store.Tenant(t.Context(), w.tenants[0].tenantID, func(ctx context.Context, tx pgx.Tx) error {
		for _, table := range []string{"offers", "clicks", "conversions", "partners", "partnerships", "offer_versions", "ledger_entries"} {
			var seen, all int
			if err := tx.QueryRow(t.Context(), fmt.Sprintf("SELECT count(*) FROM %s", table)).Scan(&seen); err != nil {
				return err
			}
			require.NoError(t, w.store.System(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
				return tx.QueryRow(t.Context(), fmt.Sprintf("SELECT count(*) FROM %s", table)).Scan(&all)
			}))
			require.Equal(t, all, seen, table)
			require.NotZero(t, all, table)
		}
		return nil
	}))
}
