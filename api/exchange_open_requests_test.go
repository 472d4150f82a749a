package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Rule 58: what waits for the advertiser's review is one list over all conversions, for both sides; a request
// is answered when its conversion moves. Another tenant sees nothing of it.
func TestRule58OpenRequestsAreAList(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	first, second := b.converted("anna", eventInstall), b.converted("ben", eventInstall)
	for _, id := range []uuid.UUID{first, second} {
		b.publisher.post(requestsOf(id), map[string]any{"action": "reverse", "reason": "a bot"}).into(http.StatusCreated, nil)
	}
	type asked struct {
		ConversionID, State, Side, OtherTenantName, OfferID, Status, By, Action, Reason string
	}
	list := func(who *caller, filter string) (found page[asked]) {
		who.get("/api/v1/exchange/requests?"+filter).into(http.StatusOK, &found)
		return found
	}
	for side, who := range map[string]*caller{"advertiser": b.me, "publisher": b.publisher} {
		found := list(who, "filter.state=open")
		require.Equal(t, 2, found.TotalCount)
		require.Equal(t, []string{second.String(), first.String()}, []string{found.Items[0].ConversionID, found.Items[1].ConversionID})
		require.Equal(t, []string{"open", side, b.partnership.OfferID.String(), "Success", "reverse", "a bot"},
			[]string{found.Items[0].State, found.Items[0].Side, found.Items[0].OfferID, found.Items[0].Status, found.Items[0].Action, found.Items[0].Reason})
		require.NotEmpty(t, found.Items[0].OtherTenantName)
		require.Len(t, who.csv("/api/v1/exchange/requests?filter.state=open"), 3)
	}
	b.me.post(reviewPath, map[string]any{"action": "reverse", "ids": []uuid.UUID{first}}).into(http.StatusOK, nil)
	open := list(b.me, "filter.state=open")
	require.Equal(t, []any{1, second.String()}, []any{open.TotalCount, open.Items[0].ConversionID})
	answered := list(b.me, "filter.state=answered")
	require.Equal(t, []any{1, first.String(), "Rejected"}, []any{answered.TotalCount, answered.Items[0].ConversionID, answered.Items[0].Status})
	_, stranger := b.tenant("Stranger")
	require.Zero(t, list(stranger, "").TotalCount)
	b.me.get("/api/v1/exchange/requests?filter.state=waiting").refused(http.StatusBadRequest, "filter.state")
}

// Who did what is read by people: tokens are called by their names, those that were revoked too; programs
// still find the id.
func TestLogsNameTokens(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	var token struct{ ID, Token string }
	b.me.post("/api/v1/tokens", map[string]any{"name": "Month end", "scope": "finance"}).into(http.StatusCreated, &token)
	finance := b.as(token.Token)
	id := b.converted("anna", eventInstall)
	finance.post(reviewPath, map[string]any{"action": "reverse", "ids": []uuid.UUID{id}, "reason": "a bot"}).into(http.StatusOK, nil)
	finance.post(reviewPath, map[string]any{"action": "approve", "filter": map[string]any{"status": "Rejected"}}).into(http.StatusAccepted, nil)
	b.me.send(http.MethodDelete, "/api/v1/tokens/"+token.ID, nil)

	var shown struct {
		History []struct{ Actor, ActorName string }
	}
	b.me.get("/api/v1/conversions/"+id.String()).into(http.StatusOK, &shown)
	require.Equal(t, []string{"postback", "postback"}, []string{shown.History[0].Actor, shown.History[0].ActorName})
	require.Equal(t, []string{"token " + token.ID, "token Month end"}, []string{shown.History[1].Actor, shown.History[1].ActorName})
	var log page[struct{ Actor, ActorName string }]
	b.me.get("/api/v1/audit?filter.noun=conversion").into(http.StatusOK, &log)
	require.Equal(t, "token Month end", log.Items[0].ActorName)
	var jobs page[struct{ CreatedBy, CreatedByName string }]
	b.me.get("/api/v1/jobs").into(http.StatusOK, &jobs)
	require.Equal(t, []string{"token " + token.ID, "token Month end"}, []string{jobs.Items[0].CreatedBy, jobs.Items[0].CreatedByName})
	rows := b.me.csv("/api/v1/audit?filter.noun=conversion")
	require.Equal(t, "token Month end", rows.byName(1)["actorName"])

	// The other side cannot look up the name: it reads it.
	asking := b.publisher.token("management")
	asking.post(requestsOf(id), map[string]any{"action": "reverse", "reason": "a bot"}).into(http.StatusCreated, nil)
	var asked page[askedRequest]
	b.me.get(requestsOf(id)).into(http.StatusOK, &asked)
	require.Equal(t, "Publisher (token management)", asked.Items[0].By)

	x := newExchange(t)
	made := x.share(x.offer(nil), x.publisher)
	x.publisher.token("management").edit(made.SharedOfferID, map[string]any{"headline": "Ours"}).into(http.StatusOK, nil)
	require.Contains(t, x.advertiser.changes(made.SharedOfferID, "").Items[0].By, "(token management)")
}
