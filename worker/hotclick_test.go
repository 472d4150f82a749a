package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// One workflow that does not answer is left alone, and does not keep the others from the engine.
func TestTheGateLeavesOneSilentWorkflowAlone(t *testing.T) {
	t.Parallel()
	g, asked := newEngineBreaker(), 0
	for range 3 * breakerTripsAfter {
		err := g.askOf(context.Background(), "click/stuck", time.Millisecond, func(ctx context.Context) error {
			asked++
			<-ctx.Done()
			return ctx.Err()
		})
		require.True(t, isPassing(err), "it is decided without the workflow")
	}
	require.Equal(t, 1, asked)
	require.True(t, g.isEngineUp())
	require.NoError(t, g.askOf(context.Background(), "click/other", time.Minute, func(context.Context) error { return nil }))
}

// The limits of one workflow are an answer of the engine: others are not kept from it.
func TestAWorkflowsOwnLimitIsAnAnswer(t *testing.T) {
	t.Parallel()
	for cause, open := range map[enumspb.ResourceExhaustedCause]bool{
		enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW:     true,
		enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT:  true,
		enumspb.RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED: false,
		enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT:         false,
	} {
		g := newEngineBreaker()
		for i := range 2 * breakerTripsAfter {
			err := g.askOf(context.Background(), fmt.Sprint("click/", i), time.Minute, func(context.Context) error {
				return serviceerror.NewResourceExhausted(cause, "too much")
			})
			require.True(t, isPassing(err))
		}
		require.Equal(t, open, g.isEngineUp(), cause)
	}
}

// What is owed of one click is handed over in one line, in its order, beside the lines of others.
func TestOwedWaitsAreGroupedByClick(t *testing.T) {
	t.Parallel()
	hot, other := uuid.New(), uuid.New()
	var waits []attribution.OwedWait
	for i := range 5 {
		click := &hot
		if i == 3 {
			click = &other
		}
		waits = append(waits, attribution.OwedWait{Postback: domain.Postback{ID: uuid.New(), ClickID: click}})
	}
	require.Equal(t, [][]attribution.OwedWait{{waits[0], waits[1], waits[2], waits[4]}, {waits[3]}}, byClick(waits))
}

type message struct {
	jetstream.Msg
	data []byte
}

func (m message) Data() []byte         { return m.data }
func (m message) Headers() nats.Header { return nil }

func messageOf(t *testing.T, v any) jetstream.Msg {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return message{data: data}
}

// Postbacks of one click, and of one visitor, share a key, and those of one sender another; each message of
// events is its tenant's.
func TestKeysSayWhatMessagesShare(t *testing.T) {
	t.Parallel()
	click, tenant := uuid.New(), uuid.New()
	visitor := domain.Visitor{OfferID: uuid.New(), PartnerID: uuid.New(), UserAgent: "Browser"}
	keys := func(p domain.Postback) []string {
		keys := postbackKeys(messageOf(t, stream.PostbackMessage{Postback: p}))
		require.Len(t, keys, 2)
		require.Equal(t, p.SenderKey(), keys[1])
		return keys
	}
	clickKey := func(p domain.Postback) string { return keys(p)[0] }
	require.Equal(t, click.String(), clickKey(domain.Postback{ClickID: &click, EventID: "A"}))
	require.Equal(t, click.String(), clickKey(domain.Postback{ClickID: &click, Visitor: &visitor, EventID: "B"}))
	require.Empty(t, clickKey(domain.Postback{ClickID: &click, Refused: domain.ReasonMalformed}), "refused at the edge")
	require.Empty(t, clickKey(domain.Postback{}))
	mine := domain.Postback{Visitor: &visitor, SourceIP: "192.0.2.1"}
	require.NotEmpty(t, clickKey(mine))
	require.Equal(t, mine.ClickKey(), clickKey(mine))
	require.NotEqual(t, clickKey(mine), clickKey(domain.Postback{Visitor: &visitor, SourceIP: "192.0.2.2"}))

	sender := func(p domain.Postback) string { return keys(p)[1] }
	require.Equal(t, "actor", sender(domain.Postback{Upload: &domain.Upload{Actor: "actor"}, SourceIP: "192.0.2.1"}))
	require.Equal(t, "key", sender(domain.Postback{AdvertiserKey: "key", SourceIP: "192.0.2.1"}))
	for _, keyless := range []string{"", domain.SentWithoutKey, domain.SentByPixel} {
		require.Equal(t, "192.0.2.1", sender(domain.Postback{SourceIP: "192.0.2.1", AdvertiserKey: keyless}))
	}
	require.Equal(t, sender(domain.Postback{SourceIP: "2001:db8::1"}), sender(domain.Postback{SourceIP: "2001:db8::2"}), "one sender has a whole /64")
	require.Equal(t, []string{"", ""}, postbackKeys(message{data: []byte("{")}))

	for _, event := range []any{
		stream.ConversionEvent{TenantID: tenant}, stream.DeliveryEvent{TenantID: tenant}, stream.JobEvent{TenantID: tenant},
		stream.ReconciliationEvent{PartnershipID: tenant}, stream.ExchangeEvent{Partnership: domain.Partnership{AdvertiserTenantID: tenant}},
	} {
		require.Equal(t, []string{tenant.String()}, tenantKey(messageOf(t, event)), "%T", event)
	}
	require.Equal(t, []string{""}, tenantKey(message{data: []byte("{")}))
}
