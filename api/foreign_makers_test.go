package api_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

// What TestEveryRouteKeepsTenantsApart must know of a route that it cannot read in the OpenAPI
// document. A new route with an id in its path needs a line in nounOfPath; a new noun besides needs a
// maker. The test fails and names the line that is missing.

// makers make one of each noun for a tenant, for real, and return its id.
func makers() map[string]func(r *rich) string {
	return map[string]func(r *rich) string{
		"token": func(r *rich) string {
			return r.me.made("/api/v1/tokens", map[string]any{"name": r.named("token"), "scope": "readonly"})
		},
		"advertiser": func(r *rich) string {
			return r.me.made("/api/v1/advertisers", map[string]any{"name": r.named("advertiser")})
		},
		"advertiser key":       func(r *rich) string { return r.advertiserKey(r.own("advertiser")) },
		"opaque postback":      func(r *rich) string { return r.codes()["opaque postback"] },
		"opaque pixel":         func(r *rich) string { return r.codes()["opaque pixel"] },
		"opaque goal postback": func(r *rich) string { return r.codes()["opaque goal postback"] },
		"opaque goal pixel":    func(r *rich) string { return r.codes()["opaque goal pixel"] },
		"partner": func(r *rich) string {
			return r.me.made("/api/v1/partners", map[string]any{"name": r.named("partner")})
		},
		"partner tier": func(r *rich) string {
			return r.me.made("/api/v1/partner-tiers", map[string]any{"name": r.named("tier")})
		},
		"payout structure": func(r *rich) string { return r.me.made("/api/v1/payout-structures", structureBody(r)) },
		"partner payout": func(r *rich) string {
			body := payoutBody(r)
			body["partnerId"] = r.own("partner")
			return r.me.made("/api/v1/partner-payouts", body)
		},
		"placement": func(r *rich) string {
			return r.me.made("/api/v1/placements", map[string]any{"name": r.named("placement")})
		},
		"age": func(r *rich) string {
			return r.me.made("/api/v1/lookups/ages", map[string]any{"name": r.named("age"), "minAge": 30})
		},
		"category": func(r *rich) string {
			return r.me.made("/api/v1/lookups/categories", map[string]any{"name": r.named("category")})
		},
		"offer": func(r *rich) string { return r.offer.ID.String() },
		"event": func(r *rich) string { return r.offer.Events[0].ID.String() },
		"audit entry": func(r *rich) string {
			r.own("partner")
			var out page[struct{ ID string }]
			r.me.get("/api/v1/audit?page_size=1").into(http.StatusOK, &out)
			return out.Items[0].ID
		},
		"link": func(r *rich) string {
			return r.me.made("/api/v1/offers/"+r.offer.ID.String()+"/links", map[string]any{"partnerId": r.own("partner")})
		},
		"endpoint": func(r *rich) string {
			var out struct{ ID string }
			r.me.put("/api/v1/callback-endpoint", map[string]any{"url": "http://127.0.0.1:9/hook"}).into(http.StatusOK, &out)
			return out.ID
		},
		"delivery": func(r *rich) string {
			r.own("endpoint")
			var out struct{ ID string }
			r.me.post("/api/v1/callback-endpoint/test", nil).into(http.StatusAccepted, &out)
			return out.ID
		},
		"failed message": func(r *rich) string {
			about := uuid.New()
			failures := &stream.Failures{Store: r.api.Store}
			require.NoError(r.t, failures.Keep(r.t.Context(), stream.Failure{
				TenantID: &r.tenantID, Source: stream.SourceRelease, Payload: []byte(about.String()), About: &about, Cause: errors.New(r.named("cause")),
			}))
			var out page[struct{ ID string }]
			r.me.get("/api/v1/failed-messages?filter.about="+about.String()).into(http.StatusOK, &out)
			return out.Items[0].ID
		},
		"click": func(r *rich) string { return r.click(r.member).String() },
		"view": func(r *rich) string {
			at := clocktest.Now().UTC()
			id := r.api.Keys.NewID(keyring.KindView, at)
			r.inTenant(func(ctx context.Context, tx pgx.Tx) error {
				return dbgen.New().InsertOfferView(r.t.Context(), tx, dbgen.InsertOfferViewParams{
					TenantID: r.tenantID, ID: id, OfferID: r.offer.ID, PubMemberID: r.member, CreatedAt: at,
				})
			})
			return id.String()
		},
		"postback": func(r *rich) string {
			return r.postback(uuid.MustParse(r.own("click")), eventInstall).PostbackID.String()
		},
		"verdict finding": func(r *rich) string {
			r.own("postback") // what it is about
			return r.postback(uuid.MustParse(r.own("click")), eventInstall, func(p *domain.Postback) { p.Status = "undecided" }).PostbackID.String()
		},
		"conversion": func(r *rich) string { return r.converted(r.member, eventBuy).String() },
		"member":     func(r *rich) string { return r.member },
		"job": func(r *rich) string {
			var out struct{ JobID string }
			r.me.post("/api/v1/conversions/review", map[string]any{"action": "approve", "filter": map[string]any{
				"user_completed_at_from": day(-30), "user_completed_at_to": day(30), "status": "Pending",
			}}).into(http.StatusAccepted, &out)
			return out.JobID
		},
		"scheduled change": func(r *rich) string {
			return r.me.made("/api/v1/offers/"+r.own("offer")+"/scheduled-changes", changeBody(r))
		},
		"partner postback": func(r *rich) string { return r.me.made("/api/v1/partner-postbacks", partnerPostbackBody(r)) },
	}
}

