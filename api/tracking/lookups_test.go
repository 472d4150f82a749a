package tracking

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// newCountedEdge is an edge whose links are in the database and not in memory, with look-ups that are counted
// and budgets that fill up no more while the test runs.
func newCountedEdge(t *testing.T) (e *edge, made prometheus.Counter) {
	t.Helper()
	e = newEdge(t)
	e.keys = e.keys.WithKindsFrom(e.at)
	e.save(t)
	made = prometheus.NewCounter(prometheus.CounterOpts{Name: "made"})
	each, all := lookup.IDMissesEach, lookup.IDMissesAll
	each.PerSecond, all.PerSecond = 1e-3, 1e-3
	budget := lookup.NewBudget(each, all)
	for _, l := range []*lookup.Lookups{e.offers.Misses, e.offers.Views} {
		l.Made, l.Budget, l.Remembered = made, budget, time.Hour
	}
	e.asked.Made, e.asked.Addresses = made, lookup.NewBudgets(1e-3, 100)
	return e, made
}

// forget empties the edge's memory. What its look-ups have cost stays.
func (e *edge) forget() {
	misses, views := e.offers.Misses, e.offers.Views
	e.offers = offercache.New(e.store, e.keys)
	e.offers.Misses, e.offers.Views = misses, views
}

func from(address string) []string { return []string{"X-Forwarded-For", address} }

// Rule 1: an id of one kind is nothing as another's, and costs no look-up.
func TestIDsOfAnotherKindCostNoLookUp(t *testing.T) {
	t.Parallel()
	e, made := newCountedEdge(t)
	e.load(t)
	kinds := map[string]keyring.Kind{"click": keyring.KindClick, "postback": keyring.KindPostback, "link": keyring.KindLink, "view": keyring.KindView}
	for used, path := range map[string]string{"link": "/c/", "postback": "/track/", "view": "/wall?viewId="} {
		for of, kind := range kinds {
			if of == used {
				continue
			}
			for range 5 {
				require.Equal(t, http.StatusNotFound, e.get(path+e.keys.NewID(kind, e.at).String()).Code, "%s as %s", of, used)
			}
		}
		require.Equal(t, http.StatusNotFound, e.get(path+uuid.Must(uuid.NewV7()).String()).Code)
	}
	require.Zero(t, testutil.ToFloat64(made))
	for of, kind := range kinds {
		if of == "click" {
			continue
		}
		w := e.get("/track?gk_click_id=" + e.keys.NewID(kind, e.at).String())
		require.Equal(t, http.StatusNotFound, w.Code, of)
		require.Contains(t, w.Body.String(), string(domain.ReasonUnknownClick), of)
	}
	w := e.get("/track?gk_click_id=" + e.keys.NewID(keyring.KindClick, e.at).String())
	require.Contains(t, w.Body.String(), string(domain.OutcomeQueued), "the control: a click's is decided")
}

// Ids of a release before pass as any kind: what they cost is bounded, of each address and in all, and
// a new link is found all the same.
func TestMissesAreBounded(t *testing.T) {
	t.Parallel()
	e, made := newCountedEdge(t)
	flood := func(address string, path func() string) (refused int) {
		for range 3 * lookup.IDMissesEach.Burst {
			if w := e.get(path(), from(address)...); w.Code == http.StatusServiceUnavailable {
				require.NotEmpty(t, w.Header().Get("Retry-After"))
				refused++
			} else {
				require.Equal(t, http.StatusNotFound, w.Code)
			}
		}
		return refused
	}
	old := func() string { return e.keys.NewID(keyring.KindPostback, e.at.Add(-time.Hour)).String() }
	each := lookup.IDMissesEach.Burst - lookup.IDMissesEach.Kept
	require.Equal(t, 3*lookup.IDMissesEach.Burst-each, flood("198.51.100.1", func() string { return "/c/" + old() }))
	require.Equal(t, 3*lookup.IDMissesEach.Burst, flood("198.51.100.1", func() string { return "/aff_c?offer_id=" + uuid.NewString() }), "one budget, whatever is looked up")
	require.InDelta(t, each, testutil.ToFloat64(made), 0)
	require.Equal(t, http.StatusFound, e.get("/c/"+e.link.ID.String(), from("198.51.100.1")...).Code, "a link that is there, from the attacker's own address")

	for n := range 20 {
		flood("198.51.100."+strconv.Itoa(n+2), func() string { return "/wall?viewId=" + old() })
	}
	most := lookup.IDMissesAll.Burst - lookup.IDMissesAll.Kept
	require.InDelta(t, most+1, testutil.ToFloat64(made), 0, "in all, from many addresses, and the one that found something")
	e.forget()
	require.Equal(t, http.StatusFound, e.get("/c/"+e.link.ID.String(), from("198.51.100.3")...).Code, "a link that is there, while all addresses attack")
	require.InDelta(t, most+2, testutil.ToFloat64(made), 0)
}

// What is found costs nothing, and what was not found is not looked up again for a moment.
func TestHitsAreFree(t *testing.T) {
	t.Parallel()
	e, made := newCountedEdge(t)
	for range lookup.IDMissesAll.Burst {
		e.forget()
		require.Equal(t, http.StatusFound, e.get("/c/"+e.link.ID.String(), from("198.51.100.1")...).Code)
	}
	before := testutil.ToFloat64(made)
	unknown := e.keys.NewID(keyring.KindLink, e.at)
	for range 2 * lookup.IDMissesEach.Burst {
		require.Equal(t, http.StatusNotFound, e.get("/c/"+unknown.String(), from("198.51.100.1")...).Code)
	}
	require.InDelta(t, before+1, testutil.ToFloat64(made), 0)
}

// GET /track/{postbackId} is a look-up for whoever asks: bounded for each address, found or not.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	e, made := newCountedEdge(t)
	id := e.keys.NewID(keyring.KindPostback, e.at)
	e.stored[id] = domain.Answer{PostbackID: id, Outcome: domain.OutcomeAccepted}
	codes := map[int]int{}
	for n := range 300 {
		address := "198.51.100.1"
		if n%100 == 99 {
			address = "203.0.113." + strconv.Itoa(n)
		}
		w := e.get("/track/"+id.String(), from(address)...)
		codes[w.Code]++
		if w.Code == http.StatusServiceUnavailable {
			require.NotEmpty(t, w.Header().Get("Retry-After"))
			require.True(t, strings.HasPrefix(address, "198"), "another address is answered")
		}
	}
	require.Equal(t, map[int]int{http.StatusOK: 103, http.StatusServiceUnavailable: 197}, codes)
	require.InDelta(t, 103, testutil.ToFloat64(made), 0)
}
