package api_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/outbound/mailbox"
)

type requested struct{ SharedOfferID, PartnershipID, Status string }

// request shares an offer with a publisher that accepts shares first.
func (x *exchange) request(offerID string, with account) (made requested) {
	x.t.Helper()
	with.put(exchangePath+"/profile", map[string]any{"acceptSharesFirst": true}).into(http.StatusOK, nil)
	x.advertiser.post(exchangePath+"/shares", map[string]any{"offerId": offerID, "publisherTenantId": with.id}).into(http.StatusCreated, &made)
	return made
}

// Rule 55: where the publisher asks for it a share waits until the publisher accepts it. Both see it, neither
// edits it; accepted, it is one row that both edit.
func TestRule55AShareIsAcceptedFirst(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(map[string]any{"name": "Coin Game"})
	var live requested
	x.advertiser.post(exchangePath+"/shares", map[string]any{"offerId": source, "publisherTenantId": x.second.id}).into(http.StatusCreated, &live)
	require.Equal(t, "active", live.Status, "nobody asked for more")
	body := map[string]any{"offerId": source, "publisherTenantId": x.publisher.id}
	x.publisher.put(exchangePath+"/profile", map[string]any{"acceptSharesFirst": true}).into(http.StatusOK, nil)
	var made, again requested
	keyed := x.advertiser.with("Idempotency-Key", "k")
	keyed.post(exchangePath+"/shares", body).into(http.StatusCreated, &made)
	require.Equal(t, "requested", made.Status)
	x.advertiser.post(exchangePath+"/shares", body).refused(http.StatusConflict, "publisherTenantId")
	id, path := made.SharedOfferID, partnershipsPath+"/"+made.PartnershipID

	for _, side := range []account{x.advertiser, x.publisher} {
		offer, version := side.sharedOffer(id)
		require.Equal(t, []any{"Pending", false, int64(1)}, []any{offer["status"], offer["isPaused"], version})
		for _, filter := range []string{"state=requested", "status=requested"} {
			var list page[partnership]
			side.get(partnershipsPath+"?filter."+filter).into(http.StatusOK, &list)
			require.Len(t, list.Items, 1)
			require.Equal(t, []any{made.PartnershipID, "requested", "requested"}, []any{list.Items[0].ID, list.Items[0].State, list.Items[0].Status})
		}
		side.edit(id, map[string]any{"headline": "Soon"}).refused(http.StatusConflict)
		side.propose(id, map[string]any{"headline": "Soon"}).refused(http.StatusConflict)
		for _, action := range []string{"pause", "resume"} {
			answer := side.send("PATCH", "/api/v1/sdk-offer-management/offers/"+id+"/"+action, nil)
			if action == "pause" {
				answer.refused(http.StatusConflict)
			}
		}
		_, version = side.sharedOffer(id)
		require.EqualValues(t, 1, version)
	}
	event := func() string {
		offer, _ := x.advertiser.sharedOffer(id)
		return offer["goalId"].(string)
	}()
	x.advertiser.post("/api/v1/offers/"+id+"/scheduled-changes", map[string]any{
		"field": "revenue", "eventId": event, "value": "3.25", "at": clocktest.Now().UTC().Add(48 * time.Hour).Format(time.RFC3339),
	}).refused(http.StatusConflict)
	var list page[shownOffer]
	x.publisher.get(offersOf("publisher")+"?filter.status=Active").into(http.StatusOK, &list)
	require.Zero(t, list.TotalCount)
	x.publisher.get(offersOf("publisher")+"?filter.status=Pending").into(http.StatusOK, &list)
	require.Equal(t, 1, list.TotalCount)

	stranger := x.member("Stranger", "publisher")
	for _, verb := range []string{"accept", "decline"} {
		x.advertiser.post(path+"/"+verb, map[string]any{}).refused(http.StatusConflict)
		for _, other := range []account{stranger, x.second} {
			other.post(path+"/"+verb, map[string]any{}).refused(http.StatusNotFound)
		}
		x.publisher.token("readonly").post(path+"/"+verb, map[string]any{}).refused(http.StatusForbidden)
	}

	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			var accepted partnership
			x.publisher.post(path+"/accept", nil).into(http.StatusOK, &accepted)
			require.Equal(t, []any{"active", "active"}, []any{accepted.State, accepted.Status})
		})
	}
	wait.Wait()
	keyed.post(exchangePath+"/shares", body).into(http.StatusCreated, &again)
	require.Equal(t, made, again, "the request is answered as it was")
	offer, version := x.advertiser.sharedOffer(id)
	require.Equal(t, []any{"Active", int64(2)}, []any{offer["status"], version})
	x.publisher.post(path+"/decline", map[string]any{"reason": "too late"}).refused(http.StatusConflict)
	x.publisher.edit(id, map[string]any{"headline": "Ours"}).into(http.StatusOK, nil)
	x.advertiser.edit(id, map[string]any{"headline": "Theirs"}).into(http.StatusOK, nil)

	for _, side := range []account{x.advertiser, x.publisher} {
		log := side.changes(id, "?filter.field=state")
		require.Equal(t, 2, log.TotalCount)
		require.Equal(t, []any{int64(2), "publisher", "requested", "active"},
			[]any{log.Items[0].Version, log.Items[0].Side, log.Items[0].Old, log.Items[0].New})
		require.Equal(t, []any{int64(1), "advertiser", nil, "requested"},
			[]any{log.Items[1].Version, log.Items[1].Side, log.Items[1].Old, log.Items[1].New})
		for state, by := range map[string]string{"requested": "advertiser", "active": "publisher"} {
			require.EqualValues(t, 1, x.count(`SELECT count(*) FROM outbox WHERE subject = $1 AND payload->'data'->>'offerId' = $2
				AND payload->'data'->>'state' = $3 AND payload->'data'->>'side' = $4`, "offerflow.live."+side.id, id, state, by), state)
		}
	}
	require.EqualValues(t, 1, x.count("SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND noun = 'partnership' AND action = 'accept'", x.publisher.id))
	require.Zero(t, x.count("SELECT count(*) FROM outbox WHERE subject LIKE 'offerflow.live.%' AND subject NOT LIKE '%' || $1 AND subject NOT LIKE '%' || $2 AND payload::text LIKE '%' || $3 || '%'", x.advertiser.id, x.publisher.id, id))
}