// nounOfPath says whose id a path takes, by the path up to and with the parameter.
var nounOfPath = map[string]string{
	"/api/v1/tokens/{id}":                                "token",
	"/api/v1/advertisers/{id}":                           "advertiser",
	"/api/v1/partners/{id}":                              "partner",
	"/api/v1/placements/{id}":                            "placement",
	"/api/v1/partner-tiers/{id}":                         "partner tier",
	"/api/v1/payout-structures/{id}":                     "payout structure",
	"/api/v1/partner-payouts/{id}":                       "partner payout",
	"/api/v1/sdk-offer-management/{product}/offers/{id}": "offer",
	"/api/v1/sdk-offer-management/offers/{id}":           "offer",
	"/api/v1/offers/{id}":                                "offer",
	"/api/v1/conversions/{id}":                           "conversion",
	"/api/v1/clicks/{id}":                                "click",
	"/api/v1/members/{pub_member_id}":                    "member",
	"/api/v1/deliveries/{id}":                            "delivery",
	"/api/v1/failed-messages/{id}":                       "failed message",
	"/api/v1/jobs/{id}":                                  "job",
	"/api/v1/partner-postbacks/{id}":                     "partner postback",
	"/api/v1/offers/{id}/scheduled-changes/{changeId}":   "scheduled change",
	"/api/v1/exchange/partnerships/{id}":                 "partnership",
	"/api/v1/exchange/offers/{id}":                       "shared offer",
	"/api/v1/exchange/conversions/{id}":                  "shared conversion",

	"/api/v1/exchange/offers/{id}/proposals/{proposalId}": "proposal",
	"/api/v1/operator/failed-messages/{id}":               "failed message",
}

// words are path parameters that name no row of a tenant, with one that is right.
var words = map[string]string{"{product}": "publisher", "{kind}": "ages", "{name}": "Adjust"}

// nounOfField says whose id a field of a body or a query takes, by its name without its place, or where
// a name means different things by "METHOD path name".
var nounOfField = map[string]string{
	"POST /api/v1/conversions/review ids":        "conversion",
	"POST /api/v1/tools/test-conversion eventId": "event",
	"POST /api/v1/partner-payouts eventId":       "event", "PUT /api/v1/partner-payouts/{id} eventId": "event",
	"POST /api/v1/offers/{id}/scheduled-changes eventId": "event",
	"POST /api/v1/partner-postbacks eventId":             "event", "PUT /api/v1/partner-postbacks/{id} eventId": "event",
	"partnerPostbackId": "partner postback",
	"partnerId":         "partner", "advertiserId": "advertiser", "placementId": "placement", "offerId": "offer",
	"tierId": "partner tier", "conversionId": "conversion", "endpointId": "endpoint", "clickId": "click", "viewId": "view", "ageId": "age", "categoryIds": "category",
}

