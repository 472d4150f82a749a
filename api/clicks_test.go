package api_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// listedClick is the tests' own reading of a click in the list.
type listedClick struct {
	ID, OfferID, OfferName, PartnerName string
	PubMemberID, PartnerID              *string
	PubSubs                             []string
	RefusedReason, RefusedDetail        string
	WorkflowID, WorkflowURL             *string
	ClickedAt                           time.Time
}

func (b *book) clicks(query string) (ids []string) {
	b.t.Helper()
	var list page[listedClick]
	b.me.get("/api/v1/clicks?"+query).into(http.StatusOK, &list)
	for _, c := range list.Items {
		ids = append(ids, c.ID)
	}
	require.Equal(b.t, len(ids), list.TotalCount, query)
	return ids
}

// Where are the coins of this member? The clicks are found by member, refused ones too with the reason, by
// offer, partner, sub id and time; postbacks and deliveries by member; each has its links.
func TestWhereAreTheCoinsOfAMember(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	other := b.addOffer("Second")
	partner := uuid.MustParse(b.me.made("/api/v1/partners", map[string]any{"name": "Affiliate"}))
	ago := func(hours int) func(*domain.Click) {
		return func(c *domain.Click) {
			c.ClickedAt = c.ClickedAt.Add(-time.Duration(hours) * time.Hour)
			c.ID = b.idAt(c.ClickedAt)
		}
	}
	oldest := b.click("anna", ago(72), func(c *domain.Click) { c.PartnerID, c.PubSubs = &partner, []string{"campaign", "", "creative"} })
	refused := b.click("anna", ago(48), func(c *domain.Click) { c.RefusedReason = domain.ReasonOutOfTarget })
	second := b.click("anna", ago(24), func(c *domain.Click) { c.OfferID, c.AdvertiserID = other.ID, other.AdvertiserID })
	berts := b.click("bert", ago(1), func(c *domain.Click) { c.RefusedReason = domain.ReasonFraudBot })
	encoded := b.click("bytes:Jos%E9")
	instant := func(hours int) string {
		return url.QueryEscape(clocktest.Now().Add(-time.Duration(hours) * time.Hour).UTC().Format(time.RFC3339))
	}
	for query, want := range map[string][]uuid.UUID{
		"":                                     {encoded, berts, second, refused, oldest},
		"order_asc=true":                       {oldest, refused, second, berts, encoded},
		"filter.pubMemberId=anna":              {second, refused, oldest},
		"filter.pubmemberid=ANNA":              {},
		"filter.pubMemberId=Jos%E9":            {encoded}, // rule 72: as it was sent
		"filter.offerId=" + other.ID.String():  {second},
		"filter.partnerId=" + partner.String(): {oldest},
		"filter.refusedReason=out_of_target":   {refused},
		"filter.refusedReason=out_of_target&filter.pubMemberId=bert":        {},
		"filter.refusedReason=out_of_target&filter.refusedReason=fraud_bot": {berts, refused},
		"filter.pubSub1=campaign":                     {oldest},
		"filter.pubSub3=creative&filter.pubSub2=":     {oldest},
		"filter.pubSub15=creative":                    {},
		"from=" + instant(50):                         {encoded, berts, second, refused},
		"to=" + instant(50):                           {oldest},
		"from=" + instant(50) + "&to=" + instant(26):  {refused},
		"filter.id=" + refused.String():               {refused},
		"filter.pubMemberId=anna&from=" + instant(26): {second},
	} {
		var ids []string
		for _, id := range want {
			ids = append(ids, id.String())
		}
		require.Equal(t, ids, b.clicks(query), query)
	}

	var list page[listedClick]
	b.me.token("readonly").get("/api/v1/clicks?filter.pubMemberId=anna").into(http.StatusOK, &list)
	require.Equal(t, []string{"out_of_target", "The member was outside the offer's targeting: country, state, postal code, device, age, gender or placement."},
		[]string{list.Items[1].RefusedReason, list.Items[1].RefusedDetail})
	require.Nil(t, list.Items[1].WorkflowID, "a refused click has no workflow")
	require.Equal(t, []string{"Second", "", "", ""}, []string{list.Items[0].OfferName, list.Items[0].PartnerName, list.Items[0].RefusedReason, list.Items[0].RefusedDetail})
	require.Equal(t, []string{"click/" + second.String(), "http://temporal.example/namespaces/offers/workflows/click%2F" + second.String()},
		[]string{*list.Items[0].WorkflowID, *list.Items[0].WorkflowURL})
	require.Equal(t, []string{"Affiliate", "campaign,,creative"}, []string{list.Items[2].PartnerName, strings.Join(list.Items[2].PubSubs, ",")})

	rows, err := csv.NewReader(bytes.NewReader(b.me.get("/api/v1/clicks?filter.pubMemberId=anna&format=csv").body)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 4)
	column := func(name string) int { return slices.Index(rows[0], name) }
	require.Equal(t, []string{refused.String(), "out_of_target", "anna"}, []string{rows[2][column("id")], rows[2][column("refusedReason")], rows[2][column("pubMemberId")]})
	require.Equal(t, []string{"campaign", "", "creative"}, rows[3][column("pubSub1"):column("pubSub4")])

	for query, field := range map[string]string{"filter.refusedReason=nonsense": "filter.refusedReason", "from=then": "from", "orderby=pubMemberId": "orderby", "filter.pubSub16=x": "filter.pubSub16", "cursor=x": "cursor", "page=1000": "page"} {
		b.me.get("/api/v1/clicks?"+query).refused(http.StatusBadRequest, field)
	}
	b.me.token("partner", "partnerId", partner).get("/api/v1/clicks").refused(http.StatusForbidden)
}

