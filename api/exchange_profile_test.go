package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type profile struct {
	Listed               bool
	Description, Contact string
}

type listed struct{ TenantID, Name, Product, Description, Contact, Currency string }

// The directory names who lists itself, and of those nothing but what they list.
func TestExchangeDirectory(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	var shown profile
	x.advertiser.get(exchangePath+"/profile").into(http.StatusOK, &shown)
	require.Equal(t, profile{}, shown, "nobody is listed who has not asked for it")
	x.member("Punkte", "aff-network", "currency", "EUR").put(exchangePath+"/profile", map[string]any{"listed": true}).into(http.StatusOK, &shown)
	require.Equal(t, profile{Listed: true}, shown)

	for query, names := range map[string][]string{
		"": {"Coins", "Prizes", "Punkte"}, "?filter.product=publisher": {"Coins", "Prizes"}, "?filter.currency=EUR": {"Punkte"},
		"?filter.name=riz": {"Prizes"}, "?filter.tenantId=" + x.publisher.id: {"Coins"}, "?filter.description=players": {"Coins", "Prizes"},
		"?filter.tenantId=" + x.advertiser.id: {}, "?orderby=name&order_asc=true&page_size=1&page=1": {"Prizes"},
	} {
		var directory page[listed]
		answer := x.advertiser.get(exchangePath + "/directory" + query)
		answer.into(http.StatusOK, &directory)
		found := []string{}
		for _, entry := range directory.Items {
			found = append(found, entry.Name)
		}
		require.ElementsMatch(t, names, found, query)
		require.NotContains(t, string(answer.body), "ops@example.com", "a tenant's own address is not listed")
	}
	var one page[listed]
	x.second.get(exchangePath+"/directory?filter.name=coins").into(http.StatusOK, &one)
	require.Equal(t, []listed{{x.publisher.id, "Coins", "publisher", "Players", "partners@example.com", "USD"}}, one.Items)

	x.publisher.put(exchangePath+"/profile", map[string]any{"listed": false}).into(http.StatusOK, &shown)
	require.Equal(t, profile{Description: "Players", Contact: "partners@example.com"}, shown, "what is left out stays")
	x.advertiser.get(exchangePath+"/directory?filter.name=coins").into(http.StatusOK, &one)
	require.Empty(t, one.Items)
	require.EqualValues(t, 2, x.count("SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND noun = 'exchange profile'", x.publisher.id))
}

func TestExchangeProfileRefusals(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	for field, value := range map[string]any{"contact": "Jane <jane@example.com>", "description": strings.Repeat("x", 2001), "listed": "maybe"} {
		x.publisher.put(exchangePath+"/profile", map[string]any{field: value}).refused(http.StatusBadRequest, field)
	}
	x.publisher.token("readonly").put(exchangePath+"/profile", map[string]any{"listed": true}).refused(http.StatusForbidden)
	x.publisher.token("readonly").get(exchangePath+"/directory").into(http.StatusOK, nil)
	x.publisher.token("partner", "partnerId", x.publisher.partner).get(exchangePath + "/directory").refused(http.StatusForbidden)
	x.publisher.get(exchangePath+"/directory?filter.email=x").refused(http.StatusBadRequest, "filter.email")
}