// notAnID are fields that look like ids and name no row of a tenant.
var notAnID = map[string]string{
	"id": "shown only: a body may repeat its own", "key": "shown only", "concurrencyRequestId": "the importer's own word",
	"publisherTenantId": "any tenant of the directory", "blockedTenantIds": "any tenant: nothing looks it up",
}

// perItem are requests that report each id by itself (rule 27), or what is wrong with it: a foreign one as
// one that was never made.
var perItem = map[string]bool{"POST /api/v1/conversions/review ids": true, "POST /api/v1/tools/test-conversion eventId": true}

// filterBody are bodies whose ids are a filter: a foreign one finds nothing.
var filterBody = map[string]bool{"POST /api/v1/deliveries/resend": true}

// untyped are fields of documents whose schema the OpenAPI document leaves open.
var untyped = map[string][]string{
	"POST /api/v1/sdk-offer-management/{product}/offers":     {"advertiserId", "ageId", "categoryIds"},
	"PUT /api/v1/sdk-offer-management/{product}/offers/{id}": {"advertiserId", "ageId", "categoryIds"},
}

// bodies are requests that their own tenant may send, where the required fields of the schema alone
// are not one.
var bodies = map[string]func(r *rich) map[string]any{
	"POST /api/v1/offers/{id}/scheduled-changes": changeBody,
	"POST /api/v1/partner-postbacks":             partnerPostbackBody, "PUT /api/v1/partner-postbacks/{id}": partnerPostbackBody,
	"POST /api/v1/partner-postbacks/preview": func(r *rich) map[string]any {
		return map[string]any{"partnerId": r.own("partner"), "url": "http://127.0.0.1:9/cb", "conversionId": r.own("conversion")}
	},
	"POST /api/v1/conversions/{id}/adjust": func(*rich) map[string]any {
		return map[string]any{"revenue": "0.5", "reason": "agreed"}
	},
	"POST /api/v1/partner-tiers": named, "PUT /api/v1/partner-tiers/{id}": named,
	"POST /api/v1/payout-structures": structureBody, "PUT /api/v1/payout-structures/{id}": structureBody, "POST /api/v1/partner-payouts": payoutBody,
	"PUT /api/v1/advertisers/{id}": named, "PUT /api/v1/partners/{id}": named, "PUT /api/v1/placements/{id}": named,
	"POST /api/v1/advertisers": named, "POST /api/v1/partners": named, "POST /api/v1/placements": named,
	"POST /api/v1/sdk-offer-management/{product}/offers":     offerBody,
	"PUT /api/v1/sdk-offer-management/{product}/offers/{id}": offerBody,
	"POST /api/v1/exchange/offers/{id}/apply":                func(*rich) map[string]any { return map[string]any{"fields": []any{"name"}} },
	"POST /api/v1/exchange/shares": func(r *rich) map[string]any {
		return map[string]any{"offerId": r.own("offer"), "publisherTenantId": r.own("publisher tenant")}
	},
	"POST /api/v1/tokens": func(*rich) map[string]any { return map[string]any{"name": "t", "scope": "readonly"} },
	"POST /api/v1/conversions/review": func(r *rich) map[string]any {
		return map[string]any{"action": "approve", "ids": []any{r.own("conversion")}}
	},
	"PUT /api/v1/callback-endpoint": func(*rich) map[string]any { return map[string]any{"url": "http://127.0.0.1:9/hook"} },
}

// bodiesWith are bodies that take a field only together with others.
var bodiesWith = map[string]map[string]any{
	"POST /api/v1/tokens partnerId":    {"scope": "partner"},
	"POST /api/v1/tokens advertiserId": {"scope": "advertiser"},
}

// everybodys are lists of what all tenants may see, and none holds as its own.
var everybodys = map[string]bool{"/api/v1/exchange/directory": true}

// forbiddenTo are routes that tenants of a product may not call at all.
var forbiddenTo = map[string]string{"POST /api/v1/exchange/shares": domain.ProductPublisher}

// versioned are the routes that take a change of the version which GET of the same path shows.
var versioned = map[string]bool{
	"PUT /api/v1/sdk-offer-management/{product}/offers/{id}": true,
	"PATCH /api/v1/exchange/offers/{id}":                     true,
}

