package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/stream"
)

// Tenants are told when one of their endpoints begins to fail, and when messages failed for good (rule 51): by
// the endpoint's document in the API at once, by mail from Watch. What is told is counted in one row per
// endpoint, by the transactions that write the failures down.

const (
	// An endpoint fails once this many attempts in a row did, over this long: a restart of the receiver is
	// no reason for a mail.
	failingAttempts = 3
	failingFor      = time.Minute
	// failingNoticeEvery is the least time between two mails about an endpoint that works and fails in turn.
	// While it only fails, there is one.
	failingNoticeEvery = time.Hour
	// lostFor is how long messages that failed for good are gathered for one mail, lostNoticeEvery the least time
	// between two such mails about an endpoint.
	lostFor         = time.Minute
	lostNoticeEvery = 24 * time.Hour
	// lostShownFor is for how long metrics show that messages failed for good.
	lostShownFor = 24 * time.Hour
	// noticeBatch bounds the mails of one look.
	noticeBatch = 100
)

// endpointFailure is what failed at an endpoint: an attempt, messages for good, or both.
type endpointFailure struct {
	tenantID, endpointID uuid.UUID
	kind                 string
	attempts, lost       int64
	statusCode           int32
	err                  string
}

// countFailure writes a failure down. It is the last statement of its transaction, or nearly: the row is
// one for all queues of the endpoint. What a tenant paused itself is no failure.
func (d *Deliveries) countFailure(ctx context.Context, tx pgx.Tx, f *endpointFailure) error {
	if f.err == errorPaused {
		return nil
	}
	if f.lost > 0 {
		deliveriesLost.WithLabelValues(f.kind, f.tenantID.String()).Add(float64(f.lost))
	}
	if f.kind != kindCallback && f.kind != kindPartner {
		return nil
	}
	return queries.CountEndpointFailure(ctx, tx, dbgen.CountEndpointFailureParams{
		TenantID: f.tenantID, EndpointID: f.endpointID, Kind: f.kind, Failures: f.attempts, Lost: f.lost, At: d.now(),
		StatusCode: f.statusCode, Error: f.err,
	})
}

// countAttempt is countFailure for an attempt that was made and failed. Tests are watched by who sends them.
func (d *Deliveries) countAttempt(ctx context.Context, tx pgx.Tx, before *dbgen.Delivery, after *dbgen.RecordDeliveryParams) error {
	if before.IsTest {
		return nil
	}
	f := &endpointFailure{
		tenantID: before.TenantID, endpointID: before.EndpointID, kind: before.Kind, attempts: 1, statusCode: *after.LastStatusCode, err: after.LastError,
	}
	if before.State == stateWaiting && after.State == stateFailed {
		f.lost = 1
	}
	return d.countFailure(ctx, tx, f)
}

// failIn ends a delivery as failed without an attempt.
func (d *Deliveries) failIn(ctx context.Context, tx pgx.Tx, ref stream.DeliveryEvent, why string) error {
	failed, err := queries.FailDelivery(ctx, tx, dbgen.FailDeliveryParams{
		TenantID: ref.TenantID, ID: ref.DeliveryID, LastError: why, FinishedAt: d.now(),
	})
	if err != nil || len(failed) == 0 || failed[0].IsTest {
		return err
	}
	return d.countFailure(ctx, tx, &endpointFailure{
		tenantID: ref.TenantID, endpointID: failed[0].EndpointID, kind: failed[0].Kind, lost: 1, err: why,
	})
}

