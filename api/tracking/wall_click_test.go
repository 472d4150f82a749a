package tracking

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// newEdgeWithoutDatabase is an edge with its offer in memory, and the database away.
func newEdgeWithoutDatabase(t *testing.T) *edge {
	t.Helper()
	store, err := db.Open(t.Context(), dbtest.New(t), 2)
	require.NoError(t, err)
	store.Close()
	e := newEdge(t)
	e.offers = offercache.New(store, e.keys)
	e.load(t)
	return e
}

// With the database away a click that needs its view waits, for it would lose the member; one that names
// offer and member does not need it.
func TestClickByViewWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	e := newEdgeWithoutDatabase(t)
	view, offer := "viewId="+e.keys.NewID(keyring.KindView, e.at).String(), "offerId="+e.offer.ID.String()
	for _, query := range []string{view, offer + "&" + view} {
		w := e.get("/wall?" + query)
		require.Equal(t, http.StatusServiceUnavailable, w.Code, query)
		require.NotEmpty(t, w.Header().Get("Retry-After"))
	}
	require.Empty(t, e.click)
	require.Equal(t, http.StatusFound, e.get("/wall?"+offer+"&pub_member_id=m&"+view).Code)
	require.Equal(t, http.StatusFound, e.get("/wall?"+offer).Code)
}

// Rule 45: what targeting asks for and the address leaves out is the view's to say, so that only a click
// that says it all does without.
func TestRule45ClickByViewAsksForWhatTargetingNeeds(t *testing.T) {
	t.Parallel()
	e, age := newEdgeWithoutDatabase(t), 18
	for needed, targeting := range map[string]domain.Targeting{
		"pub_gender=female": {Genders: []string{"female"}}, "pub_age=20": {MinAge: &age}, "pub_age=8": {MaxAge: &age},
		"pub_geo_country=DE": {Countries: []string{"DE"}}, "pub_geo_country=US&pub_geo_state=US-CA": {States: []string{"US-CA"}},
		"pub_postal_code=10115": {ZipCodes: []string{"10115"}}, "pub_device=IOS": {Devices: []string{domain.DeviceIOS}},
	} {
		e.offer.Targeting, e.offer.Version, e.click = targeting, e.offer.Version+1, nil
		e.load(t)
		query := "/wall?offerId=" + e.offer.ID.String() + "&pub_member_id=m&viewId=" + e.keys.NewID(keyring.KindView, e.at).String()
		require.Equal(t, http.StatusServiceUnavailable, e.get(query).Code, needed)
		require.Empty(t, e.click, needed)
		require.Equal(t, http.StatusFound, e.get(query+"&"+needed).Code, needed)
	}
}

// An id that we did not mint is no view: it is not looked up, whatever the address names besides, and
// costs those that are none of their look-ups.
func TestClicksByStrangersViewsAskNobody(t *testing.T) {
	t.Parallel()
	e := newEdgeWithoutDatabase(t)
	for range 2 * lookup.IDMissesEach.Burst {
		require.Equal(t, http.StatusNotFound, e.get("/wall?viewId="+uuid.Must(uuid.NewV7()).String()).Code)
	}
	require.Empty(t, e.click)
	for range 2 * lookup.IDMissesEach.Burst {
		require.Equal(t, http.StatusFound, e.get("/wall?offerId="+e.offer.ID.String()+"&viewId="+uuid.Must(uuid.NewV7()).String()).Code)
	}
}