// idAt is a click's id of an instant.
func (b *book) idAt(at time.Time) uuid.UUID { return b.api.Keys.NewID(keyring.KindClick, at) }

// What the advertiser sent for a member and what went out for one are found by the member.
func TestPostbacksAndDeliveriesOfAMember(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	click := b.click("anna")
	install, unknown := b.postback(click, eventInstall), b.postback(click, "instal")
	berts := b.postback(b.click("bert"), eventInstall)
	b.postback(b.click(""), eventInstall)

	var log page[loggedPostback]
	b.me.get("/api/v1/postbacks?filter.pubMemberId=anna").into(http.StatusOK, &log)
	require.Equal(t, []string{unknown.PostbackID.String(), install.PostbackID.String()}, []string{log.Items[0].ID, log.Items[1].ID})
	require.Equal(t, 2, log.TotalCount)
	require.Equal(t, `cnv_event_id "instal" is not an event of this offer.`, unknown.Detail, "a stranger is not told what there is")
	require.Equal(t, unknown.Detail+` Closest match: "install".`, log.Items[0].Detail, "the tenant is")
	b.me.get("/api/v1/postbacks?filter.pubMemberId=anna&filter.pubMemberId=bert").into(http.StatusOK, &log)
	require.Equal(t, 3, log.TotalCount)
	b.exec(fmt.Sprintf("DELETE FROM clicks WHERE id = '%s'", click))
	b.me.get("/api/v1/postbacks?filter.pubMemberId=anna").into(http.StatusOK, &log)
	require.Equal(t, 2, log.TotalCount, "by the conversion, where the click is not kept any more")

	for _, id := range []uuid.UUID{*install.ConversionID, *berts.ConversionID} {
		b.exec(fmt.Sprintf(`INSERT INTO deliveries (tenant_id, id, kind, endpoint_id, conversion_id, sequence, status, state, body, created_at)
			VALUES ('%s', gen_random_uuid(), 'callback', gen_random_uuid(), '%s', 1, 'Success', 'failed', '{}', now())`, b.tenantID, id))
	}
	var deliveries page[struct{ ConversionID string }]
	b.me.get("/api/v1/deliveries?filter.pubMemberId=anna").into(http.StatusOK, &deliveries)
	require.Equal(t, []string{install.ConversionID.String()}, conversionsOf(deliveries.Items))
	b.me.get("/api/v1/deliveries?filter.pubMemberId=nobody").into(http.StatusOK, &deliveries)
	require.Empty(t, deliveries.Items)

	b.as(operatorToken).get("/api/v1/postbacks?filter.pubMemberId=anna").refused(http.StatusBadRequest, "filter.pubMemberId")
	advertiser := b.me.token("advertiser", "advertiserId", b.offer.AdvertiserID)
	advertiser.get("/api/v1/postbacks?filter.pubMemberId=anna").refused(http.StatusBadRequest, "filter.pubMemberId")
	ofUnknown := "/api/v1/postbacks?filter.id=" + unknown.PostbackID.String()
	advertiser.get(ofUnknown).into(http.StatusOK, &log)
	require.Equal(t, unknown.Detail+` Closest match: "install".`, log.Items[0].Detail, "the advertiser's own log names its events, too")
	b.exec(fmt.Sprintf("UPDATE postbacks SET outcome = 'rejected', reason = 'cap_daily', hint = 'The partner''s cap is 7.' WHERE id = '%s'", unknown.PostbackID))
	advertiser.get(ofUnknown).into(http.StatusOK, &log)
	require.Equal(t, unknown.Detail, log.Items[0].Detail, "that a click came from a partner is not the advertiser's to know")
	b.me.get(ofUnknown).into(http.StatusOK, &log)
	require.Equal(t, unknown.Detail+" The partner's cap is 7.", log.Items[0].Detail)
}

func conversionsOf(deliveries []struct{ ConversionID string }) (ids []string) {
	for _, d := range deliveries {
		ids = append(ids, d.ConversionID)
	}
	return ids
}