// Rules 55 and 60: a share that is declined, or taken back, is ended with its reason; it can be asked for anew.
func TestRule55AShareIsDeclined(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	source := x.offer(nil)
	first := x.request(source, x.publisher)
	path := partnershipsPath + "/" + first.PartnershipID
	x.publisher.post(path+"/decline", map[string]any{"reason": strings.Repeat("x", 1001)}).refused(http.StatusBadRequest, "reason")
	var declined, again partnership
	x.publisher.post(path+"/decline", map[string]any{"reason": "No demand"}).into(http.StatusOK, &declined)
	require.Equal(t, []any{"ended", "ended", "publisher", "No demand"}, []any{declined.State, declined.Status, *declined.EndedSide, declined.EndReason})
	x.publisher.post(path+"/decline", map[string]any{"reason": "Still none"}).into(http.StatusOK, &again)
	require.Equal(t, declined, again, "the first decision stands")
	x.publisher.post(path+"/accept", nil).refused(http.StatusConflict)
	offer, version := x.advertiser.sharedOffer(first.SharedOfferID)
	require.Equal(t, []any{"Expired", int64(2)}, []any{offer["status"], version})
	require.EqualValues(t, 2, x.count("SELECT count(*) FROM outbox WHERE subject LIKE 'offerflow.live.%' AND payload->'data'->>'state' = 'ended' AND payload->'data'->>'reason' = 'No demand'"))

	second := x.request(source, x.publisher)
	require.NotEqual(t, first, second)
	path = partnershipsPath + "/" + second.PartnershipID
	x.advertiser.post(path+"/end", map[string]any{"reason": "A mistake"}).into(http.StatusOK, &declined)
	require.Equal(t, []any{"ended", "advertiser"}, []any{declined.State, *declined.EndedSide})
	x.publisher.post(path+"/decline", nil).into(http.StatusOK, &again)
	require.Equal(t, "A mistake", again.EndReason)
	x.publisher.post(path+"/accept", nil).refused(http.StatusConflict)
}

