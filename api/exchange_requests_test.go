package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

type askedRequest struct{ ID, PartnershipID, ConversionID, Action, Reason, By string }

func requestsOf(id uuid.UUID) string {
	return "/api/v1/exchange/conversions/" + id.String() + "/requests"
}

// Rule 58: the publisher may ask, not decide. Both sides see what was asked; the conversion stays.
func TestRule58ThePublisherMayAsk(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	id := b.converted("anna", eventInstall)
	var made askedRequest
	b.publisher.post(requestsOf(id), map[string]any{"action": "reverse", "reason": " a bot\nsee <b>ticket</b> "}).into(http.StatusCreated, &made)
	require.Equal(t, []string{b.partnership.ID.String(), id.String(), "reverse", "a bot\nsee <b>ticket</b>"},
		[]string{made.PartnershipID, made.ConversionID, made.Action, made.Reason})
	require.True(t, strings.HasPrefix(made.By, "Publisher (token "), made.By)
	for _, side := range []*caller{b.me, b.publisher, b.me.token("readonly")} {
		var page struct{ Items []askedRequest }
		side.get(requestsOf(id)).into(http.StatusOK, &page)
		require.Equal(t, []askedRequest{made}, page.Items)
		var shown struct{ Status string }
		side.get("/api/v1/conversions/"+id.String()).into(http.StatusOK, &shown)
		require.Equal(t, "Success", shown.Status)
	}
	require.Equal(t, []int{1, 1}, []int{b.asked(stream.SubjectExchange), b.asked(stream.SubjectLive + b.tenantID.String())})
	require.Equal(t, 1, b.asked(stream.SubjectLive+b.publisherID.String()))
	var audited struct{ TotalCount int }
	b.publisher.get("/api/v1/audit?filter.action=ask&filter.nounId="+id.String()).into(http.StatusOK, &audited)
	require.Equal(t, 1, audited.TotalCount)
	b.me.get("/api/v1/audit?filter.action=ask").into(http.StatusOK, &audited)
	require.Zero(t, audited.TotalCount, "it is the publisher's act")
}

// asked counts what lies in the outbox of a subject about requests.
func (b *sharedBook) asked(subject string) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.store.SystemPool().QueryRow(b.t.Context(),
		`SELECT count(*) FROM outbox WHERE subject = $1 AND (payload ? 'requestId' OR payload->>'kind' = 'request')`, subject).Scan(&n))
	return n
}

func TestRule58WhatCannotBeAsked(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	id := b.converted("anna", eventInstall)
	own := *b.postback(b.book.click("ben", func(c *domain.Click) {
		offer := b.addOffer("Own")
		c.OfferID, c.AdvertiserID = offer.ID, offer.AdvertiserID
	}), eventInstall).ConversionID
	body := map[string]any{"action": "reverse", "reason": "a bot"}
	b.me.post(requestsOf(id), body).refused(http.StatusConflict)
	b.publisher.post(requestsOf(id), map[string]any{"action": "approve", "reason": "please"}).refused(http.StatusConflict)
	b.publisher.post(requestsOf(id), map[string]any{"action": "reject", "reason": "please"}).refused(http.StatusConflict)
	b.me.post(requestsOf(own), body).refused(http.StatusNotFound)
	b.me.get(requestsOf(own)).refused(http.StatusNotFound)
	b.publisher.post(requestsOf(own), body).refused(http.StatusNotFound)
	b.publisher.get(requestsOf(uuid.New())).refused(http.StatusNotFound)
	_, stranger := b.tenant("Stranger")
	stranger.post(requestsOf(id), body).refused(http.StatusNotFound)
	stranger.get(requestsOf(id)).refused(http.StatusNotFound)
	b.publisher.token("readonly").post(requestsOf(id), body).refused(http.StatusForbidden)
	for field, wrong := range map[string]map[string]any{
		"action": {"action": "release", "reason": "x"}, "reason": {"action": "reverse", "reason": " "},
	} {
		b.publisher.post(requestsOf(id), wrong).refused(http.StatusBadRequest, field)
	}
	b.publisher.post(requestsOf(id), map[string]any{"action": "reverse", "reason": strings.Repeat("x", 1001)}).refused(http.StatusBadRequest, "reason")
	b.publisher.post(requestsOf(id), map[string]any{"action": "reverse", "reason": "a\x00b"}).refused(http.StatusBadRequest, "reason")
	require.Zero(t, b.asked(stream.SubjectExchange))
}

// Rule 58: an ask that stands is not repeated, whatever its reason and by however many at once; once the
// conversion has moved it may be made again. Each is a mail to the advertiser.
func TestRule58AnAskThatStandsIsNotRepeated(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	id := b.synced("anna", eventInstall)
	ask := func(action, reason string) *answer {
		return b.publisher.post(requestsOf(id), map[string]any{"action": action, "reason": reason})
	}
	var together sync.WaitGroup
	var made, refused atomic.Int32
	for i := range 8 {
		together.Go(func() {
			switch answer := ask("reverse", fmt.Sprint("reason ", i)); answer.status {
			case http.StatusCreated:
				made.Add(1)
			case http.StatusConflict:
				refused.Add(1)
			default:
				t.Errorf("answer %d %s", answer.status, answer.body)
			}
		})
	}
	together.Wait()
	require.Equal(t, []int32{1, 7}, []int32{made.Load(), refused.Load()})
	var page struct{ Items []askedRequest }
	b.publisher.get(requestsOf(id)).into(http.StatusOK, &page)
	require.Len(t, page.Items, 1)
	problem := ask("reverse", "once more")
	problem.refused(http.StatusConflict)
	require.Contains(t, string(problem.body), page.Items[0].ID, "the one that stands is named")
	require.Equal(t, 1, b.asked(stream.SubjectExchange))

	b.move(id, "reverse")
	ask("reverse", "it is gone").refused(http.StatusConflict)
	ask("approve", "it was none").into(http.StatusCreated, &askedRequest{})
	ask("approve", "it was none").refused(http.StatusConflict)
	b.move(id, "approve")
	ask("reverse", "it is one after all").into(http.StatusCreated, &askedRequest{})
	require.Equal(t, 3, b.asked(stream.SubjectExchange))
}

// move is a review of the advertiser's, and its sync.
func (b *sharedBook) move(id uuid.UUID, action string) {
	b.t.Helper()
	b.me.post("/api/v1/conversions/review", map[string]any{"action": action, "ids": []any{id}}).into(http.StatusOK, nil)
	synced, err := (&attribution.Exchange{Decisions: b.decisions}).SyncConversion(b.t.Context(), b.partnership, id)
	require.NoError(b.t, err)
	require.Equal(b.t, 1, synced.Copied)
}
