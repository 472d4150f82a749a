package abuse

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// What a flood is told. The default budget of an address is 50 refused postbacks per second, and
// ten seconds' worth at once.
const (
	refusedPerSecond = 50
	refusedBurst     = 500
)

// flooded is what came of a flood, by status.
type flooded struct {
	statuses [600]atomic.Int64
	// refused is one of the answers that were no 503.
	refused atomic.Pointer[blackbox.Answer]
}

// flood sends garbage over many connections from one address until ctx is done.
func flood(ctx context.Context, t *testing.T, address string, connections int) *flooded {
	t.Helper()
	seen, client, large := &flooded{}, clientFrom(t, address), strings.Repeat("x", 1000)
	body := url.Values{}
	for n := range 50 {
		body.Set("junk"+string(rune('a'+n)), large)
	}
	var senders sync.WaitGroup
	for n := range connections {
		senders.Go(func() {
			for ctx.Err() == nil {
				id := "nonsense"
				if n%2 == 0 {
					id = uuid.NewString()
				}
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL+"/track?gk_click_id="+id, strings.NewReader(body.Encode()))
				if err != nil {
					return
				}
				request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				response, err := client.Do(request)
				if err != nil {
					continue
				}
				var answer blackbox.Answer
				if json.NewDecoder(response.Body).Decode(&answer) == nil && answer.Outcome == "refused" {
					seen.refused.Store(&answer)
				}
				_ = response.Body.Close()
				seen.statuses[response.StatusCode].Add(1)
			}
		})
	}
	senders.Wait()
	return seen
}

// converted has a shop's clicks converted one after the other until ctx is done, and counts outcomes.
func converted(ctx context.Context, t *testing.T, s *shop, link string, atLeast int) map[string]int {
	t.Helper()
	outcomes := map[string]int{}
	for n := 0; ctx.Err() == nil || n < atLeast; n++ {
		clickID, _, err := s.Click(t.Context(), link, nil)
		require.NoError(t, err)
		answer, err := s.Convert(t.Context(), clickID, "")
		require.NoError(t, err)
		outcomes[answer.Outcome]++
	}
	return outcomes
}

