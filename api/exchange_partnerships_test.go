package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const partnershipsPath = exchangePath + "/partnerships"

type partnership struct {
	ID, OfferID, OfferName, Side, OtherTenantID, OtherTenantName, State, Status, EndReason string
	SourceOfferID, EndedAt, EndedSide                                                      *string
}

// Rule 60: one offer with two publishers is two partnerships; each publisher sees its own, the
// advertiser both, a fourth tenant none.
func TestRule60PartnershipsApart(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(map[string]any{"name": "Coin Game"})
	coins, prizes := x.share(source, x.publisher), x.share(source, x.second)
	require.NotEqual(t, coins.SharedOfferID, prizes.SharedOfferID)

	var seen partnership
	x.publisher.get(partnershipsPath+"/"+coins.PartnershipID).into(http.StatusOK, &seen)
	require.Equal(t, partnership{
		ID: coins.PartnershipID, OfferID: coins.SharedOfferID, OfferName: "Coin Game", Side: "publisher",
		OtherTenantID: x.advertiser.id, OtherTenantName: "Games Inc", State: "active", Status: "active",
	}, seen, "what the offer was made from is not the publisher's to know")
	x.advertiser.get(partnershipsPath+"/"+coins.PartnershipID).into(http.StatusOK, &seen)
	require.Equal(t, partnership{
		ID: coins.PartnershipID, OfferID: coins.SharedOfferID, OfferName: "Coin Game", Side: "advertiser", SourceOfferID: &source,
		OtherTenantID: x.publisher.id, OtherTenantName: "Coins", State: "active", Status: "active",
	}, seen)

	stranger := x.member("Stranger", "publisher")
	for _, c := range []struct {
		who   account
		query string
		ids   []string
	}{
		{x.advertiser, "", []string{coins.PartnershipID, prizes.PartnershipID}},
		{x.advertiser, "?filter.otherTenantId=" + x.second.id, []string{prizes.PartnershipID}},
		{x.advertiser, "?filter.sourceOfferId=" + source + "&filter.state=active&filter.side=advertiser&filter.offerName=coin", []string{coins.PartnershipID, prizes.PartnershipID}},
		{x.advertiser, "?filter.state=ended", nil},
		{x.publisher, "", []string{coins.PartnershipID}}, {x.second, "", []string{prizes.PartnershipID}}, {stranger, "", nil},
		{x.publisher, "?filter.sourceOfferId=" + source, nil}, {x.publisher, "?filter.offerId=" + prizes.SharedOfferID, nil},
	} {
		var list page[partnership]
		c.who.get(partnershipsPath+c.query).into(http.StatusOK, &list)
		var ids []string
		for _, p := range list.Items {
			ids = append(ids, p.ID)
		}
		require.ElementsMatch(t, c.ids, ids, c.query)
	}
	for _, who := range []account{stranger, x.second} {
		who.get(partnershipsPath + "/" + coins.PartnershipID).refused(http.StatusNotFound)
		who.post(partnershipsPath+"/"+coins.PartnershipID+"/end", map[string]any{"reason": "x"}).refused(http.StatusNotFound)
	}
}

// Rule 60: either side ends it, the first end stands, and both go on reading what was.
func TestRule60End(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(nil)
	made := x.share(source, x.publisher)
	path := partnershipsPath + "/" + made.PartnershipID
	for _, reason := range []any{"", " ", strings.Repeat("x", 1001), nil} {
		x.publisher.post(path+"/end", map[string]any{"reason": reason}).refused(http.StatusBadRequest, "reason")
	}
	x.publisher.post(path+"/end", map[string]any{}).refused(http.StatusBadRequest, "reason")

	var first, again, shown partnership
	x.publisher.post(path+"/end", map[string]any{"reason": "No demand"}).into(http.StatusOK, &first)
	require.Equal(t, []any{"ended", "publisher", "No demand"}, []any{first.State, *first.EndedSide, first.EndReason})
	x.advertiser.post(path+"/end", map[string]any{"reason": "Me too"}).into(http.StatusOK, &again)
	require.Equal(t, []any{*first.EndedAt, "publisher", "No demand"}, []any{*again.EndedAt, *again.EndedSide, again.EndReason})
	require.EqualValues(t, 2, x.count("SELECT version FROM offers WHERE id = $1", made.SharedOfferID))
	require.EqualValues(t, 1, x.count("SELECT count(*) FROM offer_changes WHERE offer_id = $1 AND field = 'expirationDate' AND side = 'publisher'", made.SharedOfferID))
	require.EqualValues(t, 2, x.count("SELECT count(*) FROM outbox WHERE subject LIKE 'offerflow.live.%' AND payload->'data'->>'state' = 'ended'"))

	for _, at := range []struct {
		account
		product string
	}{{x.publisher, "publisher"}, {x.advertiser, "advertiser"}} {
		var offer shownOffer
		at.get(offersOf(at.product)+"/"+made.SharedOfferID).into(http.StatusOK, &offer)
		require.Equal(t, "Expired", offer.Status)
		require.NotEmpty(t, offer.RedirectLink)
		at.get(path).into(http.StatusOK, &shown)
		require.Equal(t, "ended", shown.State)
		at.send("PATCH", "/api/v1/sdk-offer-management/offers/"+made.SharedOfferID+"/pause", nil).refused(http.StatusConflict)
	}
	var after, another requested
	x.advertiser.post(exchangePath+"/shares", map[string]any{"offerId": source, "publisherTenantId": x.publisher.id}).into(http.StatusCreated, &after)
	require.NotEqual(t, made.SharedOfferID, after.SharedOfferID, "an offer is shared with a publisher once at a time")
	require.Equal(t, "requested", after.Status, "what the publisher ended does not begin again unasked, whatever its profile says (rule 55)")
	x.advertiser.post(exchangePath+"/shares", map[string]any{"offerId": x.offer(nil), "publisherTenantId": x.publisher.id}).into(http.StatusCreated, &another)
	require.Equal(t, "active", another.Status, "another offer was never ended")
	x.advertiser.post(exchangePath+"/shares", map[string]any{"offerId": source, "publisherTenantId": x.second.id}).into(http.StatusCreated, &another)
	require.Equal(t, "active", another.Status, "another publisher ended nothing")
	x.publisher.post(partnershipsPath+"/"+after.PartnershipID+"/accept", nil).into(http.StatusOK, &shown)
	require.Equal(t, "active", shown.State)
}

// Rule 60: both sides at the same instant give one end.
func TestRule60EndAtTheSameInstant(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	made := x.share(x.offer(nil), x.publisher)
	var wait sync.WaitGroup
	ends := make([]partnership, 8)
	for i := range ends {
		who := []account{x.advertiser, x.publisher}[i%2]
		wait.Go(func() {
			who.post(partnershipsPath+"/"+made.PartnershipID+"/end", map[string]any{"reason": uuid.NewString()}).into(http.StatusOK, &ends[i])
		})
	}
	wait.Wait()
	for _, end := range ends {
		require.Equal(t, []any{ends[0].EndReason, ends[0].EndedAt, ends[0].EndedSide}, []any{end.EndReason, end.EndedAt, end.EndedSide})
	}
	require.EqualValues(t, 2, x.count("SELECT version FROM offers WHERE id = $1", made.SharedOfferID))
}
