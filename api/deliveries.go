package api

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
)

// deliveryDocument is one message and what became of it.
type deliveryDocument struct {
	ID             uuid.UUID         `json:"id"`
	Kind           string            `json:"kind" enum:"callback,test,partner,email"`
	EndpointID     uuid.UUID         `json:"endpointId" doc:"The callback endpoint; for kind partner the partner postback; for kind email the partnership, request or failing endpoint that the mail is about."`
	PartnerID      *uuid.UUID        `json:"partnerId" doc:"null unless kind is partner."`
	PartnerName    string            `json:"partnerName"`
	ConversionID   *uuid.UUID        `json:"conversionId"`
	Sequence       int64             `json:"sequence" doc:"The number of the conversion's transition; for kind email the offer's version, 0 for a request, a time in microseconds for a failing endpoint."`
	Status         string            `json:"status" doc:"The conversion's status in this message."`
	State          string            `json:"state" enum:"waiting,delivered,failed,superseded"`
	AttemptCount   int32             `json:"attemptCount"`
	NextAttemptAt  *time.Time        `json:"nextAttemptAt" doc:"null while it waits for an earlier message about the same conversion."`
	LastStatusCode *int32            `json:"lastStatusCode"`
	LastError      string            `json:"lastError"`
	IsTest         bool              `json:"isTest" doc:"Sent by a test; tried only once."`
	CreatedAt      time.Time         `json:"createdAt"`
	FinishedAt     *time.Time        `json:"finishedAt"`
	Attempts       []attemptDocument `json:"attempts"`
}

type attemptDocument struct {
	Number     int32     `json:"number"`
	At         time.Time `json:"at"`
	StatusCode int32     `json:"statusCode" doc:"0 if there was no answer; for kind email the mail server's reply code."`
	LatencyMs  int32     `json:"latencyMs"`
	Error      string    `json:"error"`
	URL        string    `json:"url" doc:"The address used; only for kinds partner and email, whose address is looked up for each attempt."`
	Answer     string    `json:"answer" doc:"The first 64 KiB of the answer; less if a page has many attempts."`
}

// deliveriesOfMember tell of a conversion of the member.
const deliveriesOfMember = `d.conversion_id IS NOT NULL AND d.conversion_id = ANY(ARRAY(
  SELECT c.id FROM conversions c WHERE c.tenant_id = current_tenant() AND ?))`

// The value 'Reversed' is the lanes' own mark of a rejection that takes a Success back.
var deliveryListing = listing[deliveryDocument]{
	from: `deliveries d LEFT JOIN partner_postbacks pp ON pp.tenant_id = d.tenant_id AND pp.id = d.endpoint_id
		LEFT JOIN partners p ON p.tenant_id = pp.tenant_id AND p.id = pp.partner_id`,
	columns: `d.id, d.kind, d.endpoint_id, pp.partner_id, coalesce(p.name, ''), d.conversion_id, d.sequence, replace(d.status, 'Reversed', 'Rejected'),
		d.state, d.attempts, d.next_attempt_at, d.last_status_code, d.last_error, d.is_test, d.created_at, d.finished_at`,
	where: "d.tenant_id = $1",
	fields: map[string]listField{
		"id": {column: "d.id", kind: fieldUUID}, "conversionId": {column: "d.conversion_id", kind: fieldUUID, unordered: true},
		"conversion": {column: "d.conversion_id", kind: fieldUUID, unordered: true}, "endpointId": {column: "d.endpoint_id", kind: fieldUUID, unordered: true},
		"endpoint": {column: "d.endpoint_id", kind: fieldUUID, unordered: true}, "partnerId": {column: "pp.partner_id", kind: fieldUUID, unordered: true},
		"pubMemberId": {column: "c.pub_member_id", kind: fieldMember, unordered: true, among: deliveriesOfMember},
		"state":       {column: "d.state"}, "kind": {column: "d.kind"}, "isTest": {column: "d.is_test", kind: fieldBool, unordered: true},
		"createdAt": {column: "d.created_at", kind: fieldTime}, "createdFrom": {column: "d.created_at", kind: fieldFrom, unordered: true},
		"createdTo": {column: "d.created_at", kind: fieldTo, unordered: true},
	},
	order: "createdAt", id: "d.id", // an id carries the time of its conversion's receipt
	scan: func(row pgx.CollectableRow) (d deliveryDocument, err error) {
		err = row.Scan(&d.ID, &d.Kind, &d.EndpointID, &d.PartnerID, &d.PartnerName, &d.ConversionID, &d.Sequence, &d.Status, &d.State, &d.AttemptCount,
			&d.NextAttemptAt, &d.LastStatusCode, &d.LastError, &d.IsTest, &d.CreatedAt, &d.FinishedAt)
		d.Attempts = []attemptDocument{}
		return d, err
	},
}

func (s *Server) listDeliveries(ctx context.Context, in *ListInput) (*pageOutput[deliveryDocument], error) {
	out := &pageOutput[deliveryDocument]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if out.Body, err = list(ctx, tx, s.now(), deliveryListing, *in, principal(ctx).TenantID); err != nil {
			return err
		}
		return addAttempts(ctx, tx, out.Body.Items)
	})
}

const (
	maxAnswerBytes = 64 << 10
	// maxPageAnswers bounds all answers of one page together, in characters.
	maxPageAnswers = 8 << 20
)

