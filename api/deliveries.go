package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
)

// deliveryDocument is one message and what became of it.
type deliveryDocument struct {
	ID             uuid.UUID         `json:"id"`
	Kind           string            `json:"kind"`
	EndpointID     uuid.UUID         `json:"endpointId"`
	ConversionID   *uuid.UUID        `json:"conversionId"`
	Sequence       int64             `json:"sequence"`
	Status         string            `json:"status" doc:"The conversion's status in this news."`
	State          string            `json:"state" enum:"waiting,delivered,failed,superseded"`
	AttemptCount   int32             `json:"attemptCount"`
	NextAttemptAt  *time.Time        `json:"nextAttemptAt" doc:"Null while it waits for an earlier news of the same conversion."`
	LastStatusCode *int32            `json:"lastStatusCode"`
	LastError      string            `json:"lastError"`
	CreatedAt      time.Time         `json:"createdAt"`
	FinishedAt     *time.Time        `json:"finishedAt"`
	Attempts       []attemptDocument `json:"attempts"`
}

type attemptDocument struct {
	Number     int32     `json:"number"`
	At         time.Time `json:"at"`
	StatusCode int32     `json:"statusCode" doc:"0 when there was no answer."`
	LatencyMs  int32     `json:"latencyMs"`
	Error      string    `json:"error"`
	Answer     string    `json:"answer" doc:"The first 64 KiB of the answer; less where a page holds many attempts."`
}

// The value 'Reversed' is the lanes' own mark of a rejection that takes a Success back.
var deliveryListing = listing[deliveryDocument]{
	from: "deliveries",
	columns: `id, kind, endpoint_id, conversion_id, sequence, replace(status, 'Reversed', 'Rejected'), state, attempts, next_attempt_at,
		last_status_code, last_error, created_at, finished_at`,
	where: "tenant_id = $1",
	fields: map[string]listField{
		"id": {column: "id", kind: fieldUUID}, "conversionId": {column: "conversion_id", kind: fieldUUID, unordered: true},
		"conversion": {column: "conversion_id", kind: fieldUUID, unordered: true}, "endpointId": {column: "endpoint_id", kind: fieldUUID, unordered: true},
		"endpoint": {column: "endpoint_id", kind: fieldUUID, unordered: true}, "state": {column: "state"}, "kind": {column: "kind"},
		"createdAt": {column: "created_at", kind: fieldTime}, "createdFrom": {column: "created_at", kind: fieldFrom, unordered: true},
		"createdTo": {column: "created_at", kind: fieldTo, unordered: true},
	},
	order: "id", id: "id",
	scan: func(row pgx.CollectableRow) (d deliveryDocument, err error) {
		err = row.Scan(&d.ID, &d.Kind, &d.EndpointID, &d.ConversionID, &d.Sequence, &d.Status, &d.State, &d.AttemptCount, &d.NextAttemptAt,
			&d.LastStatusCode, &d.LastError, &d.CreatedAt, &d.FinishedAt)
		d.Attempts = []attemptDocument{}
		return d, err
	},
}

func (s *Server) listDeliveries(ctx context.Context, in *ListInput) (*pageOutput[deliveryDocument], error) {
	out := &pageOutput[deliveryDocument]{}
	return out, s.tenant(ctx, func(tx pgx.Tx) (err error) {
		if out.Body, err = list(ctx, tx, deliveryListing, *in, principal(ctx).TenantID); err != nil {
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
			Number: row.Number, At: row.At, StatusCode: row.StatusCode, LatencyMs: row.LatencyMs, Error: row.Error, Answer: row.Answer,
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
	err := s.tenant(ctx, func(tx pgx.Tx) error {
		if _, err := enabledEndpoint(ctx, tx); err != nil {
			return err
		}
		ids, err := resend(ctx, tx, dbgen.DeliveriesToResendParams{ID: &in.ID, PageLimit: 1})
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return notFound()
		}
		return audit(ctx, tx, "resend", "delivery", in.ID.String(), nil, nil)
	})
	s.nudge()
	return out, err
}

// maxResend bounds one request: the rows are locked for as long as it runs.
const maxResend = 1000

type resendDeliveriesInput struct {
	Body struct {
		ConversionID *uuid.UUID `json:"conversionId,omitempty"`
		EndpointID   *uuid.UUID `json:"endpointId,omitempty"`
		State        *string    `json:"state,omitempty" enum:"waiting,delivered,failed,superseded" doc:"failed, unless it is given."`
		CreatedFrom  *time.Time `json:"createdFrom,omitempty"`
		CreatedTo    *time.Time `json:"createdTo,omitempty"`
	}
}

type resendDeliveriesOutput struct {
	Body struct {
		Count int  `json:"count" doc:"How many messages go out again."`
		More  bool `json:"more" doc:"At most 1000 go at once: send the request again for the rest."`
	}
}

// resendDeliveries sends again what a filter finds, oldest first.
func (s *Server) resendDeliveries(ctx context.Context, in *resendDeliveriesInput) (*resendDeliveriesOutput, error) {
	out := &resendDeliveriesOutput{}
	body, state := in.Body, "failed"
	if body.State != nil {
		state = *body.State
	}
	err := s.tenant(ctx, func(tx pgx.Tx) error {
		if _, err := enabledEndpoint(ctx, tx); err != nil {
			return err
		}
		ids, err := resend(ctx, tx, dbgen.DeliveriesToResendParams{
			ConversionID: body.ConversionID, EndpointID: body.EndpointID, State: &state,
			CreatedFrom: body.CreatedFrom, CreatedTo: body.CreatedTo, PageLimit: maxResend,
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		// Only what leaves its state is not found again by the next request.
		out.Body.Count, out.Body.More = len(ids), len(ids) == maxResend && state != "waiting"
		return audit(ctx, tx, "resend", "delivery", "bulk", nil, map[string]any{"filter": body, "ids": ids})
	})
	s.nudge()
	return out, err
}

func resend(ctx context.Context, tx pgx.Tx, filter dbgen.DeliveriesToResendParams) ([]uuid.UUID, error) {
	filter.TenantID = principal(ctx).TenantID
	ids, err := dbgen.New().DeliveriesToResend(ctx, tx, filter)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	at := now()
	err = dbgen.New().ResendDeliveries(ctx, tx, dbgen.ResendDeliveriesParams{
		TenantID: filter.TenantID, Ids: ids, Now: at, LeaseUntil: at.Add(resendLease),
	})
	if err != nil {
		return nil, err
	}
	return ids, announceDeliveries(ctx, tx, ids)
}
