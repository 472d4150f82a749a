package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
)

// maxInSequence bounds how many messages of one queue are sent one after the other by one caller.
const maxInSequence = 3

// attemptResult is what became of a delivery's attempt.
type attemptResult struct {
	// ended: delivered, failed or superseded. Otherwise it is tried again at nextAt.
	ended  bool
	nextAt time.Time
}

func (a *attempt) ref() stream.DeliveryEvent {
	return stream.DeliveryEvent{TenantID: a.row.TenantID, DeliveryID: a.row.ID}
}

// run makes a claimed attempt, and then those of the messages that waited for it. The caller holds
// a slot of the breaker. Only the first one's result is the caller's to follow up.
func (d *Deliveries) run(ctx context.Context, first *attempt, due time.Time) (result attemptResult) {
	current := first
	for n := 1; ; n++ {
		if current.row.Attempts == 0 && current.row.Kind == kindCallback && current.row.Status == string(domain.StatusSuccess) {
			rewardLatency.Observe(max(0, d.now().Sub(due).Seconds()))
		}
		outcome, next := d.attemptOnce(ctx, current, n < maxInSequence)
		if n == 1 {
			result = outcome
		} else if !outcome.ended {
			d.handOver(ctx, current.ref(), outcome.nextAt)
		}
		if next == nil {
			return result
		}
		if next.attempt == nil {
			d.handOver(ctx, next.retry, next.retryAt)
			return result
		}
		current, due = next.attempt, next.attempt.row.CreatedAt
	}
}

// attemptOnce sends and writes down what came of it. When that cannot be written, the lease runs
// out and the attempt is made again: at least once.
func (d *Deliveries) attemptOnce(ctx context.Context, a *attempt, goOn bool) (attemptResult, *queueMove) {
	answer := d.send(ctx, a)
	verdict, isUp := verdictOf(a.row.Kind, answer.StatusCode)
	d.breakerOf(a).record(a.row.EndpointID, isUp, d.now())
	callbackAttempts.WithLabelValues(a.row.Kind, string(verdict)).Inc()
	if a.row.Kind != kindEmail {
		callbackSeconds.WithLabelValues(string(verdict)).Observe(answer.Latency.Seconds())
	}
	var result attemptResult
	var next *queueMove
	err := d.inTenant(ctx, a.row.TenantID, func(ctx context.Context, tx pgx.Tx) (err error) {
		result, next, err = d.record(ctx, tx, a, answer, verdict, goOn)
		return err
	})
	if activities.Permanent(err) { // not made again and again because of what was answered
		err = d.fail(ctx, a.ref(), err)
		result.ended = err == nil
	}
	if err != nil {
		slog.Error("a delivery's attempt could not be recorded and will be repeated", "delivery", a.row.ID, "error", err)
		return attemptResult{nextAt: a.leaseUntil}, nil
	}
	if verdict == domain.VerdictDisable {
		d.disable(ctx, a)
	}
	return result, next
}

// verdictOf says what an answer means for its message, and whether it is the answer of a server that
// works. A mail server that puts one message off still takes the others.
func verdictOf(kind string, code int) (verdict domain.Verdict, isUp bool) {
	if kind == kindEmail {
		return domain.JudgeMail(code), code != 0 && code != smtpUnavailable
	}
	verdict = domain.JudgeAnswer(code)
	return verdict, verdict != domain.VerdictRetry
}

// inTenant runs a transaction anew when that may help: an attempt that is not written down is made
// twice, and an endpoint's disabling may meet the queues' own writes in a deadlock.
func (d *Deliveries) inTenant(ctx context.Context, tenantID uuid.UUID, fn func(ctx context.Context, tx pgx.Tx) error) error {
	return db.Retry(db.Retryable, func() error { return d.store.Tenant(ctx, tenantID, fn) })
}

// send makes the request and sends it. Secrets are opened here and live no longer than this call.
func (d *Deliveries) send(ctx context.Context, a *attempt) outbound.Answer {
	at := d.now()
	answer := outbound.Answer{}
	switch a.row.Kind {
	case kindPartner:
		answer = d.sendPartner(ctx, a)
	case kindEmail:
		answer = d.sendNotice(ctx, a)
	default:
		answer = d.sendCallback(ctx, a, at)
	}
	answer.At = at
	return answer
}

