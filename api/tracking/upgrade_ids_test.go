package tracking

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// What the release before has given out goes on working after the instant from which ids carry their
// kind: links, clicks and their cookies, views, postbacks whose answer is asked for later.
func TestIDsOfTheReleaseBeforeGoOnWorking(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	kindsFrom := e.at.Add(time.Hour)
	e.keys = e.keys.WithKindsFrom(kindsFrom)
	e.link.ID = e.keys.NewID(keyring.KindLink, e.at)
	conn := e.save(t)
	view := e.keys.NewID(keyring.KindView, e.at)
	_, err := conn.Exec(t.Context(), "INSERT INTO offer_views (tenant_id, id, offer_id, pub_member_id, params, created_at) VALUES ($1, $2, $3, 'anna', '', $4)",
		e.tenant.TenantID, view, e.offer.ID, e.at)
	require.NoError(t, err)

	link := "/c/" + e.link.ID.String()
	first := e.get(link)
	require.Equal(t, http.StatusFound, first.Code)
	early := e.lastClick().ID
	for _, kind := range []keyring.Kind{keyring.KindClick, keyring.KindLink} {
		require.True(t, e.keys.Genuine(kind, early), "a process of the release before accepts it")
		require.False(t, e.keys.HasKind(kind, early))
	}
	postback := e.keys.NewID(keyring.KindPostback, e.at)
	e.stored[postback] = domain.Answer{PostbackID: postback, Outcome: domain.OutcomeAccepted}

	e.at = kindsFrom.Add(time.Hour)
	e.offers = offercache.New(e.store, e.keys) // another process: it has not heard of the link
	require.Equal(t, http.StatusFound, e.get(link).Code)
	late := e.lastClick().ID
	require.True(t, e.keys.HasKind(keyring.KindClick, late))
	require.False(t, e.keys.Genuine(keyring.KindLink, late))
	require.Equal(t, http.StatusFound, e.get("/wall?viewId="+view.String()).Code)
	require.Equal(t, "anna", *e.lastClick().PubMemberID)
	require.Equal(t, http.StatusOK, e.get("/track/"+postback.String()).Code)
	for _, click := range []uuid.UUID{early, late} {
		require.Equal(t, http.StatusAccepted, e.get("/track?gk_click_id="+click.String()).Code)
		require.Equal(t, http.StatusOK, e.get("/aff_lsr", "Cookie", clickCookieName(e.offer.ID)+"="+click.String()).Code)
	}
	stray := e.keys.WithKindsFrom(e.at.AddDate(1, 0, 0)).NewID(keyring.KindClick, e.at)
	require.Equal(t, http.StatusNotFound, e.get("/track?gk_click_id="+stray.String()).Code, "of the old form, after the instant: forged")
}

func (e *edge) lastClick() domain.Click { return e.click[len(e.click)-1] }