// Rules 55 and 56: the other side hears by mail of a share that waits, and of what became of it.
func TestRule55MailsOfARequestedShare(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	box, err := mailbox.Open(mailbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = box.Close() })
	mailer, err := outbound.NewMailer("smtp://"+box.Addr()+"?starttls=never", "Offerflow <notices@example.com>")
	require.NoError(t, err)
	deliveries := delivery.NewDeliveries(x.store, x.api.Keys, nil, nil).WithMail(mailer, "https://offerflow.example")
	source := x.offer(map[string]any{"name": "Dice"})
	notice := func(made requested, version int64, side domain.Side) {
		t.Helper()
		require.EqualValues(t, 1, x.count(`SELECT count(*) FROM outbox WHERE payload->'partnership'->>'id' = $1 AND payload->>'version' = $2 AND payload->>'side' = $3`,
			made.PartnershipID, jsonText(version), string(side)), "the worker is told to write it")
		for range 2 {
			require.NoError(t, deliveries.NoticeOfEdit(t.Context(), uuid.MustParse(made.PartnershipID), version, side))
		}
		deliveries.Wait()
	}
	end := func(by account, made requested, verb string) {
		by.post(partnershipsPath+"/"+made.PartnershipID+"/"+verb, map[string]any{"reason": "Not now"}).into(http.StatusOK, nil)
	}
	first := x.request(source, x.publisher)
	notice(first, 1, domain.SideAdvertiser)
	end(x.publisher, first, "decline")
	notice(first, 2, domain.SidePublisher)
	second := x.request(source, x.publisher)
	end(x.publisher, second, "accept")
	notice(second, 2, domain.SidePublisher)
	third := x.request(source, x.second)
	end(x.advertiser, third, "end")
	notice(third, 2, domain.SideAdvertiser)
	end(x.advertiser, second, "end")
	notice(second, 3, domain.SideAdvertiser)

	var told []string
	for _, mail := range box.Mails() {
		told = append(told, mail.To[0]+": "+mail.Subject)
	}
	require.Equal(t, []string{
		"partners@example.com: Games Inc wants to share Dice with you",
		"ops@example.com: Coins declined your offer Dice",
		"ops@example.com: Coins accepted your offer Dice",
		"partners@example.com: Games Inc withdrew its offer Dice",
		"partners@example.com: Games Inc ended the partnership on Dice",
	}, told)
	require.Contains(t, box.Mails()[0].Text, "https://offerflow.example/api/v1/exchange/partnerships/"+first.PartnershipID)
	require.Contains(t, box.Mails()[1].Text, "Not now")
}

// Rule 55: who is blocked shares nothing, does not find the publisher, and is told no more than of one that
// is not listed. Others are not blocked; what was shared before goes on.
func TestRule55BlockedTenants(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	var shown struct {
		AcceptSharesFirst bool
		BlockedTenantIDs  []string
	}
	x.publisher.get(exchangePath+"/profile").into(http.StatusOK, &shown)
	require.False(t, shown.AcceptSharesFirst)
	require.Equal(t, []string{}, shown.BlockedTenantIDs)
	before := x.share(x.offer(nil), x.publisher)
	source := x.offer(nil)
	body := map[string]any{"offerId": source, "publisherTenantId": x.publisher.id}
	other := x.member("Studio", "advertiser")
	blocked := []string{x.advertiser.id, uuid.NewString(), x.advertiser.id}
	x.publisher.put(exchangePath+"/profile", map[string]any{"blockedTenantIds": blocked, "acceptSharesFirst": true}).into(http.StatusOK, &shown)
	want := slices.Sorted(slices.Values(blocked[:2]))
	require.Equal(t, want, shown.BlockedTenantIDs, "each once, whether there is such a tenant or not")
	x.publisher.put(exchangePath+"/profile", map[string]any{"description": "More players"}).into(http.StatusOK, &shown)
	require.Equal(t, want, shown.BlockedTenantIDs, "what is left out stays")
	require.True(t, shown.AcceptSharesFirst)

	refused := x.advertiser.post(exchangePath+"/shares", body).refused(http.StatusBadRequest, "publisherTenantId")
	hidden := x.advertiser.post(exchangePath+"/shares", map[string]any{"offerId": source, "publisherTenantId": uuid.NewString()}).refused(http.StatusBadRequest, "publisherTenantId")
	require.Equal(t, hidden.Errors, refused.Errors)
	finds := func(who account) (names []string) {
		var list page[listed]
		who.get(exchangePath+"/directory?orderby=name&order_asc=true").into(http.StatusOK, &list)
		for _, entry := range list.Items {
			names = append(names, entry.Name)
		}
		return names
	}
	require.Equal(t, []string{"Prizes"}, finds(x.advertiser))
	require.Equal(t, []string{"Coins", "Prizes"}, finds(other))
	x.advertiser.edit(before.SharedOfferID, map[string]any{"headline": "Goes on"}).into(http.StatusOK, nil)
	for _, ids := range []any{[]string{x.publisher.id}, []string{"x"}} {
		x.publisher.put(exchangePath+"/profile", map[string]any{"blockedTenantIds": ids}).refused(http.StatusBadRequest, "blockedTenantIds[0]")
	}
	x.publisher.put(exchangePath+"/profile", map[string]any{"blockedTenantIds": nil}).into(http.StatusOK, &shown)
	require.Equal(t, []string{}, shown.BlockedTenantIDs)
	x.advertiser.post(exchangePath+"/shares", body).into(http.StatusCreated, nil)
}
