package api

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// Rules 46 and 55: a share that waits to be accepted is not on the publisher's wall, and its link goes along
// the chain; accepted it is there, with the link that it had.
func TestRule55ARequestedShareIsNotLive(t *testing.T) {
	t.Parallel()
	f := newSharedFront(t, nil)
	f.advertiser.call(http.MethodPost, exchangeRoutes+"partnerships/"+f.partnership.ID.String()+"/end", map[string]any{"reason": "anew"}, 200, nil)
	f.publisher.call(http.MethodPut, exchangeRoutes+"profile", map[string]any{"acceptSharesFirst": true}, 200, nil)
	f.share()
	onTheWall := func() (ids []uuid.UUID) {
		var list struct{ Items []struct{ ID uuid.UUID } }
		f.publisher.call(http.MethodGet, wallPath+"?pub_member_id=ada", nil, 200, &list)
		for _, item := range list.Items {
			ids = append(ids, item.ID)
		}
		return ids
	}
	f.publisher.hear()
	require.Empty(t, onTheWall())
	location, click := f.clicked(f.link)
	require.Equal(t, "publisher.example", location.Host, "the chain, not the destination")
	require.Equal(t, domain.ReasonOfferInactive, click.RefusedReason)

	f.publisher.call(http.MethodPost, exchangeRoutes+"partnerships/"+f.partnership.ID.String()+"/accept", nil, 200, nil)
	f.publisher.hear()
	require.Equal(t, []uuid.UUID{f.partnership.OfferID}, onTheWall())
	location, click = f.clicked(f.link)
	require.Equal(t, "adv.example", location.Host)
	require.Empty(t, click.RefusedReason)
	require.NotEqual(t, uuid.Nil, f.converted(click.ID))

	// One that is declined never becomes live.
	f.advertiser.call(http.MethodPost, exchangeRoutes+"partnerships/"+f.partnership.ID.String()+"/end", map[string]any{"reason": "anew"}, 200, nil)
	f.share()
	f.publisher.call(http.MethodPost, exchangeRoutes+"partnerships/"+f.partnership.ID.String()+"/decline", map[string]any{}, 200, nil)
	f.publisher.hear()
	require.Empty(t, onTheWall())
	location, _ = f.clicked(f.link)
	require.Equal(t, "publisher.example", location.Host)
}
