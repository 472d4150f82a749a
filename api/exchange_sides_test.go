package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
)

// Rules 14 and 57: an early event of a shared offer waits in the advertiser's book, and the publisher's
// member is shown that it does. Nobody else's waiting events are among them.
func TestRule14WhatWaitsOfASharedOffer(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	own := b.addOffer("Own")
	ofOwn := func(c *domain.Click) { c.OfferID, c.AdvertiserID = own.ID, own.AdvertiserID }
	level := func(c *caller, member string) (until []*time.Time) {
		var offers page[memberOffer]
		c.get("/api/v1/members/"+member+"/offers").into(http.StatusOK, &offers)
		for _, offer := range offers.Items {
			require.Equal(t, eventLevel, offer.Events[1].EventID)
			require.Nil(t, offer.Events[0].HeldUntil)
			until = append(until, offer.Events[1].HeldUntil)
		}
		return until
	}
	b.click("ben")
	click := b.click("anna")
	require.Equal(t, domain.OutcomeHeld, b.postback(b.book.click("ben", ofOwn), eventLevel).Outcome, "the advertiser's own member of the same name")
	require.Equal(t, []*time.Time{nil}, level(b.publisher, "anna"))
	require.Equal(t, domain.OutcomeHeld, b.postback(click, eventLevel).Outcome)

	held := level(b.publisher, "anna")
	require.Len(t, held, 1)
	require.NotNil(t, held[0])
	require.WithinDuration(t, clocktest.Now().Add(time.Hour), *held[0], time.Minute)
	require.Equal(t, []*time.Time{nil}, level(b.publisher, "ben"))
	require.Empty(t, level(b.me, "anna"), "rule 57: the members are the publisher's")
	require.NotNil(t, level(b.me, "ben")[0], "of an offer of one's own as before")

	b.copied(*b.postback(click, eventInstall).ConversionID)
	require.Equal(t, []*time.Time{nil}, level(b.publisher, "anna"), "decided")
}

// Rule 57: what a partner gets is the publisher's to say, whose partners they are.
func TestRule57CustomPayoutsAreThePublishers(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(multiEvent())
	id := x.share(source, x.publisher).SharedOfferID
	body := func(of account, offerID string) map[string]any {
		return map[string]any{"partnerId": of.partner, "offerId": offerID, "flat": "1"}
	}
	x.advertiser.post(payoutsPath, body(x.advertiser, id)).refused(http.StatusForbidden, "offerId")
	x.advertiser.post(payoutsPath, body(x.advertiser, source)).into(http.StatusCreated, nil)
	x.publisher.post(payoutsPath, body(x.publisher, id)).into(http.StatusCreated, nil)
	x.publisher.post(payoutsPath, body(x.publisher, source)).refused(http.StatusBadRequest, "offerId")
}
