package delivery

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// failures is the row of the tenant's callback endpoint.
func (rig *noticeRig) failures() dbgen.EndpointFailure {
	rig.t.Helper()
	var row dbgen.EndpointFailure
	rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) error {
		endpoint, err := queries.GetCallbackEndpoint(ctx, tx, rig.tenantID)
		if err != nil {
			return err
		}
		row, err = queries.LockEndpointFailure(ctx, tx, rig.tenantID, endpoint.ID)
		return err
	})
	return row
}

// retry makes the attempt that is due, as the durable retry does.
func (rig *noticeRig) retry() {
	rig.t.Helper()
	for _, row := range rig.rows() {
		if row.State == stateWaiting && row.NextAttemptAt != nil && !row.NextAttemptAt.After(rig.now()) {
			_ = rig.DeliverLater(rig.t.Context(), stream.DeliveryEvent{TenantID: rig.tenantID, DeliveryID: row.ID}) // its error is when to come again
		}
	}
	rig.Wait()
}

func (rig *noticeRig) tell() {
	rig.t.Helper()
	require.NoError(rig.t, rig.sendFailureNotices(rig.t.Context()))
	rig.Wait()
}

func (rig *noticeRig) subjects() (out []string) {
	for _, mail := range rig.box.Mails() {
		out = append(out, mail.Subject)
	}
	return out
}

// Rule 51: a receiver that answers 401, 403 or 404 loses nothing, and its tenant is told by mail once it
// has failed for a while: once, until it works again.
func TestRule51TheTenantIsToldThatItsEndpointFails(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	rig.answers(status(http.StatusUnauthorized))
	began := rig.now()
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	rig.advanceClock(5 * time.Second)
	rig.retry()
	rig.advanceClock(30 * time.Second)
	rig.tell()
	require.Empty(t, rig.subjects(), "two failures within half a minute may be a restart")
	rig.advanceClock(5 * time.Minute)
	rig.retry()
	for range 3 {
		rig.tell()
	}
	host := hostOf(rig.receiver.URL)
	require.Equal(t, []string{"Callbacks to " + host + " fail"}, rig.subjects())
	mail := rig.box.Mails()[0]
	require.Equal(t, []string{"a@example.com"}, mail.To, "the account's address, not the Exchange's contact")
	for _, part := range []string{mail.Text, mail.HTML} {
		for _, want := range []string{mailTime(began), "answered with status 401", "retried for three days", "filter.state=waiting", "OFFERFLOW"} {
			if want == "OFFERFLOW" && part == mail.Text {
				continue
			}
			require.Contains(t, part, want)
		}
		require.NotContains(t, part, "in-the-url", "the address's query holds a token")
		require.NotContains(t, part, "EXCHANGE")
	}
	row := rig.failures()
	require.Equal(t, []any{int64(3), int32(401), int64(0)}, []any{row.Failures, row.LastStatusCode, row.Lost})

	// It works: that ends it. When it fails again soon, the next mail waits.
	rig.answers(status(http.StatusOK))
	rig.advanceClock(30 * time.Minute)
	rig.retry()
	require.Nil(t, rig.failures().FailingSince)
	require.Equal(t, []string{stateDelivered}, rig.states()[:1])
	rig.answers(status(http.StatusNotFound))
	for range failingAttempts {
		rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	}
	rig.advanceClock(2 * failingFor)
	rig.tell()
	require.Len(t, rig.subjects(), 1, "a mail an hour is enough for one that works and fails in turn")
	rig.advanceClock(failingNoticeEvery)
	rig.tell()
	require.Len(t, rig.subjects(), 2)
}

// Rule 51: what fails for good is told by mail: at once, together, and at most once a day; the endpoint's
// own document and metrics have it besides.
func TestRule51TheTenantIsToldWhatFailsForGood(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	rig.answers(status(http.StatusBadRequest))
	for range 3 {
		rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	}
	rig.tell()
	require.Empty(t, rig.subjects(), "what follows within a minute goes into the same mail")
	rig.advanceClock(lostFor)
	watching, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- rig.Watch(watching) }() // as every worker does
	require.Eventually(t, func() bool { return len(rig.subjects()) == 1 }, time.Minute, 10*time.Millisecond)
	stop()
	require.NoError(t, <-done)
	rig.tell()
	host := hostOf(rig.receiver.URL)
	require.Equal(t, []string{"Callbacks to " + host + " failed for good: 3"}, rig.subjects())
	require.Contains(t, rig.box.Mails()[0].Text, "POST /api/v1/deliveries/resend")
	require.Contains(t, rig.box.Mails()[0].Text, rig.failures().EndpointID.String())

	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	rig.advanceClock(time.Hour)
	rig.tell()
	require.Len(t, rig.subjects(), 1, "a mail a day")
	rig.advanceClock(lostNoticeEvery)
	rig.tell()
	require.Equal(t, "Callbacks to "+host+" failed for good: 1", rig.subjects()[1])
	row := rig.failures()
	require.Equal(t, []int64{4, 0}, []int64{row.Lost, row.LostUntold})
	require.InDelta(t, 4, testutil.ToFloat64(deliveriesLost.WithLabelValues(kindCallback, rig.tenantID.String())), 0)
}

// Rule 51: a 410 disables the endpoint; one mail says so and counts all that waited for it.
func TestRule51TheTenantIsToldOfADisabledEndpoint(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	rig.answers(status(http.StatusInternalServerError))
	for range 3 {
		rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	}
	rig.answers(status(http.StatusGone))
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess)) // it is disabled already
	rig.advanceClock(lostFor)
	rig.tell()
	require.Equal(t, []string{"Callbacks to " + hostOf(rig.receiver.URL) + " failed for good: 5"}, rig.subjects())
	mail := rig.box.Mails()[0]
	require.Contains(t, mail.Text, "answered 410 Gone")
	require.Contains(t, mail.Text, "PUT it again to enable it")
}

// A test that fails is watched by who sent it, and what waits behind a mail server that is away is no news of
// an endpoint.
func TestTestsAndMailsAreNoFailingEndpoints(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	rig.answers(status(http.StatusBadRequest))
	event := rig.event(uuid.New(), 1, "", domain.StatusSuccess)
	event.IsTest = true
	rig.handle(event)
	require.NoError(t, rig.box.Close())
	rig.change(2, domain.SideAdvertiser, "name", `"Dice"`, `"Dice Quest"`)
	rig.notice(2, domain.SideAdvertiser)
	var rows int
	require.NoError(t, rig.store.SystemPool().QueryRow(t.Context(), "SELECT count(*) FROM endpoint_failures").Scan(&rows))
	require.Zero(t, rows)
}
