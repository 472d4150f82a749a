package api_test

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/domain"
)

// berlin is a tenant whose days are not those of UTC: 2026-05-13 begins there at 22:00 of the day before.
func berlin(t *testing.T) *book {
	t.Helper()
	b := newBook(t, func(s *api.Server) {
		s.Config.CallbackAllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	b.exec("UPDATE tenants SET timezone = 'Europe/Berlin' WHERE tenant_id = '" + b.tenantID.String() + "'")
	return b
}

// One conversion is put at the ends of a day and just outside of it, by each of its three times: a date is a
// whole day of the zone, at both ends; an instant as the end is exclusive. The answer says what it read.
func TestConversionsAreAskedForByDays(t *testing.T) {
	t.Parallel()
	b := berlin(t)
	partner := b.me.made("/api/v1/partners", map[string]any{"name": "Blog"})
	partnerID := uuid.MustParse(partner)
	id := *b.postback(b.click("anna", func(c *domain.Click) { c.PartnerID = &partnerID }), eventInstall).ConversionID
	scopes := map[string]*caller{
		"management": b.me, "partner": b.me.token("partner", "partnerId", partner), "advertiser": b.me.token("advertiser", "advertiserId", b.offer.AdvertiserID),
	}
	for column, prefix := range map[string]string{"user_completed_at": "user_completed_at_", "created_at": "created_at_", "decided_at": "decided_at_"} {
		for _, c := range []struct {
			at, from, to, tz string
			found            int
		}{
			{"2026-05-12T22:00:00Z", "2026-05-13", "2026-05-13", "", 1},
			{"2026-05-12T21:59:59.999999Z", "2026-05-13", "2026-05-13", "", 0},
			{"2026-05-13T21:59:59.999999Z", "2026-05-13", "2026-05-13", "", 1},
			{"2026-05-13T22:00:00Z", "2026-05-13", "2026-05-13", "", 0},
			{"2026-05-13T22:00:00Z", "2026-05-13", "2026-05-13", "UTC", 1},
			{"2026-05-13T03:59:59Z", "2026-05-13", "2026-05-13", "America/New_York", 0},
			{"2026-05-13T10:00:00Z", "2026-05-13T10:00:00Z", "2026-05-13T10:00:01Z", "", 1},
			{"2026-05-13T10:00:00Z", "2026-05-13T09:00:00Z", "2026-05-13T10:00:00Z", "", 0},
			{"2026-05-13T10:00:00Z", "2026-05-13T12:00:00+02:00", "2026-05-13T12:00:01+02:00", "", 1},
			{"2026-05-31T21:59:59Z", "2026-05-01", "2026-05-31", "", 1},
		} {
			b.exec("UPDATE conversions SET " + column + " = '" + c.at + "' WHERE id = '" + id.String() + "'")
			path := conversionsPath + "?" + prefix + "from=" + c.from + "&" + prefix + "to=" + c.to + "&tz=" + c.tz
			for scope, who := range scopes {
				var found struct {
					page[shownConversion]
					From, To *time.Time
					Timezone string
				}
				who.get(path).into(http.StatusOK, &found)
				require.Equal(t, c.found, found.TotalCount, "%s %s as %s", column, path, scope)
				require.Len(t, who.csv(path), c.found+1)
				if c.from == "2026-05-01" {
					require.Equal(t, []string{"2026-04-30T22:00:00Z", "2026-05-31T22:00:00Z", "Europe/Berlin"},
						[]string{found.From.Format(time.RFC3339), found.To.Format(time.RFC3339), found.Timezone})
				}
			}
		}
	}
	both := b.me.get(conversionsPath + "?created_at_from=2026-05-01&created_at_to=2026-05-02&decided_at_from=2026-05-01&decided_at_to=2026-05-02")
	require.Contains(t, string(both.body), "cannot be combined with created_at_from")
	both.refused(http.StatusBadRequest, "decided_at_from")
	b.me.get(conversionsPath+"?created_at_from=2026-05-01").refused(http.StatusBadRequest, "created_at_to")
	b.me.get(conversionsPath+"?decided_at_to=2026-05-01").refused(http.StatusBadRequest, "decided_at_from")
	b.me.get(conversionsPath+"?decided_at_from=2026-05-01&decided_at_to=2026-08-02").refused(http.StatusBadRequest, "decided_at_to")
	b.me.get(conversionsPath+"?decided_at_from=2026-05-01&decided_at_to=2026-05-02&tz=Mars").refused(http.StatusBadRequest, "tz")
}

// bound is a pair of bounds of a list, found in the OpenAPI document.
type bound struct{ from, to string }

// boundsOf are the pairs of bounds that a GET takes, by the names of its parameters.
func boundsOf(o operation) (bounds []bound) {
	for _, p := range o.parameters {
		last := p.Name[strings.LastIndexAny(p.Name, "._")+1:]
		if rest, ok := strings.CutSuffix(p.Name, "from"); ok && last == "from" {
			bounds = append(bounds, bound{p.Name, rest + "to"})
		} else if rest, ok := strings.CutSuffix(p.Name, "From"); ok {
			bounds = append(bounds, bound{p.Name, rest + "To"})
		}
	}
	return bounds
}

// Every pair of bounds in the OpenAPI document reads dates as the same whole days, and its answer says so. A
// list that is added is tested without being named here.
func TestEveryBoundIsAWholeDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.tenants[1].in(t)
	w.write("UPDATE tenants SET timezone = 'Europe/Berlin'")
	tried := 0
	for _, o := range w.surface().operations {
		if o.method != http.MethodGet {
			continue
		}
		for _, b := range boundsOf(o) {
			t.Run(o.path+" "+b.from, func(t *testing.T) {
				me := me.in(t)
				path := o.with(me.idsOf(nounsIn(t, o.path)), me.productWord())
				ask := func(from, to, tz string) *answer {
					query := url.Values{b.from: {from}, b.to: {to}}
					if tz != "" {
						query.Set("tz", tz)
					}
					return me.me.get(path + "?" + query.Encode())
				}
				said := func(tz string) (from, to, zone string) {
					var out struct{ From, To, DateFrom, DateTo, Timezone string }
					ask("2026-05-13", "2026-05-14", tz).into(http.StatusOK, &out)
					return out.From, out.To, out.Timezone
				}
				from, to, zone := said("")
				inCSV := me.me.with("Accept", "text/csv").get(path + "?" + url.Values{b.from: {"2026-05-13"}, b.to: {"2026-05-14"}}.Encode())
				inCSV.asCSV()
				require.Equal(t, []string{"2026-05-12T22:00:00Z", "2026-05-14T22:00:00Z", "Europe/Berlin"},
					[]string{inCSV.header.Get("Offerflow-From"), inCSV.header.Get("Offerflow-To"), inCSV.header.Get("Offerflow-Timezone")})
				if strings.HasPrefix(b.from, "date_") { // a provider's form: its days are dates
					require.Equal(t, "Europe/Berlin", zone)
				} else {
					require.Equal(t, []string{"2026-05-12T22:00:00Z", "2026-05-14T22:00:00Z", "Europe/Berlin"}, []string{from, to, zone})
					from, to, zone = said("Asia/Tokyo")
					require.Equal(t, []string{"2026-05-12T15:00:00Z", "2026-05-14T15:00:00Z", "Asia/Tokyo"}, []string{from, to, zone})
				}
				_, _, zone = said("Asia/Tokyo")
				require.Equal(t, "Asia/Tokyo", zone)
				refused := ask("soon", "2026-05-14", "")
				require.Equal(t, []string{b.from}, refused.fields())
				require.Contains(t, string(refused.body), "must be a date")
				require.Equal(t, []string{"tz"}, ask("2026-05-13", "2026-05-14", "Mars").fields())
				tried++
			})
		}
	}
	require.Greater(t, tried, 9)
}

// A review's filter and a resend take the same bounds.
func TestBodiesReadDaysToo(t *testing.T) {
	t.Parallel()
	b := berlin(t)
	id := b.converted("anna", eventBuy)
	count := func(filter map[string]any) int {
		var out struct{ Totals struct{ Count int } }
		b.me.post(reviewPath, map[string]any{"action": "approve", "dryRun": true, "filter": filter}).into(http.StatusOK, &out)
		return out.Totals.Count
	}
	for _, prefix := range []string{"user_completed_at_", "created_at_"} {
		column := strings.TrimSuffix(prefix, "_")
		for at, want := range map[string]int{"2026-05-12T22:00:00Z": 1, "2026-05-12T21:59:59Z": 0, "2026-05-13T21:59:59Z": 1, "2026-05-13T22:00:00Z": 0} {
			b.exec("UPDATE conversions SET " + column + " = '" + at + "' WHERE id = '" + id.String() + "'")
			require.Equal(t, want, count(map[string]any{prefix + "from": "2026-05-13", prefix + "to": "2026-05-13"}), at)
		}
		b.exec("UPDATE conversions SET " + column + " = '2026-05-13T22:00:00Z' WHERE id = '" + id.String() + "'")
		require.Equal(t, 1, count(map[string]any{prefix + "from": "2026-05-13", prefix + "to": "2026-05-13", "tz": "UTC"}), "22:00 is the 13th in UTC")
	}
	refused := b.me.post(reviewPath, map[string]any{"action": "approve", "dryRun": true, "filter": map[string]any{"created_at_from": "soon"}})
	refused.refused(http.StatusBadRequest, "filter.created_at_from")

	delivery := uuid.Must(uuid.NewV7())
	b.me.put("/api/v1/callback-endpoint", map[string]any{"url": "http://127.0.0.1:9/hook"}).into(http.StatusOK, nil)
	var endpoint uuid.UUID
	b.inTenant(func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, "SELECT id FROM callback_endpoints").Scan(&endpoint)
	})
	b.exec(`INSERT INTO deliveries (tenant_id, id, kind, endpoint_id, conversion_id, sequence, status, state, body, created_at, finished_at) VALUES ('` +
		b.tenantID.String() + `', '` + delivery.String() + `', 'callback', '` + endpoint.String() + `', '` + id.String() +
		`', 1, 'Success', 'failed', '{}', '2026-05-13T21:59:59Z', now())`)
	resent := func(from, to string) int {
		var out struct{ Count int }
		b.me.post("/api/v1/deliveries/resend", map[string]any{"createdFrom": from, "createdTo": to}).into(http.StatusAccepted, &out)
		return out.Count
	}
	require.Zero(t, resent("2026-05-14", "2026-05-14"))
	require.Equal(t, 1, resent("2026-05-13", "2026-05-13"))
	b.me.post("/api/v1/deliveries/resend", map[string]any{"createdFrom": "soon"}).refused(http.StatusBadRequest, "createdFrom")
}

