package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/tracking"
)

// An offer with countries is no silent dead end where nothing tells countries: the answer that made it, the
// wall, the click, its trace, the test tool and /readyz say so, each with what to do.
func TestUnknownCountriesAreSaidWhereTheyMatter(t *testing.T) {
	t.Parallel()
	b := newToolBook(t)
	b.api.Config.GeoIPFile = tracking.GeoIPOff
	b.takesClicks()
	shop := &shop{site: b.site}
	of := account{caller: b.me, advertiser: b.me.made("/api/v1/advertisers", map[string]any{"name": "adv"})}
	const off = "OFFERFLOW_GEOIP_FILE is off"

	document := shop.document(of, map[string]any{"countryIds": []any{"DE"}, "stateIds": []any{"DE-BE"}})
	var made struct {
		ID       string `json:"Id"`
		Warnings []string
	}
	b.me.post(offersPath, document).into(http.StatusCreated, &made)
	require.Len(t, made.Warnings, 2)
	require.Regexp(t, "^countryIds: .*pub_geo_country.*"+off, made.Warnings[0])
	require.Regexp(t, "^stateIds: .*"+off, made.Warnings[1])
	var plain struct{ Warnings []string }
	b.me.post(offersPath, shop.document(of, nil)).into(http.StatusCreated, &plain)
	require.Empty(t, plain.Warnings, "an offer for everybody needs no country")
	document["name"] = "Another name"
	b.me.with("If-Match", "1").put(offersPath+"/"+made.ID, document).into(http.StatusOK, &made)
	require.Len(t, made.Warnings, 2, "an edit is warned of too")
	require.NoError(t, b.api.LoadOffers(t.Context()))

	var wall struct {
		Items    []struct{ ID string }
		Warnings []string
	}
	b.me.get("/api/v1/offer-wall/offers?pub_member_id=m&filter.search=Another").into(http.StatusOK, &wall)
	require.Empty(t, wall.Items)
	require.Len(t, wall.Warnings, 1)
	require.Contains(t, wall.Warnings[0], "country unknown: 1 offers")
	var details struct {
		IsOfferAvailable bool
		Warnings         []string
	}
	b.me.get("/api/v1/offer-wall/offer-details?pub_member_id=m&offerId="+made.ID).into(http.StatusOK, &details)
	require.False(t, details.IsOfferAvailable)
	require.Contains(t, details.Warnings[0], "country unknown: ")
	var shown struct{ Warnings []string }
	b.me.get(offersPath+"/"+made.ID).into(http.StatusOK, &shown)
	require.Equal(t, made.Warnings, shown.Warnings, "of an offer that was made before, too")
	wall.Warnings = nil
	b.me.get("/api/v1/offer-wall/offers?pub_member_id=m&filter.search=Another&pub_geo_country=DE&pub_geo_state=BE").into(http.StatusOK, &wall)
	require.Len(t, wall.Items, 1)
	require.Empty(t, wall.Warnings)

	visitor := b.as("", "User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148 Safari/604.1").direct()
	answer := visitor.get("/c/" + b.linkOf(made.ID))
	require.Equal(t, http.StatusNotFound, answer.status)
	require.Contains(t, string(answer.body), off)
	var trace struct {
		Findings []struct{ Reason, Detail string }
	}
	b.me.get("/api/v1/clicks/"+b.refusedClickOn(made.ID)).into(http.StatusOK, &trace)
	require.Len(t, trace.Findings, 1)
	require.Equal(t, "out_of_target", trace.Findings[0].Reason)
	require.Contains(t, trace.Findings[0].Detail, "country unknown: "+off)

	var tested testResult
	b.me.post("/api/v1/tools/test-conversion", map[string]any{"offerId": made.ID}).into(http.StatusOK, &tested)
	require.Equal(t, "offer", tested.Steps[0].Step)
	require.Contains(t, tested.Steps[0].Detail, "Country unknown: clicks are refused unless their link has pub_geo_country: "+off)

	var ready struct {
		Degraded     []string
		Dependencies []struct{ Name, Status, Detail string }
	}
	b.api.Temporal = nil
	b.as(operatorToken).get("/readyz").into(http.StatusServiceUnavailable, &ready) // these tests have no stream
	require.Contains(t, ready.Degraded, "countries")
	require.Contains(t, ready.Dependencies[len(ready.Dependencies)-1].Detail, off)
}