// queries are what a GET requires.
var queries = map[string]func(r *rich) string{
	"/api/v1/reports/performance": func(r *rich) string {
		if r.isOutside {
			return "from=" + day(-7) + "&to=" + day(1) + "&group_by=offer,event"
		}
		return "from=" + day(-7) + "&to=" + day(1) + "&group_by=offer,advertiser,partner,placement,event"
	},
	"/api/v1/integrations/cost-report/singular/json":  costReportDays,
	"/api/v1/integrations/cost-report/appsflyer/json": costReportDays,
	"/api/v1/sdk-conversion-system/conversions": func(*rich) string {
		return "user_completed_at_from=" + day(-30) + "&user_completed_at_to=" + day(30)
	},
	"/api/v1/offer-wall/offers":            func(*rich) string { return "pub_member_id=somebody" },
	"/api/v1/offer-wall/pub-member/offers": wallMember,
	"/api/v1/offer-wall/offer-details":     func(r *rich) string { return wallMember(r) + "&offerId=" + r.own("offer") },
	"/api/v1/offer-wall/offer-link":        func(r *rich) string { return "viewId=" + r.own("view") },
}

func wallMember(r *rich) string { return "pub_member_id=" + r.member }

func costReportDays(*rich) string {
	return "date_from=" + day(-7) + "&date_to=" + day(1)
}

// day is a date in UTC so many days from today: what is written now is of today, until midnight.
func day(n int) string { return clocktest.Now().UTC().AddDate(0, 0, n).Format(time.DateOnly) }

func changeBody(r *rich) map[string]any {
	return map[string]any{
		"field": "revenue", "eventId": r.own("event"), "value": "3.25", "at": clocktest.Now().UTC().Truncate(time.Hour).Add(48 * time.Hour).Format(time.RFC3339),
	}
}

func partnerPostbackBody(r *rich) map[string]any {
	return map[string]any{"partnerId": r.own("partner"), "url": "http://127.0.0.1:9/cb"}
}

// streaming are answers without an end: listen reads what there is.
var streaming = []string{"/api/v1/exchange/stream"}

func structureBody(r *rich) map[string]any {
	return map[string]any{"name": r.named("structure"), "default": map[string]any{"flat": "1"}}
}

// payoutBody is for a partner of its own: each has one for an event.
func payoutBody(r *rich) map[string]any {
	return map[string]any{
		"partnerId": r.me.made("/api/v1/partners", map[string]any{"name": r.named("another partner")}), "offerId": r.own("offer"), "eventId": r.own("event"), "flat": "1",
	}
}

func named(r *rich) map[string]any { return map[string]any{"name": r.named("another")} }

func offerBody(r *rich) map[string]any {
	doc := map[string]any{}
	r.me.get(r.offersPath()+"/"+r.own("offer")).into(http.StatusOK, &doc)
	return doc
}

// multiEvent makes an offer through the API, with the events of the book's.
func (r *rich) multiEvent() {
	r.t.Helper()
	var reward any
	if !r.byRatio {
		reward = r.figure("100")
	}
	event := func(eventID string, order int, pendingDays any, approval bool) map[string]any {
		return map[string]any{
			"name": eventID, "eventId": eventID, "showOnOfferWall": true, "displayOrder": order, "sequenceNumber": nil,
			"pendingTime": pendingDays, "requiresApproval": approval, "hasRevenue": true, "revenue": r.figure("5"), "hasReward": true, "useDefaultRatio": r.byRatio, "reward": reward,
		}
	}
	var made madeOffer
	r.me.post(r.offersPath(), map[string]any{
		"trackingSystemLink": "https://adv.example/?sub1={gk_click_id}", "trackingSystem": "AppsFlyer", "name": "Of " + r.member,
		"headline": "Play", "offerDetails": "<b>Do</b>", "creatives": []any{map[string]any{"order": 1, "url": "https://cdn.example/1.png"}},
		"offerType": "MultiEvent", "conversionType": "FlatRate", "advertiserId": r.own("advertiser"), "isPaused": false,
		"budgetType": "Total", "budget": "1000000", "launchDate": "2020-01-01T00:00:00Z", "ageId": everyAge(r.me),
		"categoryIds": []any{}, "countryIds": []any{}, "initialEpc": "1", "isEpcLocked": false,
		"offerEvents": []any{event(eventInstall, 1, nil, false), event(eventLevel, 2, 3, false), event(eventBuy, 3, nil, true)},
	}).into(http.StatusCreated, &made)
	r.readOffer(made.ID)
	require.NoError(r.t, r.api.LoadOffers(r.t.Context()))
}

