package abuse

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// A stranger clicks a paused offer as fast as it can. It is sent along the fallback chain each time, and no
// more of its clicks are rows than its budget allows. The controls: a member's refused click from elsewhere
// is found, and clicks that can convert do, from the stranger's own address too.
func TestRefusedClicksAreTheirSendersProblem(t *testing.T) {
	db, err := pgx.Connect(t.Context(), w.Config.DatabaseURL)
	require.NoError(t, err)
	defer func() { _ = db.Close(context.WithoutCancel(t.Context())) }()
	const fallback = "https://fallback.example/"
	s := newShop(t, nil)
	_, link := s.offer(t, nil)
	_, paused := s.offer(t, map[string]any{"isPaused": true, "fallbackUrl": fallback})
	attacker := from(610)

	lasts := 4 * time.Second
	if *long {
		lasts = time.Minute
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var sent, sentOn atomic.Int64
	var senders sync.WaitGroup
	stranger := blackbox.New(w.URL, "")
	stranger.HTTP = clientFrom(t, attacker)
	for range 16 {
		senders.Go(func() {
			for ctx.Err() == nil {
				_, location, err := stranger.Click(ctx, paused, url.Values{"pub_member_id": {"flood"}})
				if ctx.Err() == nil && err == nil {
					sent.Add(1)
					if location == fallback {
						sentOn.Add(1)
					}
				}
			}
		})
	}
	member := uuid.NewString()
	_, location, err := s.Click(t.Context(), paused, url.Values{"pub_member_id": {member}})
	require.NoError(t, err)
	require.Equal(t, fallback, location)
	for range 5 {
		clickID, _, err := stranger.Click(t.Context(), link, nil)
		require.NoError(t, err)
		answer, err := s.Convert(t.Context(), clickID, "")
		require.NoError(t, err)
		require.Contains(t, []string{"accepted", "queued"}, answer.Outcome, "a click of the stranger's address that can convert")
	}
	senders.Wait()
	most := int64(refusedBurst + refusedPerSecond*(time.Since(began).Seconds()+1))
	require.Equal(t, sent.Load(), sentOn.Load(), "the answer is the same, recorded or not")
	require.Greater(t, sent.Load(), most, "the budget was not reached: the flood shows nothing")

	count := func(member string) (rows int64) {
		require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM clicks WHERE pub_member_id = $1 AND refused_reason = 'offer_inactive'`, member).Scan(&rows))
		return rows
	}
	eventually(t, "the member's refused click is found", func() bool { return count(member) == 1 })
	// Clicks are rows in the order in which they came, or nearly: those of the flood are there when a later one is.
	last := uuid.NewString()
	_, _, err = s.Click(t.Context(), paused, url.Values{"pub_member_id": {last}})
	require.NoError(t, err)
	eventually(t, "a later click", func() bool { return count(last) == 1 })
	t.Logf("%d clicks of the flood, %d of them rows, at most %d", sent.Load(), count("flood"), most)
	require.LessOrEqual(t, count("flood"), most)
	require.Positive(t, count("flood"))
}

// A member posts an event that must wait for another one, again and again: each would be held and decided
// again whenever something of the click lands. The click holds so many, says why it takes no more, and is
// none the worse for it.
func TestAFloodOfHeldPostbacksHasABound(t *testing.T) {
	db, err := pgx.Connect(t.Context(), w.Config.DatabaseURL)
	require.NoError(t, err)
	defer func() { _ = db.Close(context.WithoutCancel(t.Context())) }()
	s := newShop(t, nil)
	_, link, err := s.NewOffer(t.Context(), blackbox.MultiEvent(s.advertiser.ID, s.age,
		[]map[string]any{blackbox.Event("Install", 1, nil), blackbox.Event("Level", 2, map[string]any{"allowRepetitions": true, "dedupeSeconds": 0})}, nil))
	require.NoError(t, err)
	click, _, err := s.Click(t.Context(), link, nil)
	require.NoError(t, err)
	outcomes := map[string]int{}
	var told blackbox.Answer
	for n := range domain.MaxHeldPerClick + 20 {
		answer, err := s.Convert(t.Context(), click, "Level", "cnv_conversion_id", uuid.NewString())
		require.NoError(t, err)
		if answer.Outcome == "queued" {
			answer, err = s.Decided(t.Context(), answer.PostbackID)
			require.NoError(t, err)
		}
		outcomes[answer.Outcome]++
		if answer.Outcome == "rejected" {
			told = answer
			require.GreaterOrEqual(t, n, domain.MaxHeldPerClick)
		}
	}
	require.Equal(t, map[string]int{"held": domain.MaxHeldPerClick, "rejected": 20}, outcomes)
	require.Equal(t, "out_of_sequence", told.Reason)
	var held int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM held_postbacks WHERE click_id = $1`, click).Scan(&held))
	require.Equal(t, domain.MaxHeldPerClick, held)

	install, err := s.Convert(t.Context(), click, "Install")
	require.NoError(t, err)
	require.Contains(t, []string{"accepted", "queued"}, install.Outcome)
	again, err := s.Convert(t.Context(), click, "Level", "cnv_conversion_id", uuid.NewString())
	require.NoError(t, err)
	require.Contains(t, []string{"accepted", "queued"}, again.Outcome, "it heals")
	eventually(t, "what was held is decided", func() bool {
		require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM held_postbacks WHERE click_id = $1`, click).Scan(&held))
		return held == 0
	})
}

// Who can write to the stream server and has no key forges events of a tenant's live stream and decisions
// for whoever waits for one. Neither is believed; the controls are an event that carries a seal, and the
// decision itself.
func TestForgedLiveEventsAndRepliesAreDropped(t *testing.T) {
	keys, err := keyring.Parse(w.Config.SecretKeys)
	require.NoError(t, err)
	seal := attribution.MessageSeal(keys)
	s, other, evil := newShop(t, nil), newShop(t, nil), newInsider(t)

	t.Run("live events", func(t *testing.T) {
		events, opened := make(chan blackbox.LiveEvent, 16), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			_ = s.Live(ctx, "", func() { close(opened) }, func(event blackbox.LiveEvent) bool { events <- event; return true }) // ends with the test
		}()
		<-opened
		mine, theirs := stream.SubjectLive+s.TenantID, stream.SubjectLive+other.TenantID
		event := func(text string) stream.LiveEvent {
			return stream.LiveEvent{ID: uuid.New(), Kind: stream.LiveStatus, At: time.Now(), Data: json.RawMessage(`{"reason":"` + text + `"}`)}
		}
		elsewhere, err := json.Marshal(event("another tenant's"))
		require.NoError(t, err)
		evil.publish(mine, "", event("without a seal"))
		evil.publish(mine, "v1:nonsense", event("with another's"))
		_, err = evil.js.PublishMsg(t.Context(), &nats.Msg{Subject: mine, Data: elsewhere, Header: nats.Header{"Offerflow-Seal": {seal(theirs, elsewhere)}}})
		require.NoError(t, err)
		genuine, err := json.Marshal(event("genuine"))
		require.NoError(t, err)
		_, err = evil.js.PublishMsg(t.Context(), &nats.Msg{Subject: mine, Data: genuine, Header: nats.Header{"Offerflow-Seal": {seal(mine, genuine)}}})
		require.NoError(t, err)
		select {
		case first := <-events:
			require.Contains(t, string(first.Data), "genuine", "the forged ones came before it")
		case <-time.After(soon):
			t.Fatal("the genuine event does not come")
		}
	})

	t.Run("replies", func(t *testing.T) {
		var forged atomic.Int64
		subscription, err := evil.nc.Subscribe(stream.SubjectPostbacks, func(msg *nats.Msg) {
			var message stream.PostbackMessage
			if json.Unmarshal(msg.Data, &message) != nil || message.ReplyTo == "" || message.Postback.EventID != "forge-me" {
				return
			}
			id := uuid.New()
			answer, _ := json.Marshal(domain.Answer{PostbackID: message.Postback.ID, Outcome: domain.OutcomeAccepted, ConversionID: &id, Status: domain.StatusSuccess})
			for _, header := range []nats.Header{nil, {"Offerflow-Seal": {msg.Header.Get("Offerflow-Seal")}}} {
				_ = evil.nc.PublishMsg(&nats.Msg{Subject: message.ReplyTo, Data: answer, Header: header})
			}
			forged.Add(1)
		})
		require.NoError(t, err)
		defer func() { _ = subscription.Unsubscribe() }()
		require.NoError(t, evil.nc.Flush())
		_, link, err := s.NewOffer(t.Context(), blackbox.MultiEvent(s.advertiser.ID, s.age, []map[string]any{blackbox.Event("Level", nil, nil)}, nil))
		require.NoError(t, err)
		for range 5 {
			click, _, err := s.Click(t.Context(), link, nil)
			require.NoError(t, err)
			answer, err := s.Convert(t.Context(), click, "forge-me")
			require.NoError(t, err)
			if answer.Outcome == "queued" {
				answer, err = s.Decided(t.Context(), answer.PostbackID)
				require.NoError(t, err)
			}
			require.Equal(t, []string{"refused", "unknown_event"}, []string{answer.Outcome, answer.Reason})
		}
		require.Equal(t, int64(5), forged.Load(), "no decision was forged: the test shows nothing")
	})
	_, text := asked(t, http.DefaultClient, "http://"+w.Process.MetricsAddr()+"/metrics", "")
	for _, of := range []string{"live", "reply"} {
		require.Regexp(t, `offerflow_unsealed_messages_dropped_total\{of="`+of+`"\} [1-9]`, text)
	}
}