// The click and the workflow of what a member did are linked where it is shown.
func TestLinksToClicksAndWorkflows(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	click := b.click("anna")
	install, level := b.postback(click, eventInstall), b.postback(click, eventLevel)
	page1 := func(id string) string {
		return "http://temporal.example/namespaces/offers/workflows/" + url.PathEscape(id)
	}
	type links struct{ ClickID, WorkflowID, WorkflowURL string }
	ofClick := links{click.String(), "click/" + click.String(), page1("click/" + click.String())}
	waits := "conversion/" + level.ConversionID.String()
	ofWaiting := links{click.String(), waits, page1(waits)}

	for id, want := range map[uuid.UUID]links{*install.ConversionID: ofClick, *level.ConversionID: ofWaiting} {
		var one links
		b.me.get("/api/v1/conversions/"+id.String()).into(http.StatusOK, &one)
		require.Equal(t, want, one)
		var list page[links]
		span := "user_completed_at_from=2020-01-01T00:00:00Z&user_completed_at_to=2020-01-02T00:00:00Z"
		span = strings.ReplaceAll(span, "2020-01-01", clocktest.Now().AddDate(0, 0, -1).UTC().Format(time.DateOnly))
		span = strings.ReplaceAll(span, "2020-01-02", clocktest.Now().AddDate(0, 0, 1).UTC().Format(time.DateOnly))
		b.me.get("/api/v1/sdk-conversion-system/conversions?filter.id="+id.String()+"&"+span).into(http.StatusOK, &list)
		require.Equal(t, []links{want}, list.Items)
	}

	var offers page[struct {
		LastClickID, WorkflowID, WorkflowURL string
		Events                               []links
	}]
	b.me.get("/api/v1/members/anna/offers").into(http.StatusOK, &offers)
	require.Equal(t, ofClick, links{offers.Items[0].LastClickID, offers.Items[0].WorkflowID, offers.Items[0].WorkflowURL})
	require.Equal(t, []links{ofClick, ofWaiting, {}}, offers.Items[0].Events)

	job := b.me.upload("ClickId,EventID\n" + click.String() + ",buy\n" + click.String() + ",by\n")
	b.works(job)
	var shown links
	b.me.get("/api/v1/jobs/"+job).into(http.StatusOK, &shown)
	require.Equal(t, links{"", "review/" + job, page1("review/" + job)}, shown)
	var items page[struct{ ClickID, Reason, Detail string }]
	b.me.get("/api/v1/jobs/"+job+"/items").into(http.StatusOK, &items)
	require.Equal(t, []string{click.String(), click.String()}, []string{items.Items[0].ClickID, items.Items[1].ClickID})
	details := map[string]string{items.Items[0].Reason: items.Items[0].Detail, items.Items[1].Reason: items.Items[1].Detail}
	require.Equal(t, map[string]string{"": "Pending until a person approves it.", "unknown_event": `EventID "by" is not an event of this offer. Closest match: "buy".`}, details)
}

// A list of clicks is counted to 10,000 and read on by a cursor: each click once, in either order.
func TestMoreClicksThanAreCounted(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	b.manyClicks(10_050, b.tenantID)
	for _, order := range []string{"false", "true"} {
		seen, cursor := map[string]bool{}, ""
		for {
			var list page[listedClick]
			b.me.get("/api/v1/clicks?page_size=100&order_asc="+order+cursor).into(http.StatusOK, &list)
			require.Equal(t, []any{10_000, true, 100}, []any{list.TotalCount, list.TotalCountIsCapped, list.TotalPages})
			for _, c := range list.Items {
				require.False(t, seen[c.ID])
				seen[c.ID] = true
			}
			if list.Next == nil {
				break
			}
			cursor = "&cursor=" + *list.Next
		}
		require.Len(t, seen, 10_050)
	}
	var list page[listedClick]
	b.me.get("/api/v1/clicks?page=99&page_size=100").into(http.StatusOK, &list)
	require.Len(t, list.Items, 100)
	b.me.get("/api/v1/clicks?page=100&page_size=100").refused(http.StatusBadRequest, "page")
}

// manyClicks makes clicks of each of the tenants, a second apart: of 20 partners, 50 offers, 500 members, every 20th
// refused, each with two sub ids, of which one is its own.
func (b *book) manyClicks(n int, tenants ...uuid.UUID) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.database)
	require.NoError(b.t, err)
	defer conn.Close(b.t.Context())
	_, err = conn.Exec(b.t.Context(), `
		INSERT INTO clicks (tenant_id, id, clicked_at, link_id, offer_id, offer_version, advertiser_id, partner_id, pub_member_id, pub_subs, refused_reason, session_ends_at)
		SELECT owner,
			(left(replace(uuid_v7_floor(now() - make_interval(secs => n))::text, '-', ''), 12) || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
			now() - make_interval(secs => n), gen_random_uuid(), md5('offer' || n % 50)::uuid, 1, md5('advertiser')::uuid, md5('partner' || n % 20)::uuid,
			'm' || n % 500, ARRAY['campaign' || n % 7, 'own' || n], CASE WHEN n % 20 = 0 THEN (ARRAY['capped', 'fraud_bot', 'out_of_target'])[1 + n / 20 % 3] ELSE '' END, now()
		FROM unnest($1::uuid[]) owner, generate_series(1, $2::int) n`, tenants, n)
	require.NoError(b.t, err)
	_, err = conn.Exec(b.t.Context(), "ANALYZE clicks")
	require.NoError(b.t, err)
}