func addAttempts(ctx context.Context, tx pgx.Tx, items []deliveryDocument) error {
	ids, attempts := make([]uuid.UUID, len(items)), int32(1)
	byID := map[uuid.UUID]*deliveryDocument{}
	for i := range items {
		ids[i], byID[items[i].ID] = items[i].ID, &items[i]
		attempts += items[i].AttemptCount
	}
	rows, err := dbgen.New().AttemptsOfDeliveries(ctx, tx, min(maxAnswerBytes, maxPageAnswers/attempts), principal(ctx).TenantID, ids)
	for _, row := range rows {
		item := byID[row.DeliveryID]
		item.Attempts = append(item.Attempts, attemptDocument{
			Number: row.Number, At: row.At, StatusCode: row.StatusCode, LatencyMs: row.LatencyMs, Error: row.Error, URL: row.Url, Answer: row.Answer,
		})
	}
	return err
}

// resendLease is at least as long as an attempt may be under way: one that may be is left alone.
const resendLease = 30 * time.Second

// resendDelivery sends a message again, with the same id. One that waits is tried at once.
func (s *Server) resendDelivery(ctx context.Context, in *ByID) (*deliveryIDOutput, error) {
	out := &deliveryIDOutput{}
	out.Body.ID = in.ID
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		delivery, err := dbgen.New().GetDelivery(ctx, tx, principal(ctx).TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		if err := endpointsCalled(ctx, tx, &delivery.EndpointID); err != nil {
			return err
		}
		ids, err := s.resend(ctx, tx, dbgen.DeliveriesToResendParams{ID: &in.ID, PageLimit: 1})
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return problem.NotFound()
		}
		return s.audit(ctx, tx, "resend", "delivery", in.ID.String(), nil, nil)
	})
	s.nudge()
	return out, err
}

// endpointsCalled is 409 while an endpoint is not called; with nil, while the tenant's callback
// endpoint is not.
func endpointsCalled(ctx context.Context, tx pgx.Tx, id *uuid.UUID) error {
	row, err := dbgen.New().ClosedEndpoint(ctx, tx, principal(ctx).TenantID, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return problem.Conflict("The endpoint " + row.ID.String() + " is not called: it " + row.Why + ". PUT it again to enable it.")
}

// maxResend bounds one request: the rows are locked for as long as it runs.
const maxResend = 1000

type resendDeliveriesInput struct {
	Body struct {
		ConversionID *uuid.UUID `json:"conversionId,omitempty"`
		EndpointID   *uuid.UUID `json:"endpointId,omitempty"`
		Kind         *string    `json:"kind,omitempty" enum:"callback,test,partner,email"`
		State        *string    `json:"state,omitempty" enum:"waiting,delivered,failed,superseded" doc:"Default: failed."`
		CreatedFrom  string     `json:"createdFrom,omitempty" doc:"Start of the period: a date (included) or an RFC 3339 time."`
		CreatedTo    string     `json:"createdTo,omitempty" doc:"End of the period: a date (included) or an RFC 3339 time (excluded)."`
		TZ           string     `json:"tz,omitempty" doc:"IANA time zone for dates; default: the tenant's."`
	}
}

type resendDeliveriesOutput struct {
	Body struct {
		Count int  `json:"count" doc:"Number of messages that are resent."`
		More  bool `json:"more" doc:"true if there are more: at most 1000 are resent at once, so repeat the request."`
	}
}

// resendDeliveries sends again what a filter finds, oldest first. What belongs to an endpoint that is
// not called is left as it is; when there is nothing else, that is the answer.
func (s *Server) resendDeliveries(ctx context.Context, in *resendDeliveriesInput) (*resendDeliveriesOutput, error) {
	out := &resendDeliveriesOutput{}
	body, state := in.Body, "failed"
	if body.State != nil {
		state = *body.State
	}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		dates, err := calendarOf(ctx, tx, body.TZ, s.now())
		if err != nil {
			return err
		}
		if err := dates.optional("created", body.CreatedFrom, body.CreatedTo); err != nil {
			return err
		}
		ids, err := s.resend(ctx, tx, dbgen.DeliveriesToResendParams{
			ConversionID: body.ConversionID, EndpointID: body.EndpointID, Kind: body.Kind, State: &state,
			CreatedFrom: dates.from, CreatedTo: dates.to, PageLimit: maxResend,
		})
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return endpointsCalled(ctx, tx, body.EndpointID)
		}
		// Only what leaves its state is not found again by the next request.
		out.Body.Count, out.Body.More = len(ids), len(ids) == maxResend && state != "waiting"
		return s.audit(ctx, tx, "resend", "delivery", "bulk", nil, map[string]any{"filter": body, "ids": ids})
	})
	s.nudge()
	return out, err
}

func (s *Server) resend(ctx context.Context, tx pgx.Tx, filter dbgen.DeliveriesToResendParams) ([]uuid.UUID, error) {
	filter.TenantID = principal(ctx).TenantID
	ids, err := dbgen.New().DeliveriesToResend(ctx, tx, filter)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	at := s.now()
	err = dbgen.New().ResendDeliveries(ctx, tx, dbgen.ResendDeliveriesParams{
		TenantID: filter.TenantID, Ids: ids, Now: at, LeaseUntil: at.Add(resendLease),
	})
	if err != nil {
		return nil, err
	}
	return ids, announceDeliveries(ctx, tx, ids)
}