// enumerated are filters whose values are a closed list in every list that has them.
var enumerated = []string{"status", "state", "outcome", "reason", "rejectionReason", "kind", "side", "endedSide", "scope", "method", "product", "offerType", "recordAs", "field"}

// notEnumerated are lists where such a name means something else.
var notEnumerated = map[string]string{
	"/api/v1/postbacks method":                   "whatever the sender used",
	"/api/v1/jobs/{id}/items field":              "a column of the uploaded file",
	"/api/v1/exchange/offers/{id}/changes field": "a field of the offer's document",
}

// A filter of a closed list refuses what is not in it, and says what is: else a misspelt status would find
// nothing, and look like good news.
func TestFiltersOfClosedListsNameTheRightValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tried := 0
	for _, o := range w.surface().operations {
		for _, p := range o.parameters {
			name, isFilter := strings.CutPrefix(p.Name, "filter.")
			if o.method != http.MethodGet || !isFilter {
				continue
			}
			var known []string
			if p.Schema.Items != nil {
				for _, value := range p.Schema.Items.Enum {
					known = append(known, value.(string))
				}
			}
			if slices.Contains(enumerated, name) && notEnumerated[o.path+" "+name] == "" {
				require.NotEmpty(t, known, "%s of %s has no closed list", p.Name, o.path)
			}
			if len(known) == 0 {
				continue
			}
			me := w.tenants[1].in(t)
			me.secret = nil
			if o.path == "/api/v1/tenants" {
				me = me.withHeaders("Authorization", "Bearer "+operatorToken)
			}
			nouns := nounsIn(t, o.path)
			refused := me.ask(o, me.idsOf(nouns), p.Name+"=nonsense")
			require.Equal(t, http.StatusBadRequest, refused.status, "%s of %s", p.Name, o.path)
			require.Equal(t, []string{p.Name}, refused.fields())
			require.Contains(t, string(refused.body), "is none of: "+strings.Join(known, ", "))
			require.Equal(t, http.StatusOK, me.ask(o, me.idsOf(nouns), p.Name+"="+strings.ToUpper(known[0])).status, "in any case")
			tried++
		}
	}
	require.Greater(t, tried, 25)
}
