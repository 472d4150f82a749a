package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/domain"
)

// text is an answer as it stands.
func (s *shopfront) text(method, path string, header http.Header) (int, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, nil)
	require.NoError(s.t, err)
	request.Header = header.Clone()
	request.Header.Set("Authorization", "ApiToken "+s.token)
	answer, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(request)
	require.NoError(s.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	return answer.StatusCode, answer.Header.Get("Location") + string(text)
}

// readable are all rows that row-level security lets a tenant read, by table.
func (s *shopfront) readable(tenant *sharedFront, side domain.Side) map[string]string {
	s.t.Helper()
	found := map[string]string{}
	err := s.decisions.Store.Tenant(s.t.Context(), tenant.partnership.Tenant(side), func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
			AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition AND has_table_privilege(c.oid, 'SELECT')`)
		if err != nil {
			return err
		}
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, table := range tables {
			var text *string
			query := fmt.Sprintf("SELECT string_agg(to_jsonb(t)::text, E'\n') FROM %s t", pgx.Identifier{table}.Sanitize())
			if err := tx.QueryRow(ctx, query).Scan(&text); err != nil {
				return fmt.Errorf("%s: %w", table, err)
			}
			found[table] = orZero(text)
		}
		return nil
	})
	require.NoError(s.t, err)
	return found
}

// Rule 57: both sides see everything but the publisher's members' data. A click that says all that it may is
// followed by its conversion, and by a test of the publisher's: nothing of it is in any row that the
// advertiser's tenant can read, in its news, nor in what its API answers. The control is the publisher, who
// reads it in the same places.
func TestRule57NothingOfThePublishersMembersIsTheAdvertisers(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, nil)
	var partner, link struct{ ID, URL string }
	f.publisher.call(http.MethodPost, "/api/v1/partners", map[string]any{"name": "P"}, 201, &partner)
	f.publisher.call(http.MethodPost, "/api/v1/offers/"+f.partnership.OfferID.String()+"/links", map[string]any{"partnerId": partner.ID}, 201, &link)
	said := url.Values{}
	for _, name := range append([]string{"pub_member_id", "pub_click_id", "pub_session_id", "source", "viewId"}, tracking.AudienceParams...) {
		said.Set(name, "said-"+name)
	}
	for n := range tracking.PubSubs {
		said.Set(tracking.PubSubName(n), "said-"+tracking.PubSubName(n))
	}
	status, location := f.publisher.text(http.MethodGet, strings.TrimPrefix(link.URL, shopfrontURL)+"?"+said.Encode(),
		http.Header{"User-Agent": {"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) said-agent"}, "Referer": {"https://said-page.example/"}})
	require.Equal(t, http.StatusFound, status, location)
	to, err := url.Parse(location)
	require.NoError(t, err)
	clickID := to.Query().Get("sub1")
	var answer struct {
		Outcome, Reason, ConversionID string
	}
	f.advertiser.call(http.MethodGet, "/track?gk_click_id="+clickID+"&cnv_event_id=install&cnv_sub_1=theirs", nil, 200, &answer)
	require.Equal(t, "accepted", answer.Outcome, answer.Reason)
	conversionID := uuid.MustParse(answer.ConversionID)
	_, err = (&attribution.Exchange{Decisions: f.publisher.decisions}).SyncConversion(t.Context(), f.partnership, conversionID)
	require.NoError(t, err)
	params := map[string]string{}
	for name := range said {
		if name != "pub_member_id" && name != "viewId" {
			params[name] = said.Get(name)
		}
	}
	f.publisher.call(http.MethodPost, "/api/v1/tools/test-conversion", map[string]any{
		"offerId": f.partnership.OfferID, "eventId": "install", "pub_member_id": "said-pub_member_id", "partnerId": partner.ID, "params": params,
	}, 200, nil)

	marks := []string{"said-", partner.ID, strings.TrimPrefix(link.URL, shopfrontURL+"/c/")}
	rows := f.advertiser.readable(f, domain.SideAdvertiser)
	for table, text := range rows {
		for _, mark := range marks {
			require.NotContains(t, text, mark, table)
		}
	}
	for _, table := range []string{"clicks", "conversions", "postbacks", "outbox"} {
		require.NotEmpty(t, rows[table], "the control: it has rows of its own there")
	}
	theirs := f.publisher.readable(f, domain.SidePublisher)
	for _, table := range []string{"clicks", "conversions", "outbox", "members"} {
		if text, is := theirs[table]; is {
			require.Contains(t, text, "said-pub_member_id", "the control: "+table)
		}
	}
	for side, knows := range map[domain.Side]bool{domain.SideAdvertiser: false, domain.SidePublisher: true} {
		var macros map[string]string
		err := f.publisher.decisions.Store.Tenant(t.Context(), f.partnership.Tenant(side), func(ctx context.Context, tx pgx.Tx) (err error) {
			macros, _, err = delivery.PartnerMacros(ctx, tx, f.partnership.Tenant(side), conversionID, domain.StatusSuccess)
			return err
		})
		require.NoError(t, err)
		require.Equal(t, knows, macros["pub_member_id"] == "said-pub_member_id", "partners' postbacks of the %s", side)
		require.Equal(t, knows, macros != nil)
	}

	day, next := clocktest.Now().UTC().AddDate(0, 0, -2).Format(time.DateOnly), clocktest.Now().UTC().AddDate(0, 0, 2).Format(time.DateOnly)
	span := "user_completed_at_from=" + day + "&user_completed_at_to=" + next
	offer := "/" + f.partnership.OfferID.String()
	asCSV := http.Header{"Accept": {"text/csv"}}
	for _, route := range []struct {
		path   string
		header http.Header
		// shows says that the publisher reads its member's data there.
		shows bool
	}{
		{"/api/v1/sdk-conversion-system/conversions?" + span, nil, true},
		{"/api/v1/sdk-conversion-system/conversions?" + span, asCSV, true},
		{"/api/v1/conversions/" + answer.ConversionID, nil, true},
		{"/api/v1/clicks/" + clickID, nil, true},
		{"/api/v1/reports/performance?group_by=pub_sub_1,pub_sub_15,partner,placement&from=" + day + "&to=" + next, nil, true},
		{"/api/v1/reports/performance?group_by=pub_sub_1&from=" + day + "&to=" + next, asCSV, true},
		{"/api/v1/reports/performance?group_by=country,device,creative&from=" + day + "&to=" + next, nil, false},
		{"/api/v1/postbacks", nil, false},
		{"/api/v1/deliveries", nil, false},
		{"/api/v1/failed-messages?filter.error=said", nil, false},
		{"/api/v1/audit", nil, true},
		{"/api/v1/exchange/offers" + offer, nil, false},
		{"/api/v1/exchange/offers" + offer + "/changes", nil, false},
		{"/api/v1/exchange/partnerships", nil, false},
		{"/api/v1/exchange/partnerships/" + f.partnership.ID.String() + "/reconciliation", nil, false},
		{"/api/v1/offers" + offer + "/goals", nil, false},
	} {
		header := route.header
		if header == nil {
			header = http.Header{}
		}
		status, text := f.advertiser.text(http.MethodGet, route.path, header)
		require.Equal(t, http.StatusOK, status, "%s: %s", route.path, text)
		for _, mark := range marks {
			require.NotContains(t, text, mark, route.path)
		}
		status, text = f.publisher.text(http.MethodGet, route.path, header)
		require.Equal(t, http.StatusOK, status, "%s: %s", route.path, text)
		require.Equal(t, route.shows, strings.Contains(text, "said-"), "the control: %s %s", route.path, text)
	}
	for _, path := range []string{"/api/v1/members/said-pub_member_id/offers", "/api/v1/members/said-pub_member_id/ledger"} {
		_, text := f.advertiser.text(http.MethodGet, path, http.Header{})
		require.NotContains(t, text, clickID, path)
		require.NotContains(t, text, answer.ConversionID, path)
	}
}
