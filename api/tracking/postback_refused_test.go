package tracking

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// accepting is an edge with budgets, whose genuine postbacks are accepted.
func accepting(t *testing.T, budgets RefusedBudgets) *edge {
	t.Helper()
	e := newEdge(t)
	e.spending = newSpending(budgets)
	e.decide = func(p domain.Postback) *domain.Answer {
		return &domain.Answer{PostbackID: p.ID, Outcome: domain.OutcomeAccepted, ConversionID: &p.ID}
	}
	return e
}

type closedStream struct{}

func (closedStream) Publish(context.Context, string, string, []byte) error {
	return errors.New("the stream of postbacks was written to")
}

// What the edge refuses keeps off the stream of postbacks, and is small however much was sent.
func TestARefusedPostbackGoesAWayOfItsOwn(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.messages = closedStream{}
	forged := "018f0000-0000-7000-8000-000000000000"
	many := url.Values{"gk_click_id": {forged}}
	for n := range 60 {
		many.Set("p"+string(rune('A'+n)), strings.Repeat("x", 1000))
	}
	for query, reason := range map[string]domain.Reason{
		"gk_click_id=nonsense":  domain.ReasonMalformed,
		"gk_click_id=" + forged: domain.ReasonUnknownClick,
		"gk_click_id=" + forged + "&cnv_sub_1=" + strings.Repeat("s", 900): domain.ReasonUnknownClick,
	} {
		e.posted = nil
		w := e.get("/track/key?" + query)
		answer := tellOf(t, w)
		require.Equal(t, domain.HTTPStatus(domain.OutcomeRefused, reason), w.Code, query)
		require.Equal(t, string(reason), answer.Reason)
		require.Len(t, e.posted, 1)
		kept := e.posted[0].Postback
		require.Equal(t, []any{answer.PostbackID, reason, domain.SentByKey("key")}, []any{kept.ID.String(), kept.Refused, kept.AdvertiserKey})
	}
	e.posted = nil
	require.Equal(t, http.StatusNotFound, e.post("/track", "application/x-www-form-urlencoded", many.Encode()).Code)
	message, err := json.Marshal(e.posted[0].Postback)
	require.NoError(t, err)
	require.Less(t, len(message), 3<<10, "of 60 KB")
	require.Equal(t, forged, e.posted[0].Postback.Params["gk_click_id"])

	e.failed = errors.New("full")
	w := e.get("/track?gk_click_id=nonsense")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.NotEmpty(t, w.Header().Get("Retry-After"))
}

// Beyond the budget of its address, of the advertiser's key or of all together, a postback that would
// be refused gets 503, and a genuine one is taken as ever.
func TestRefusedPostbacksHaveBudgets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		budgets RefusedBudgets
		// same is refused by the same budget, other is not.
		same, other []string
	}{
		"address": {RefusedBudgets{PerAddress: 1, PerKey: 100, Total: 100}, []string{"/track/k2", "192.0.2.1"}, []string{"/track/k1", "192.0.2.2"}},
		"key":     {RefusedBudgets{PerAddress: 100, PerKey: 1, Total: 100}, []string{"/track/k1", "192.0.2.2"}, []string{"/track/k2", "192.0.2.1"}},
		"total":   {RefusedBudgets{PerAddress: 100, PerKey: 100, Total: 1}, []string{"/track/k2", "192.0.2.2"}, nil},
	} {
		e := accepting(t, c.budgets)
		for range burstSeconds {
			require.Equal(t, http.StatusBadRequest, e.get("/track/k1?gk_click_id=x", "X-Forwarded-For", "192.0.2.1").Code, name)
		}
		w := e.get(c.same[0]+"?gk_click_id=x", "X-Forwarded-For", c.same[1])
		require.Equal(t, http.StatusServiceUnavailable, w.Code, name)
		require.NotEmpty(t, w.Header().Get("Retry-After"))
		genuine := e.get("/track/k1?gk_click_id="+e.keys.NewID(keyring.KindClick, e.at).String(), "X-Forwarded-For", "192.0.2.1")
		require.Equal(t, "accepted", tellOf(t, genuine).Outcome, name)
		if c.other != nil {
			require.Equal(t, http.StatusBadRequest, e.get(c.other[0]+"?gk_click_id=x", "X-Forwarded-For", c.other[1]).Code, name)
		}
		e.at = e.at.Add(time.Second)
		require.Equal(t, http.StatusBadRequest, e.get("/track/k1?gk_click_id=x", "X-Forwarded-For", "192.0.2.1").Code, name)
	}
}

// A click whose postbacks come to nothing again and again has a budget for each sender of them. Those
// of other clicks, and of other senders, are decided.
func TestFutilePostbacksHaveABudgetPerClick(t *testing.T) {
	t.Parallel()
	e := accepting(t, RefusedBudgets{})
	click, outcome := e.keys.NewID(keyring.KindClick, e.at).String(), domain.OutcomeDuplicate
	e.decide = func(p domain.Postback) *domain.Answer {
		return &domain.Answer{PostbackID: p.ID, Outcome: outcome, ConversionID: &p.ID}
	}
	send := func(click, from string) int {
		return e.get("/track?gk_click_id="+click, "X-Forwarded-For", from).Code
	}
	for range futileBurst {
		require.Equal(t, http.StatusOK, send(click, "192.0.2.1"))
	}
	decided := len(e.posted)
	require.Equal(t, http.StatusServiceUnavailable, send(click, "192.0.2.1"))
	require.Len(t, e.posted, decided, "it costs no message")
	require.Equal(t, http.StatusOK, send(e.keys.NewID(keyring.KindClick, e.at).String(), "192.0.2.1"))
	require.Equal(t, http.StatusOK, send(click, "192.0.2.2"))
	e.at = e.at.Add(10 * time.Second)
	require.Equal(t, http.StatusOK, send(click, "192.0.2.1"))

	other := e.keys.NewID(keyring.KindClick, e.at).String()
	outcome = domain.OutcomeAccepted // of an event that may be repeated
	for range 2 * futileBurst {
		require.Equal(t, http.StatusOK, send(other, "192.0.2.1"))
	}
	pixel := e.keys.NewID(keyring.KindClick, e.at).String()
	for range futileBurst {
		require.Equal(t, http.StatusOK, e.get("/pixel.gif?transaction_id="+pixel).Code)
	}
	require.Equal(t, http.StatusServiceUnavailable, e.get("/pixel.gif?transaction_id="+pixel).Code)
}

// A postback without a click id is looked for by address and browser: nothing in it can be verified.
func TestNamelessPostbacksHaveABudgetPerAddress(t *testing.T) {
	t.Parallel()
	e := accepting(t, RefusedBudgets{PerAddress: 1})
	send := func(from string) int {
		return e.get("/aff_l?offer_id="+e.offer.ID.String()+"&aff_id="+e.partner.ID.String(), "X-Forwarded-For", from, "User-Agent", "Mozilla").Code
	}
	for range burstSeconds {
		require.Equal(t, http.StatusOK, send("192.0.2.1"))
	}
	require.Equal(t, http.StatusServiceUnavailable, send("192.0.2.1"))
	require.Equal(t, http.StatusOK, send("192.0.2.2"))
}