func everyAge(c *caller) string {
	c.t.Helper()
	var ages struct{ Items []struct{ ID string } }
	c.get("/api/v1/lookups/ages").into(http.StatusOK, &ages)
	return ages.Items[0].ID
}

// rich is a tenant that has one of everything.
type rich struct {
	*book
	member string
	ids    map[string]string
	// product is the tenant's, "" a publisher.
	product string
	// isOutside says that one of its partners or advertisers asks.
	isOutside bool
	// byRatio says that its rewards are by the default ratio.
	byRatio bool
	// digits end its figures, so that they are nobody else's.
	digits string
	// secret is all that no answer to it may hold: what others alone have.
	secret []string
	// live is what was told in live streams.
	live *liveLog
}

// named is a name that says whose it is.
func (r *rich) named(noun string) string { return noun + " of " + r.member }

func (r *rich) figure(units string) string {
	if r.digits == "" {
		return units
	}
	return units + "." + r.digits
}

func (r *rich) productWord() string {
	if r.product == "" {
		return domain.ProductPublisher
	}
	return r.product
}

func (r *rich) offersPath() string {
	return "/api/v1/sdk-offer-management/" + r.productWord() + "/offers"
}

// in is the tenant within a subtest, or before what notes failures.
func (r *rich) in(t testing.TB) *rich {
	b, s := *r.book, *r.site
	s.t = t
	b.t, b.site, b.me = t, &s, r.me.in(t)
	out := *r
	out.book = &b
	return &out
}

// own is the tenant's id of a noun, made when it is first asked for.
func (r *rich) own(noun string) string {
	r.t.Helper()
	if r.ids[noun] == "" {
		maker := makers()[noun]
		require.NotNil(r.t, maker, "no maker of the noun %q: add one to makers in foreign_makers_test.go", noun)
		r.ids[noun] = maker(r)
		require.NotEmpty(r.t, r.ids[noun], noun)
	}
	return r.ids[noun]
}

// everything makes one of each noun.
func (r *rich) everything() *rich {
	r.t.Helper()
	r.multiEvent()
	for _, noun := range slices.Sorted(maps.Keys(makers())) {
		r.own(noun)
	}
	return r
}

// neighbour is another tenant of the same site.
func (b *book) neighbour(name, product, rewardRatio string) *book {
	b.t.Helper()
	other := *b
	var out struct{ ID, APIToken string }
	b.as(operatorToken).post("/api/v1/tenants", map[string]any{
		"name": name, "product": product, "email": "ops@example.com", "rewardRatio": rewardRatio, "postbackSecurity": "open",
	}).into(http.StatusCreated, &out)
	other.tenantID, other.me = uuid.MustParse(out.ID), b.as(out.APIToken)
	return &other
}

// nounsIn are the path's parameters that are ids, in order, each with its noun; the test fails for one
// that nobody registered.
func nounsIn(t testing.TB, path string) (nouns []string) {
	t.Helper()
	for end := strings.Index(path, "}"); end >= 0; {
		prefix := path[:end+1]
		parameter := prefix[strings.LastIndex(prefix, "{"):]
		if words[parameter] == "" {
			noun := nounOfPath[prefix]
			require.NotEmpty(t, noun, "whose id is %s in %s? Add %q to nounOfPath in foreign_makers_test.go, and a maker of its noun to makers; a parameter that is no id belongs into words", parameter, path, prefix)
			nouns = append(nouns, noun)
		}
		next := strings.Index(path[end+1:], "}")
		if next < 0 {
			break
		}
		end += 1 + next
	}
	return nouns
}

// with puts one id for each noun into the path.
func (o operation) with(ids []string, product string) string {
	path := strings.ReplaceAll(o.path, "{product}", product)
	for parameter, word := range words {
		path = strings.ReplaceAll(path, parameter, word)
	}
	for _, id := range ids {
		from, to := strings.Index(path, "{"), strings.Index(path, "}")
		path = path[:from] + id + path[to+1:]
	}
	return path
}
