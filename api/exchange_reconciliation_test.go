package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/stream"
)

type shownReconciliation struct {
	ID, From, To string
	At           time.Time
	IsEqual      bool
	Days         []struct {
		Day, Status string
		Advertiser  struct {
			Count int
			Cost  string
		}
		Publisher struct {
			Count   int
			Revenue string
		}
	}
	Differences []struct {
		ConversionID string
		What         []string
		Repaired     bool
	}
	Found, Repaired int
}

// reconcile does what a worker does, two minutes from now.
func (b *sharedBook) reconcile() {
	b.t.Helper()
	r := &attribution.Reconciliations{
		Store: b.store, Replay: (&attribution.Exchange{Decisions: b.decisions}).Replay, Now: func() time.Time { return clocktest.Now().Add(2 * time.Minute) },
	}
	c, err := r.CompareBooks(b.t.Context(), b.partnership.ID, uuid.Nil, time.Time{}, time.Time{})
	require.NoError(b.t, err)
	_, err = r.Reconcile(b.t.Context(), c)
	require.NoError(b.t, err)
}

// synced is a conversion of a new click, in both books by the sync.
func (b *sharedBook) synced(member, eventID string) uuid.UUID {
	b.t.Helper()
	id := b.postback(b.click(member), eventID).ConversionID
	_, err := (&attribution.Exchange{Decisions: b.decisions}).SyncConversion(b.t.Context(), b.partnership, *id)
	require.NoError(b.t, err)
	return *id
}

func (b *sharedBook) reconciliationPath() string {
	return "/api/v1/exchange/partnerships/" + b.partnership.ID.String() + "/reconciliation"
}

// Rule 61: both sides read the same history of comparisons, the newest first, with the ids of what
// differed; a third tenant reads nothing. Rule 57: nothing of members, payout or reward is in it.
func TestRule61BothSidesReadTheSameHistory(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	id := b.synced("anna-secret", eventInstall)
	b.synced("ben-secret", eventBuy)
	_, err := b.store.SystemPool().Exec(t.Context(), "UPDATE conversions SET revenue_micros = 1 WHERE tenant_id = $1 AND id = $2", b.publisherID, id)
	require.NoError(t, err)
	b.reconcile()
	b.reconcile()

	answer := b.me.get(b.reconciliationPath())
	var shown page[shownReconciliation]
	answer.into(http.StatusOK, &shown)
	require.Equal(t, 2, shown.TotalCount)
	newest, first := shown.Items[0], shown.Items[1]
	require.True(t, newest.At.After(first.At))
	require.True(t, newest.IsEqual)
	require.Empty(t, newest.Differences)
	require.False(t, first.IsEqual)
	require.Equal(t, []int{1, 1}, []int{first.Found, first.Repaired})
	require.Equal(t, id.String(), first.Differences[0].ConversionID)
	require.Equal(t, []string{"revenue", "publisherLedger"}, first.Differences[0].What)
	require.True(t, first.Differences[0].Repaired)
	require.Len(t, newest.Days, 2)
	for i, want := range []struct{ status, sum string }{{"Pending", "10.00"}, {"Success", "5.00"}} {
		day := newest.Days[i]
		require.Equal(t, []any{newest.To, want.status, 1, want.sum, 1, want.sum},
			[]any{day.Day, day.Status, day.Advertiser.Count, day.Advertiser.Cost, day.Publisher.Count, day.Publisher.Revenue})
	}
	require.NotContains(t, string(answer.body), "secret")
	require.NotContains(t, string(answer.body), "reward")
	require.NotContains(t, string(answer.body), "payout")

	other := b.publisher.get(b.reconciliationPath())
	require.Equal(t, http.StatusOK, other.status)
	require.JSONEq(t, string(answer.body), string(other.body))
	_, third := b.tenant("Third")
	third.get(b.reconciliationPath()).refused(http.StatusNotFound)
	third.post(b.reconciliationPath(), nil).refused(http.StatusNotFound)

	b.me.get(b.reconciliationPath()+"?filter.isEqual=false").into(http.StatusOK, &shown)
	require.Equal(t, 1, shown.TotalCount)
	b.publisher.get(b.reconciliationPath()+"?order_asc=true&page_size=1").into(http.StatusOK, &shown)
	require.Equal(t, first.ID, shown.Items[0].ID)
}

// Rule 61: either side may have the books compared now. The request is news for a worker, and a line in
// the asker's audit log.
func TestRule61ComparedNow(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	for i, side := range []struct {
		*caller
		id uuid.UUID
	}{{b.me, b.tenantID}, {b.publisher, b.publisherID}} {
		require.Equal(t, http.StatusAccepted, side.post(b.reconciliationPath(), nil).status)
		require.Equal(t, i+1, b.count(`SELECT count(*) FROM outbox WHERE subject = $1 AND payload->>'partnershipId' = $2`,
			stream.SubjectReconciliation, b.partnership.ID.String()))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND action = 'reconcile' AND noun = 'partnership'`, side.id))
	}
	var token struct{ Token string }
	b.publisher.post("/api/v1/tokens", map[string]any{"name": "r", "scope": "readonly"}).into(http.StatusCreated, &token)
	b.as(token.Token).post(b.reconciliationPath(), nil).refused(http.StatusForbidden)
	require.Equal(t, 2, b.count("SELECT count(*) FROM outbox WHERE subject = $1", stream.SubjectReconciliation))
	b.me.get(b.reconciliationPath()).into(http.StatusOK, nil)
	require.Equal(t, 2, b.count("SELECT count(*) FROM outbox WHERE subject = $1", stream.SubjectReconciliation), "to look for the result of one asks for no other")
}

// Rule 61: a look at the history asks for a comparison where conversions have come since the last.
func TestRule61LookedAtWhenConversionsHaveCome(t *testing.T) {
	t.Parallel()
	b := newSharedBook(t)
	asked := func() int {
		b.publisher.get(b.reconciliationPath()).into(http.StatusOK, nil)
		return b.count("SELECT count(*) FROM outbox WHERE subject = $1", stream.SubjectReconciliation)
	}
	compared := func(ago string) {
		_, err := b.store.SystemPool().Exec(t.Context(), `INSERT INTO reconciliations (partnership_id, id, at, from_day, to_day, days, differences, found, repaired)
			VALUES ($1, gen_random_uuid(), now() - $2::interval, now(), now(), '[]', '[]', 0, 0)`, b.partnership.ID, ago)
		require.NoError(t, err)
	}
	b.synced("anna", eventInstall)
	received := func(ago string) {
		_, err := b.store.SystemPool().Exec(t.Context(), "UPDATE conversions SET received_at = now() - $1::interval", ago)
		require.NoError(t, err)
	}
	received("3 h")
	compared("2 h")
	require.Equal(t, 0, asked(), "compared since")
	received("1 h")
	require.Equal(t, 1, asked(), "one has come")
	require.Equal(t, 1, asked(), "once a minute")
	b = newSharedBook(t)
	require.Equal(t, 1, asked(), "nothing was compared before")
	b = newSharedBook(t)
	b.synced("ben", eventInstall)
	compared("30 s")
	require.Equal(t, 0, asked(), "less than a minute ago")
}