// sendFailureNotices writes the mails that are due, and keeps the metric of what fails. Any number of processes
// may do so at once: the row of an endpoint says what was told.
func (d *Deliveries) sendFailureNotices(ctx context.Context) error {
	now := d.now()
	rows, err := queries.SystemEndpointsToTell(ctx, d.store.SystemPool(), dbgen.SystemEndpointsToTellParams{
		FailingBefore: now.Add(-failingFor), Failures: failingAttempts, ToldBefore: now.Add(-failingNoticeEvery),
		LostBefore: now.Add(-lostFor), LostToldBefore: now.Add(-lostNoticeEvery), AtMost: noticeBatch,
	})
	errs := []error{err, d.observeFailing(ctx)}
	for _, row := range rows {
		if err := d.sendFailureNotice(ctx, row.TenantID, row.EndpointID); err != nil {
			errs = append(errs, fmt.Errorf("endpoint %s of tenant %s: %w", row.EndpointID, row.TenantID, err))
		}
	}
	return errors.Join(errs...)
}

func (d *Deliveries) observeFailing(ctx context.Context) error {
	now := d.now()
	rows, err := queries.SystemFailingEndpoints(ctx, d.store.SystemPool(), now.Add(-lostShownFor))
	if err != nil {
		return err
	}
	type of struct{ kind, tenant string }
	failing, lost := map[of]time.Duration{}, map[of]time.Duration{}
	for _, row := range rows {
		one := of{row.Kind, row.TenantID.String()}
		if row.FailingSince != nil {
			failing[one] = max(failing[one], now.Sub(*row.FailingSince))
		}
		if row.LastLostAt != nil {
			ago := now.Sub(*row.LastLostAt)
			if before, ok := lost[one]; !ok || ago < before {
				lost[one] = ago
			}
		}
	}
	endpointsFailing.Reset()
	for one, since := range failing {
		endpointsFailing.WithLabelValues(one.kind, one.tenant).Set(since.Seconds())
	}
	endpointsLost.Reset()
	for one, ago := range lost {
		endpointsLost.WithLabelValues(one.kind, one.tenant).Set(ago.Seconds())
	}
	return nil
}

// sendFailureNotice writes the mail about one endpoint, if one is still due under the lock of its row. That of messages
// which failed for good says since when the endpoint fails, too.
func (d *Deliveries) sendFailureNotice(ctx context.Context, tenantID, endpointID uuid.UUID) error {
	return d.inQueues(ctx, tenantID, time.Time{}, func(ctx context.Context, tx pgx.Tx) ([]*queueMove, error) {
		row, err := queries.LockEndpointFailure(ctx, tx, tenantID, endpointID)
		if err != nil {
			return nil, err
		}
		about, err := queries.FailingEndpoint(ctx, tx, tenantID, endpointID)
		if err != nil {
			return nil, err
		}
		now := d.now()
		failing, lost := failingIsDue(&row, now), lostIsDue(&row, now)
		var errs []error
		if failing {
			errs = append(errs, queries.ToldOfFailing(ctx, tx, now, tenantID, endpointID))
		}
		if lost {
			errs = append(errs, queries.ToldOfLost(ctx, tx, now, tenantID, endpointID))
		}
		if err := errors.Join(errs...); err != nil || len(about) == 0 { // of an endpoint that is gone nothing is told
			return nil, err
		}
		if !failing && !lost { // another process has just told it
			return nil, nil
		}
		return d.notify(ctx, tx, tenantID, endpointID, now.UnixMicro(), endpointNotice(&row, &about[0], now, lost))
	})
}

// failingIsDue says that the tenant is to be told that an endpoint fails: once while it goes on failing.
func failingIsDue(row *dbgen.EndpointFailure, now time.Time) bool {
	if row.FailingSince == nil || row.Failures < failingAttempts || row.FailingSince.After(now.Add(-failingFor)) {
		return false
	}
	return row.ToldFailingAt == nil || row.ToldFailingAt.Before(*row.FailingSince) && row.ToldFailingAt.Before(now.Add(-failingNoticeEvery))
}

func lostIsDue(row *dbgen.EndpointFailure, now time.Time) bool {
	if row.LostUntold == 0 || row.UntoldSince == nil || row.UntoldSince.After(now.Add(-lostFor)) {
		return false
	}
	return row.ToldLostAt == nil || row.ToldLostAt.Before(now.Add(-lostNoticeEvery))
}