// A flood of malformed postbacks and of forged ids is its sender's problem: beyond its budget it gets
// 503, what it is answered otherwise is in the log and small, and a genuine sender on another address
// is answered `accepted` as without it. So is one on the same address.
func TestGarbageIsItsSendersProblem(t *testing.T) {
	conn, err := stream.Connect(w.Config.NATSURL, "garbage test")
	require.NoError(t, err)
	defer conn.Close()
	db, err := pgx.Connect(t.Context(), w.Config.DatabaseURL)
	require.NoError(t, err)
	defer func() { _ = db.Close(context.WithoutCancel(t.Context())) }()
	streamed := func(name string) (bytes, messages uint64) {
		found, err := conn.JS.Stream(t.Context(), name)
		require.NoError(t, err)
		return found.CachedInfo().State.Bytes, found.CachedInfo().State.LastSeq
	}
	attacker := from(600)
	apart, beside := newShop(t, nil), newShop(t, nil)
	beside.HTTP = clientFrom(t, attacker)
	_, link := apart.offer(t, nil)
	_, besideLink := beside.offer(t, nil)

	const least = 10
	over, stop := context.WithCancel(t.Context())
	stop()
	require.Equal(t, map[string]int{"accepted": least}, converted(over, t, apart, link, least), "without a flood")
	bytesBefore, _ := streamed(stream.Refused)
	_, postbacksBefore := streamed(stream.Postbacks)

	lasts := 6 * time.Second
	if *long {
		lasts = time.Minute
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var seen *flooded
	var attack sync.WaitGroup
	attack.Go(func() { seen = flood(ctx, t, attacker, 32) })
	outcomes := converted(ctx, t, apart, link, least)
	besideOutcomes := converted(over, t, beside, besideLink, least)
	attack.Wait()
	took := time.Since(began)

	refused := seen.statuses[http.StatusBadRequest].Load() + seen.statuses[http.StatusNotFound].Load()
	shed := seen.statuses[http.StatusServiceUnavailable].Load()
	bytesAfter, _ := streamed(stream.Refused)
	_, postbacksAfter := streamed(stream.Postbacks)
	perRefused := float64(bytesAfter-bytesBefore) / float64(refused)
	t.Logf("%d refused and %d shed in %s; %.0f bytes of stream per refused one; genuine: %v apart, %v on the attacker's address",
		refused, shed, took.Round(time.Millisecond), perRefused, outcomes, besideOutcomes)
	require.Equal(t, map[string]int{"accepted": outcomes["accepted"]}, outcomes, "genuine senders elsewhere")
	require.Equal(t, map[string]int{"accepted": least}, besideOutcomes, "genuine senders behind the same address")
	require.Positive(t, shed, "the budget was not reached: the flood shows nothing")
	require.LessOrEqual(t, refused, int64(refusedBurst+refusedPerSecond*(took.Seconds()+1)))
	require.Less(t, perRefused, 4096.0, "of 50 KB each")
	genuine := uint64(outcomes["accepted"] + least)
	require.LessOrEqual(t, postbacksAfter-postbacksBefore, genuine+10, "no refused one is among the genuine")

	// All of them are in the operator's log, small, and each answers the same later.
	logged := 0
	require.Eventually(t, func() bool {
		require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM postbacks WHERE source_ip = $1 AND tenant_id IS NULL`, attacker).Scan(&logged))
		return int64(logged) >= refused
	}, time.Minute, 50*time.Millisecond, "%d refused", refused)
	var largest int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT max(length(params::text)) FROM postbacks WHERE source_ip = $1`, attacker).Scan(&largest))
	require.Less(t, largest, 3<<10)
	sample := seen.refused.Load()
	later, err := apart.Decided(t.Context(), sample.PostbackID)
	require.NoError(t, err)
	require.Equal(t, []any{"refused", sample.Reason}, []any{later.Outcome, later.Reason})
	var page blackbox.Page[struct{ ID, Outcome, Reason string }]
	require.NoError(t, w.operator.Call(t.Context(), http.MethodGet, "/api/v1/postbacks?filter.id="+sample.PostbackID, nil, &page))
	require.Len(t, page.Items, 1)
	require.Equal(t, sample.Reason, page.Items[0].Reason)
}

// A refused postback with an advertiser's key is in that tenant's log.
func TestGarbageWithAKeyIsInItsTenantsLog(t *testing.T) {
	s := newShop(t, nil)
	address, err := url.Parse(s.advertiser.PostbackURL)
	require.NoError(t, err)
	answer, err := s.Postback(t.Context(), address.Path, url.Values{"gk_click_id": {"nonsense"}, "cnv_sub_1": {"mine"}})
	require.NoError(t, err)
	require.Equal(t, "refused", answer.Outcome)
	_, err = s.Decided(t.Context(), answer.PostbackID)
	require.NoError(t, err)
	var page blackbox.Page[struct {
		ID, Reason string
		Query      map[string]string
	}]
	require.NoError(t, s.Call(t.Context(), http.MethodGet, "/api/v1/postbacks", nil, &page))
	require.Len(t, page.Items, 1)
	require.Equal(t, []string{answer.PostbackID, "malformed", "mine"}, []string{page.Items[0].ID, page.Items[0].Reason, page.Items[0].Query["cnv_sub_1"]})
}

// A refused postback that a process of the earlier release left among the genuine ones gets its row, and
// that is small.
func TestGarbageOfTheEarlierReleaseIsLogged(t *testing.T) {
	conn, err := stream.Connect(w.Config.NATSURL, "garbage test")
	require.NoError(t, err)
	defer conn.Close()
	// Messages of the earlier release have no seal and are believed for their time; this installation is new.
	keys, err := keyring.Parse(w.Config.SecretKeys)
	require.NoError(t, err)
	conn.Seal = attribution.MessageSeal(keys)
	db, err := pgx.Connect(t.Context(), w.Config.DatabaseURL)
	require.NoError(t, err)
	defer func() { _ = db.Close(context.WithoutCancel(t.Context())) }()
	p := domain.Postback{
		ID: uuid.Must(uuid.NewV7()), ReceivedAt: time.Now().UTC(), Method: "GET", Path: "/track", SourceIP: from(601),
		Params: map[string]string{"junk": strings.Repeat("x", 60<<10)}, Refused: domain.ReasonMalformed, Detail: "gk_click_id is required.",
	}
	message, err := json.Marshal(stream.PostbackMessage{Postback: p})
	require.NoError(t, err)
	require.NoError(t, conn.Publish(t.Context(), stream.SubjectPostbacks, p.ID.String(), message))
	var size int
	require.Eventually(t, func() bool {
		return db.QueryRow(t.Context(), `SELECT length(params::text) FROM postbacks WHERE id = $1 AND reason = 'malformed' AND detail = $2`, p.ID, p.Detail).Scan(&size) == nil
	}, time.Minute, 50*time.Millisecond)
	require.Less(t, size, 3<<10)
}