// sendPartner fills the partner's template in. It carries the message's id, and no secret of ours.
func (d *Deliveries) sendPartner(ctx context.Context, a *attempt) outbound.Answer {
	var values map[string]string
	if err := json.Unmarshal([]byte(a.row.Body), &values); err != nil {
		return outbound.Answer{Error: "the message cannot be read"}
	}
	request := domain.NewPartnerRequest(a.endpoint.Method, a.endpoint.Url, values)
	header := http.Header{"User-Agent": {userAgent}, "Webhook-Id": {a.row.ID.String()}}
	if kind := request.ContentType(); kind != "" {
		header.Set("Content-Type", kind)
	}
	a.calledURL = request.URL
	return d.http.Call(ctx, request.Method, request.URL, header, []byte(request.Body))
}

// sendCallback signs and posts the stored bytes.
func (d *Deliveries) sendCallback(ctx context.Context, a *attempt, now time.Time) outbound.Answer {
	body := []byte(a.row.Body)
	failed := func(what string) outbound.Answer { return outbound.Answer{Error: what} }
	signature, err := d.sign(a, now, body)
	if err != nil {
		return failed("the signing secret cannot be opened")
	}
	header := http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {userAgent},
		"Webhook-Id": {a.row.ID.String()}, "Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)}, "Webhook-Signature": {signature},
	}
	var secret []byte
	if a.endpoint.HeaderName != "" {
		if secret, err = d.open(a.endpoint.HeaderValueSealed); err != nil {
			return failed("the header value cannot be opened")
		}
		header.Set(a.endpoint.HeaderName, string(secret))
	}
	// Some receivers echo what they get, and answers are shown to whoever may read deliveries.
	return d.http.Call(ctx, http.MethodPost, a.endpoint.Url, header, body, string(secret))
}

const userAgent = "Offerflow"

// sign makes one signature, or two while a rotation's previous secret lives.
func (d *Deliveries) sign(a *attempt, now time.Time, body []byte) (string, error) {
	sealed := []string{a.endpoint.SecretSealed}
	if a.endpoint.PreviousExpiresAt != nil && now.Before(*a.endpoint.PreviousExpiresAt) {
		sealed = append(sealed, a.endpoint.PreviousSecretSealed)
	}
	secrets := make([]string, len(sealed))
	for i, text := range sealed {
		secret, err := d.keys.Open(text)
		if err != nil {
			return "", err
		}
		secrets[i] = string(secret)
	}
	return domain.SignCallback(secrets, a.row.ID.String(), now, body)
}

func (d *Deliveries) open(sealed string) ([]byte, error) {
	if sealed == "" {
		return nil, nil
	}
	return d.keys.Open(sealed)
}

// record writes one attempt and what follows from it for the delivery and its queue.
func (d *Deliveries) record(
	ctx context.Context, tx pgx.Tx, a *attempt, answer outbound.Answer, verdict domain.Verdict, goOn bool,
) (attemptResult, *queueMove, error) {
	queue := queueOf(&a.row)
	if err := queue.lock(ctx, tx); err != nil {
		return attemptResult{}, nil, err
	}
	row, err := queries.LockDelivery(ctx, tx, a.row.TenantID, a.row.ID)
	if err != nil {
		return attemptResult{}, nil, err
	}
	failures, err := d.insertAttempt(ctx, tx, a, &row, answer)
	if err != nil {
		return attemptResult{}, nil, err
	}
	after := d.outcome(&row, answer, verdict, failures)
	if err := queries.RecordDelivery(ctx, tx, after); err != nil {
		return attemptResult{}, nil, err
	}
	if after.State == stateWaiting {
		return attemptResult{nextAt: *after.NextAttemptAt}, nil, d.countAttempt(ctx, tx, &row, &after)
	}
	if row.State == stateWaiting {
		reportEnd(&row, &after)
	}
	next, err := d.advance(ctx, tx, queue, advanceOptions{isAdmitted: true, leaveToRetry: !goOn, endedLease: a.leaseUntil})
	if err == nil && after.State == stateFailed {
		err = d.countAttempt(ctx, tx, &row, &after)
	}
	return attemptResult{ended: true}, next, err
}

// insertAttempt writes the attempt and counts the failures of the present schedule, this one among
// them if it failed.
func (d *Deliveries) insertAttempt(ctx context.Context, tx pgx.Tx, a *attempt, row *dbgen.Delivery, answer outbound.Answer) (int, error) {
	err := queries.InsertDeliveryAttempt(ctx, tx, dbgen.InsertDeliveryAttemptParams{
		TenantID: row.TenantID, DeliveryID: row.ID, Number: row.Attempts + 1, At: answer.At, StatusCode: statusCode(answer),
		LatencyMs: int32(max(0, min(answer.Latency.Milliseconds(), math.MaxInt32))), Error: answer.Error, Answer: answer.Body, Url: a.calledURL,
	})
	if err != nil {
		return 0, err
	}
	failures, err := queries.CountRecentAttempts(ctx, tx, row.TenantID, row.ID)
	return int(failures), err
}