// noticeEndpoint is what a mail says of an endpoint that fails, or whose messages failed for good.
type noticeEndpoint struct {
	ID          uuid.UUID `json:"id"`
	Kind        string    `json:"kind"`
	Host        string    `json:"host"`
	PartnerName string    `json:"partnerName,omitempty"`
	// Lost is how many messages failed for good since the last mail; 0 where only attempts failed.
	Lost         int64      `json:"lost,omitempty"`
	FailingSince *time.Time `json:"failingSince,omitempty"`
	Attempts     int64      `json:"attempts,omitempty"`
	Error        string     `json:"error,omitempty"`
	// Disabled says why it is not called any more.
	Disabled string `json:"disabled,omitempty"`
}

func endpointNotice(row *dbgen.EndpointFailure, about *dbgen.FailingEndpointRow, now time.Time, lost bool) *notice {
	e := &noticeEndpoint{
		ID: row.EndpointID, Kind: row.Kind, Host: hostOf(about.Url), PartnerName: about.PartnerName, Error: row.LastError,
		FailingSince: row.FailingSince, Attempts: row.Failures,
	}
	if about.DisabledAt != nil {
		e.Disabled = about.DisabledReason
	}
	if lost {
		e.Lost = row.LostUntold
	}
	return &notice{At: now, Endpoint: e}
}

// hostOf is what of an address may stand in a mail: paths and queries carry keys.
func hostOf(address string) string {
	beforeQuery, _, _ := strings.Cut(address, "?")
	parsed, err := url.Parse(beforeQuery)
	if err != nil || parsed.Host == "" {
		return "an address"
	}
	return parsed.Host
}

// view is the mail.
func (e *noticeEndpoint) view(publicURL string) noticeView {
	what := "Callbacks"
	if e.Kind == kindPartner {
		what = "Postbacks of partner " + oneLine(e.PartnerName, maxSubjectPart)
	}
	view := noticeView{Brand: "OFFERFLOW", LinkText: "Deliveries", Facts: []noticeFact{{"Endpoint", e.Host}}}
	deliveries := fmt.Sprintf("%s/api/v1/deliveries?filter.endpointId=%s&filter.state=", publicURL, e.ID)
	if e.Lost > 0 {
		view.Heading = fmt.Sprintf("%s to %s failed for good: %d", what, e.Host, e.Lost)
		view.Facts = append(view.Facts, noticeFact{"Messages", fmt.Sprint(e.Lost)})
		view.Link = deliveries + stateFailed
		view.Footer = "They are not retried automatically. Fix the receiver, then resend them with POST /api/v1/deliveries/resend " +
			fmt.Sprintf("with {\"endpointId\": %q}.", e.ID)
	} else {
		view.Heading = fmt.Sprintf("%s to %s fail", what, e.Host)
		view.Link = deliveries + stateWaiting
		view.Footer = "Nothing is lost yet: each message is retried for three days, and the first successful one ends this state. " +
			"Fix the receiver; waiting messages are then sent automatically, or at once with POST /api/v1/deliveries/resend " +
			fmt.Sprintf("with {\"endpointId\": %q, \"state\": \"waiting\"}.", e.ID)
	}
	if e.FailingSince != nil {
		view.Facts = append(view.Facts, noticeFact{"Failing since", mailTime(*e.FailingSince)}, noticeFact{"Attempts", fmt.Sprint(e.Attempts)})
	}
	view.Facts = append(view.Facts, noticeFact{"Last error", readable(e.Error, maxLine)})
	if e.Disabled != "" {
		view.Facts = append(view.Facts, noticeFact{"Disabled", readable(e.Disabled, maxLine)})
		view.Footer += " The endpoint is no longer called: PUT it again to enable it."
	}
	view.Subject = view.Heading
	view.Footer += " This mail goes to your account's address."
	return view
}
