package api

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
)

// With the database away a click that needs its view waits, for it would lose the member; one that names
// offer and member does not need it.
func TestClickByViewWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	store, err := db.Open(t.Context(), dbtest.New(t), 2)
	require.NoError(t, err)
	store.Close()
	e := newEdge(t)
	e.offers = NewOfferCache(store, e.keys)
	e.load(t)
	view, offer := "viewId="+e.keys.NewID(e.at).String(), "offerId="+e.offer.ID.String()
	for _, query := range []string{view, offer + "&" + view} {
		w := e.get("/wall?" + query)
		require.Equal(t, http.StatusServiceUnavailable, w.Code, query)
		require.NotEmpty(t, w.Header().Get("Retry-After"))
	}
	require.Empty(t, e.click)
	require.Equal(t, http.StatusFound, e.get("/wall?"+offer+"&pub_member_id=m&"+view).Code)
	require.Equal(t, http.StatusFound, e.get("/wall?"+offer).Code)
}

// Ids that are not ours share a small budget of look-ups, and what is unknown is not asked for again at
// once; links are looked up all the same.
func TestClicksByUnknownViewsAreBounded(t *testing.T) {
	t.Parallel()
	store, err := db.Open(t.Context(), dbtest.New(t), 2)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	e := newEdge(t)
	e.offers = NewOfferCache(store, e.keys)
	e.load(t)
	e.offers.views.strangers.SetLimit(0) // what there is, and no more
	answers := map[int]int{}
	for range strangersBurst + 20 {
		answers[e.get("/wall?viewId="+newID().String()).Code]++
	}
	require.Equal(t, map[int]int{http.StatusNotFound: strangersBurst, http.StatusServiceUnavailable: 20}, answers)
	require.Equal(t, http.StatusNotFound, e.get("/wall?viewId="+e.keys.NewID(e.at).String()).Code, "one that we made may be asked for")
	require.Equal(t, http.StatusNotFound, e.get("/c/"+newID().String()).Code, "links have a budget of their own")
	require.Empty(t, e.click)
}