// statusCode is as the database keeps it: a receiver may answer with any number.
func statusCode(answer outbound.Answer) int32 {
	return int32(max(0, min(answer.StatusCode, math.MaxInt32)))
}

// outcome is the delivery's row after an attempt (rule 51). A test is tried once: somebody watches.
func (d *Deliveries) outcome(row *dbgen.Delivery, answer outbound.Answer, verdict domain.Verdict, failures int) dbgen.RecordDeliveryParams {
	now := d.now()
	status := statusCode(answer)
	after := dbgen.RecordDeliveryParams{
		TenantID: row.TenantID, ID: row.ID, Attempts: row.Attempts + 1, State: row.State, NextAttemptAt: row.NextAttemptAt,
		LastStatusCode: &status, LastError: answer.Error, FinishedAt: row.FinishedAt,
	}
	if after.LastError == "" && verdict != domain.VerdictDelivered {
		after.LastError = fmt.Sprintf("answered with status %d", answer.StatusCode)
	}
	if row.Kind != kindEmail { // that a mail about an endpoint arrives does not mean that the endpoint works
		after.EndpointID = row.EndpointID
	}
	end := func(state string) {
		after.State, after.NextAttemptAt, after.FinishedAt = state, nil, &now
	}
	nextAt, giveUp := domain.NextAttempt(failures, now, d.jitter)
	switch {
	case verdict == domain.VerdictDelivered:
		end(stateDelivered)
	case row.State != stateWaiting:
		// It ended meanwhile, superseded or failed with its endpoint: a failure changes nothing.
	case verdict != domain.VerdictRetry, giveUp, row.IsTest, row.Kind == kindTest:
		end(stateFailed)
	default:
		if wanted := domain.RetryAfter(answer.RetryAfter, now); wanted.After(nextAt) {
			nextAt = wanted
		}
		after.NextAttemptAt = &nextAt
	}
	return after
}

func reportEnd(row *dbgen.Delivery, after *dbgen.RecordDeliveryParams) {
	callbacksEnded.WithLabelValues(row.Kind, after.State).Inc()
	if after.State == stateFailed && !row.IsTest {
		slog.Error("a delivery failed for good", "kind", row.Kind, "tenant", row.TenantID, "delivery", row.ID, "conversion", row.ConversionID,
			"attempts", after.Attempts, "error", after.LastError)
	}
}

// disable switches off an endpoint that answered 410 and ends what waits for it, visible as failed
// (rule 51). It is a transaction of its own: it touches many queues, and must not hold the lock of
// one of them meanwhile.
func (d *Deliveries) disable(ctx context.Context, a *attempt) {
	var failed int64
	err := d.inTenant(ctx, a.row.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		changed, err := queries.DisableEndpoint(ctx, tx, dbgen.DisableEndpointParams{
			TenantID: a.row.TenantID, ID: a.endpoint.ID, Url: a.endpoint.Url, DisabledAt: d.now(), DisabledReason: "answered 410 Gone",
		})
		if err != nil || changed == 0 {
			return err
		}
		failed, err = queries.FailWaitingOfEndpoint(ctx, tx, dbgen.FailWaitingOfEndpointParams{
			TenantID: a.row.TenantID, EndpointID: a.endpoint.ID, LastError: errorDisabled, FinishedAt: d.now(),
		})
		if err != nil || failed == 0 {
			return err
		}
		return d.countFailure(ctx, tx, &endpointFailure{
			tenantID: a.row.TenantID, endpointID: a.endpoint.ID, kind: a.endpoint.Kind, lost: failed, err: errorDisabled,
		})
	})
	if err != nil {
		slog.Error("an endpoint that answered 410 could not be disabled; its next 410 will", "tenant", a.row.TenantID, "error", err)
		return
	}
	callbacksEnded.WithLabelValues(a.row.Kind, stateFailed).Add(float64(failed))
	slog.Error("an endpoint answered 410 and is disabled", "kind", a.endpoint.Kind, "tenant", a.row.TenantID, "endpoint", a.endpoint.ID, "failed", failed)
}