// With the embedded database, which is there without any setting, the offer is as good as any, and a state,
// which it does not tell, is warned of.
func TestEmbeddedCountriesAreSaidWhereTheyMatter(t *testing.T) {
	t.Parallel()
	b := newToolBook(t)
	b.takesClicks()
	shop := &shop{site: b.site}
	of := account{caller: b.me, advertiser: b.me.made("/api/v1/advertisers", map[string]any{"name": "adv"})}
	var made struct {
		ID       string `json:"Id"`
		Warnings []string
	}
	b.me.post(offersPath, shop.document(of, map[string]any{"stateIds": []any{"DE-BE"}})).into(http.StatusCreated, &made)
	require.Len(t, made.Warnings, 1)
	require.Regexp(t, "^stateIds: IP addresses give countries only .*database of cities", made.Warnings[0])
	b.me.post(offersPath, shop.document(of, map[string]any{"countryIds": []any{"DE"}})).into(http.StatusCreated, &made)
	require.Empty(t, made.Warnings)
	require.NoError(t, b.api.LoadOffers(t.Context()))

	visitor := b.as("", "User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148 Safari/604.1").direct()
	answer := visitor.get("/c/" + b.linkOf(made.ID))
	require.Equal(t, http.StatusNotFound, answer.status)
	require.Contains(t, string(answer.body), "country unknown: the address 127.0.0.1 is private; set pub_geo_country")
	require.Equal(t, http.StatusFound, visitor.get("/c/"+b.linkOf(made.ID)+"?pub_geo_country=DE").status)
	var tested testResult
	b.me.post("/api/v1/tools/test-conversion", map[string]any{"offerId": made.ID}).into(http.StatusOK, &tested)
	require.Contains(t, tested.Steps[0].Detail, "a private address such as 127.0.0.1 has none: set pub_geo_country")

	var ready struct {
		Degraded     []string
		Dependencies []struct{ Name, Status, Detail string }
	}
	b.api.Temporal = nil
	b.as(operatorToken).get("/readyz").into(http.StatusServiceUnavailable, &ready)
	require.NotContains(t, ready.Degraded, "countries")
	require.Regexp(t, `embedded database of countries of 20\d\d-`, ready.Dependencies[len(ready.Dependencies)-1].Detail, "with its date")
}

// takesClicks has the site answer on tracking's addresses too.
func (b *toolBook) takesClicks() {
	b.t.Helper()
	require.NoError(b.t, b.api.TrackWith(b.t.Context(), b.takeClick, b.takePostback))
	handler, err := b.api.Handler()
	require.NoError(b.t, err)
	web := httptest.NewServer(handler)
	b.t.Cleanup(web.Close)
	b.url = web.URL
}

// linkOf is the offer's own link.
func (b *book) linkOf(offerID string) string {
	b.t.Helper()
	return b.one("SELECT id FROM links WHERE offer_id = $1 AND is_default", offerID).String()
}

func (b *book) refusedClickOn(offerID string) string {
	b.t.Helper()
	return b.one("SELECT id FROM clicks WHERE offer_id = $1 AND refused_reason <> ''", offerID).String()
}

// one is the id that a query finds, asked as the superuser.
func (b *book) one(query string, args ...any) (id uuid.UUID) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.database)
	require.NoError(b.t, err)
	defer conn.Close(b.t.Context())
	require.NoError(b.t, conn.QueryRow(b.t.Context(), query, args...).Scan(&id))
	return id
}
