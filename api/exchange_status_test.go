package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Rule 69: a status that an edit names has its effect or is refused with what to use instead, whichever
// side says it and by whichever way. The goal's is the advertiser's (rule 57). As GET shows it, it may be sent back.
func TestRule69StatusOfASharedOffer(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	id := x.share(x.offer(nil), x.publisher).SharedOfferID
	for side, editor := range map[string]account{"advertiser": x.advertiser, "publisher": x.publisher} {
		path := offersOf(side)
		put := func(change map[string]any) *answer {
			var document map[string]any
			editor.get(path+"/"+id).into(http.StatusOK, &document)
			maps.Copy(document, change)
			return editor.with("If-Match", fmt.Sprint(document["version"])).put(path+"/"+id, document)
		}
		patch := func(change map[string]any) *answer { return editor.edit(id, change) }
		for _, edit := range []func(map[string]any) *answer{patch, put} {
			before, version := editor.sharedOffer(id)
			require.Equal(t, "Active", before["status"])
			edit(map[string]any{"status": "Active"}).into(http.StatusOK, nil)
			edit(map[string]any{"status": "Pending"}).refused(http.StatusBadRequest, "status")
			edit(map[string]any{"status": "Expired"}).refused(http.StatusBadRequest, "status")
			_, after := editor.sharedOffer(id)
			require.Equal(t, version, after, "nothing is made of them")
			edit(map[string]any{"status": "Pending", "isPaused": true}).into(http.StatusOK, nil)
			edit(map[string]any{"status": "Active"}).refused(http.StatusBadRequest, "status") // isPaused says otherwise
			edit(map[string]any{"status": "Active", "isPaused": false}).into(http.StatusOK, nil)
		}
		if side == "publisher" { // the goal's status is the advertiser's
			put(map[string]any{"status": "deleted", "goalStatus": nil}).refused(http.StatusForbidden, "goalStatus")
			patch(map[string]any{"status": "deleted"}).refused(http.StatusForbidden, "goalStatus")
			continue
		}
		put(map[string]any{"status": "deleted"}).refused(http.StatusBadRequest, "status") // goalStatus says otherwise
		put(map[string]any{"status": "deleted", "goalStatus": nil}).into(http.StatusOK, nil)
		var shown map[string]any
		patch(map[string]any{"status": "active"}).into(http.StatusOK, &shown)
		require.Equal(t, "active", shown["goalStatus"])
		patch(map[string]any{"status": "deleted"}).into(http.StatusOK, &shown)
		require.Equal(t, "deleted", shown["goalStatus"])
		require.Equal(t, "Active", shown["status"], "the offer's own")
		patch(map[string]any{"goalStatus": "active"}).into(http.StatusOK, nil)
	}
}
