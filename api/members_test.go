package api_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
)

// memberOffer is the tests' own reading of a member's offer.
type memberOffer struct {
	OfferID, OfferName, Progress string
	StartedAt, LastClickAt       time.Time
	Events                       []struct {
		EventID, Name, Status, Reason string
		Reward                        *string
		ReleaseAt, HeldUntil          *time.Time
		Completions                   int
	}
}

func (b *book) memberOffers(member string) (out page[memberOffer]) {
	b.t.Helper()
	b.me.get("/api/v1/members/"+url.PathEscape(member)+"/offers").into(http.StatusOK, &out)
	return out
}

func TestMemberOffers(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	other := b.addOffer("Second")
	b.click("anna", func(c *domain.Click) { c.OfferID, c.AdvertiserID = other.ID, other.AdvertiserID })
	click := b.click("anna")
	b.click("anna", func(c *domain.Click) { c.RefusedReason = domain.ReasonOutOfTarget })
	require.Equal(t, domain.OutcomeHeld, b.postback(click, eventLevel).Outcome)

	offers := b.memberOffers("anna")
	require.Equal(t, 2, offers.TotalCount)
	events := offers.Items[0].Events
	require.Equal(t, []string{b.offer.ID.String(), "=Coin Game", "InProgress"}, []string{offers.Items[0].OfferID, offers.Items[0].OfferName, offers.Items[0].Progress})
	require.Equal(t, []string{eventInstall, eventLevel, eventBuy}, []string{events[0].EventID, events[1].EventID, events[2].EventID})
	require.Equal(t, []string{"not_started", "not_started", "not_started"}, []string{events[0].Status, events[1].Status, events[2].Status})
	require.Equal(t, []string{"100.00", "200.00", "300.00"}, []string{*events[0].Reward, *events[1].Reward, *events[2].Reward})
	require.NotNil(t, events[1].HeldUntil)
	require.Nil(t, events[0].HeldUntil)

	b.postback(click, eventInstall)
	buy := b.postback(click, eventBuy)
	b.me.review("reject", nil, *buy.ConversionID)
	events = b.memberOffers("anna").Items[0].Events
	require.Equal(t, []string{"success", "pending", "rejected"}, []string{events[0].Status, events[1].Status, events[2].Status})
	require.Equal(t, 1, events[0].Completions)
	require.WithinDuration(t, clocktest.Now().Add(72*time.Hour), *events[1].ReleaseAt, time.Minute)
	require.Nil(t, events[1].HeldUntil)
	require.Equal(t, "manual", events[2].Reason)

	b.me.review("approve", nil, *buy.ConversionID)
	var balance struct{ Points, PendingPoints string }
	b.me.token("readonly").get("/api/v1/members/anna/balance").into(http.StatusOK, &balance)
	require.Equal(t, []string{"400.00", "200.00"}, []string{balance.Points, balance.PendingPoints})
	require.Equal(t, "InProgress", b.memberOffers("anna").Items[0].Progress)

	b.exec("UPDATE clicks SET session_ends_at = now() - interval '1 day'")
	byName := map[string]string{}
	for _, item := range b.memberOffers("anna").Items {
		byName[item.OfferName] = item.Progress
	}
	require.Equal(t, map[string]string{"=Coin Game": "InProgress", "Second": "Expired"}, byName, "a pending one is still under way")
}

func TestFinishedOffer(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	click := b.click("anna")
	for _, event := range []string{eventInstall, eventLevel, eventBuy} {
		b.me.review("approve", nil, *b.postback(click, event).ConversionID)
	}
	require.Equal(t, "Finished", b.memberOffers("anna").Items[0].Progress)
}

// A member's id is any text of the publisher's.
func TestMemberIDs(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	for _, member := range []string{"a/b", "a+b", "a+b/c d", "user@example.com", "Zoë 😀", "100%", "..", "?x=1#y", "a%2Fb", "x;y=z,&", "ledger"} {
		path := "/api/v1/members/" + url.PathEscape(member)
		if member == ".." {
			path = "/api/v1/members/%2E%2E"
		}
		b.converted(member, eventInstall)
		var balance struct{ Points string }
		b.me.get(path+"/balance").into(http.StatusOK, &balance)
		require.Equal(t, "100.00", balance.Points, member)
		var offers page[memberOffer]
		b.me.get(path+"/offers").into(http.StatusOK, &offers)
		require.Equal(t, 1, offers.TotalCount, member)
		var ledger page[struct{ Points, OfferName, EventID, ConversionID string }]
		b.me.get(path+"/ledger").into(http.StatusOK, &ledger)
		require.Equal(t, 1, ledger.TotalCount, member)
		require.Equal(t, "100.00", ledger.Items[0].Points)
		require.Equal(t, []string{"=Coin Game", eventInstall}, []string{ledger.Items[0].OfferName, ledger.Items[0].EventID})
	}
	var balance struct{ Points, PendingPoints string }
	b.me.get("/api/v1/members/nobody/balance").into(http.StatusOK, &balance)
	require.Equal(t, []string{"0.00", "0.00"}, []string{balance.Points, balance.PendingPoints})
	b.me.get("/api/v1/members/%00/balance").into(http.StatusOK, &balance)
	_, stranger := b.tenant("Stranger")
	stranger.get("/api/v1/members/a%2Fb/balance").into(http.StatusOK, &balance)
	require.Equal(t, "0.00", balance.Points)
	var none page[memberOffer]
	stranger.get("/api/v1/members/a%2Fb/offers").into(http.StatusOK, &none)
	require.Zero(t, none.TotalCount)
}

// Rule 72: members that differ in bytes that are no text are two, wherever they are looked up.
func TestRule72MemberIDs(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	for _, member := range []string{"Jos\xe9", "bytes:Jos%E8"} {
		b.converted(domain.StoredText(member), eventInstall)
	}
	for path, points := range map[string]string{"Jos%E9": "100.00", "Jos%E8": "0.00", "bytes:Jos%25E8": "100.00", "bytes:Jos%25E9": "0.00", "Jos%EF%BF%BD": "0.00"} {
		var balance struct{ Points string }
		b.me.get("/api/v1/members/"+path+"/balance").into(http.StatusOK, &balance)
		require.Equal(t, points, balance.Points, path)
	}
}

func TestReversedRewardInTheLedger(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	b.me.review("reverse", nil, b.converted("anna", eventInstall))
	var ledger page[struct {
		Points   string
		Sequence int
	}]
	b.me.get("/api/v1/members/anna/ledger?order_asc=true").into(http.StatusOK, &ledger)
	require.Len(t, ledger.Items, 2)
	require.Equal(t, []string{"100.00", "-100.00"}, []string{ledger.Items[0].Points, ledger.Items[1].Points})
	require.Equal(t, 2, ledger.Items[1].Sequence)
}
