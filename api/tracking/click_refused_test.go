package tracking

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// Rule 46: beyond the budget of its address, its tenant or of all together, a click that cannot convert is
// sent along the fallback chain as ever, and no record is made of it. Clicks that can convert have no
// budget, from the same address either.
func TestRule46RefusedClicksHaveBudgets(t *testing.T) {
	t.Parallel()
	const fallback = "https://tenant.example/"
	for name, c := range map[string]struct {
		budgets RefusedBudgets
		// spent is how many of the first address are recorded at once; sameFrom is cut by that, other is not.
		spent           int
		sameFrom, other string
	}{
		"address": {RefusedBudgets{PerAddress: 1, Total: 1000}, burstSeconds, "192.0.2.1", "192.0.2.2"},
		"tenant":  {RefusedBudgets{PerAddress: 1000, Total: 2}, burstSeconds, "192.0.2.2", ""},
		"network": {RefusedBudgets{PerAddress: 1, Total: 1000}, burstSeconds, "2001:db8::2", "192.0.2.2"},
	} {
		e := newEdge(t)
		e.spending = newSpending(c.budgets)
		e.offer.IsPaused, e.tenant.FallbackUrl = true, fallback
		e.load(t)
		live := e.offer
		live.ID, live.IsPaused = uuid.Must(uuid.NewV7()), false
		liveLink := dbgen.Link{TenantID: e.tenant.TenantID, ID: e.keys.NewID(keyring.KindLink, e.at), OfferID: live.ID}
		document, err := json.Marshal(live)
		require.NoError(t, err)
		require.NoError(t, e.offers.PutOffer(live.ID, live.Version, document, nil, nil))
		e.offers.PutLink(&liveLink)
		first := "192.0.2.1"
		if name == "network" {
			first = "2001:db8::1"
		}
		click := func(link dbgen.Link, from string) int {
			t.Helper()
			before := len(e.click)
			w := e.get("/c/"+link.ID.String()+"?pub_member_id=m", "X-Forwarded-For", from, "User-Agent", iPhone)
			require.Equal(t, http.StatusFound, w.Code, name)
			if link.ID == e.link.ID {
				require.Equal(t, fallback, w.Header().Get("Location"), "%s: the answer is the same", name)
			}
			return len(e.click) - before
		}
		for range c.spent {
			require.Equal(t, 1, click(e.link, first), name)
		}
		for range 3 {
			require.Zero(t, click(e.link, c.sameFrom), name)
		}
		require.Equal(t, 1, click(liveLink, first), "%s: a genuine click of the same address", name)
		if c.other != "" {
			require.Equal(t, 1, click(e.link, c.other), "%s: a refused click of a member elsewhere is found", name)
		}
		e.at = e.at.Add(time.Second)
		require.Equal(t, 1, click(e.link, first), name)
	}
}

// One tenant's capped offer leaves room for the refused clicks of the others.
func TestRefusedClicksOfATenantLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	spending := newClickSpending(1000, 4)
	at := time.Now()
	flood, other := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	count := func(tenant [16]byte) (recorded int) {
		for range 10 * burstSeconds {
			if spending.mayRecord(&domain.Click{TenantID: tenant, IP: "192.0.2.1", RefusedReason: domain.ReasonCapped}, at) {
				recorded++
			}
		}
		return recorded
	}
	require.Equal(t, 2*burstSeconds, count(flood))
	require.Equal(t, 2*burstSeconds, count(other))
}

// Refused clicks are counted by reason and tenant, recorded or not.
func TestRefusedClicksAreCounted(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.spending = newSpending(RefusedBudgets{PerAddress: 1, Total: 1000})
	e.offer.IsPaused = true
	e.load(t)
	for range burstSeconds + 2 {
		e.get("/c/"+e.link.ID.String(), "User-Agent", iPhone)
	}
	require.Len(t, e.click, burstSeconds)
	require.InDelta(t, burstSeconds+2, testutil.ToFloat64(clicksRefused.WithLabelValues("offer_inactive", e.tenant.TenantID.String())), 0)
}

// Rule 70: a goal that is recorded as a click takes so many postbacks of one click and sender, each of
// which would be rows for ever. The click's conversions are taken all the same.
func TestRule70CountedGoalsHaveABudget(t *testing.T) {
	t.Parallel()
	e := accepting(t, RefusedBudgets{})
	click := e.keys.NewID(keyring.KindClick, e.at).String()
	e.decide = func(p domain.Postback) *domain.Answer {
		answer := &domain.Answer{PostbackID: p.ID, Outcome: domain.OutcomeAccepted}
		if p.EventID == "purchase" {
			answer.ConversionID = &p.ID
		}
		return answer
	}
	send := func(event, from string) int {
		return e.get("/track?gk_click_id="+click+"&cnv_event_id="+event, "X-Forwarded-For", from).Code
	}
	for range countedBurst {
		require.Equal(t, http.StatusOK, send("level", "192.0.2.1"))
	}
	taken := len(e.posted)
	w := e.get("/track?gk_click_id="+click+"&cnv_event_id=level", "X-Forwarded-For", "192.0.2.1")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	require.Len(t, e.posted, taken, "it costs no message")
	require.Equal(t, http.StatusOK, send("purchase", "192.0.2.1"), "a conversion of the same click")
	require.Equal(t, http.StatusOK, send("level", "192.0.2.2"), "the same goal from elsewhere")
	e.at = e.at.Add(10 * time.Second)
	require.Equal(t, http.StatusOK, send("level", "192.0.2.1"))
	require.Equal(t, http.StatusServiceUnavailable, send("level", "192.0.2.1"))
	for range 2 * countedBurst {
		require.Equal(t, http.StatusOK, send("purchase", "192.0.2.1"), "conversions have no such budget")
	}
}
