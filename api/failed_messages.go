package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/stream"
)

// What no retry mends waits here until a person sends it again: a tenant's own in its own list, all of
// them in the operator's, which alone has what is of no one tenant.

// failedMessage is a message or an item of work that failed for good.
type failedMessage struct {
	ID            uuid.UUID  `json:"id"`
	TenantID      *uuid.UUID `json:"tenantId" doc:"null if it belongs to several tenants or its tenant is unknown; only the operator sees these."`
	Source        string     `json:"source" doc:"Where it failed: the name of a consumer (clicks, postbacks, callbacks, …), outbox, held, release or exchange."`
	Subject       string     `json:"subject" doc:"The subject to which it is resent; empty if it is not a message and the sweep retries it."`
	About         *uuid.UUID `json:"about" doc:"The id of the postback or conversion concerned."`
	Error         string     `json:"error"`
	Attempts      int64      `json:"attempts" doc:"Total number of attempts."`
	State         string     `json:"state" enum:"failed,resent" doc:"A resent message that fails again is failed again."`
	FirstFailedAt time.Time  `json:"firstFailedAt"`
	FailedAt      time.Time  `json:"failedAt"`
	ResentAt      *time.Time `json:"resentAt"`
	ResentBy      string     `json:"resentBy"`
	ResentByName  string     `json:"resentByName" doc:"resentBy, with the token's name instead of its id."`
}

type failedMessageOutput struct {
	Body struct {
		FailedMessage
		Payload json.RawMessage `json:"payload" doc:"The message. Secrets in it are hashed or encrypted."`
		Raw     []byte          `json:"raw,omitempty" doc:"The message's bytes in base64, if it is not JSON."`
	}
}

var failedMessageListing = listing[failedMessage]{
	from: "failed_messages", where: ownRows,
	columns: "tenant_id, id, source, subject, about, error, attempts, state, first_failed_at, failed_at, resent_at, resent_by",
	fields: map[string]listField{
		"id": {column: "id", kind: fieldUUID}, "source": {column: "source", unordered: true}, "state": {column: "state", unordered: true},
		"about": {column: "about", kind: fieldUUID, unordered: true}, "error": {column: "error", kind: fieldSearch, unordered: true},
		"failedFrom": {column: "failed_at", kind: fieldFrom, unordered: true}, "failedTo": {column: "failed_at", kind: fieldTo, unordered: true},
	},
	order: "id", id: "id",
	scan: func(row pgx.CollectableRow) (m failedMessage, err error) {
		err = row.Scan(&m.TenantID, &m.ID, &m.Source, &m.Subject, &m.About, &m.Error, &m.Attempts, &m.State, &m.FirstFailedAt, &m.FailedAt, &m.ResentAt, &m.ResentBy)
		return m, err
	},
}

// allFailedMessages is the operator's list, of every tenant and of none.
func allFailedMessages() listing[failedMessage] {
	all := failedMessageListing
	all.where = ""
	all.fields = map[string]listField{"tenantId": {column: "tenant_id", kind: fieldUUID, unordered: true}}
	for name, field := range failedMessageListing.fields {
		all.fields[name] = field
	}
	return all
}

func (s *Server) listFailedMessages(ctx context.Context, in *ListInput) (*pageOutput[failedMessage], error) {
	out := &pageOutput[failedMessage]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if out.Body, err = list(ctx, tx, s.now(), failedMessageListing, *in); err != nil {
			return err
		}
		return nameActors(ctx, tx, out.Body.Items, func(m *failedMessage) *string { return &m.ResentBy }, func(m *failedMessage) *string { return &m.ResentByName })
	})
}

func (s *Server) listAllFailedMessages(ctx context.Context, in *ListInput) (*pageOutput[failedMessage], error) {
	out := &pageOutput[failedMessage]{}
	return out, s.system(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		out.Body, err = list(ctx, tx, s.now(), allFailedMessages(), *in)
		return err
	})
}

func (s *Server) getFailedMessage(ctx context.Context, in *ByID) (*failedMessageOutput, error) {
	return s.failedMessage(ctx, func(ctx context.Context, tx pgx.Tx) (dbgen.FailedMessage, error) {
		return dbgen.New().GetFailedMessage(ctx, tx, principal(ctx).TenantID, in.ID)
	}, s.tenant)
}

func (s *Server) getAnyFailedMessage(ctx context.Context, in *ByID) (*failedMessageOutput, error) {
	return s.failedMessage(ctx, func(ctx context.Context, tx pgx.Tx) (dbgen.FailedMessage, error) {
		return dbgen.New().SystemGetFailedMessage(ctx, tx, in.ID)
	}, s.system)
}

func (s *Server) failedMessage(ctx context.Context, get func(ctx context.Context, tx pgx.Tx) (dbgen.FailedMessage, error),
	inTx func(context.Context, func(ctx context.Context, tx pgx.Tx) error) error,
) (*failedMessageOutput, error) {
	out := &failedMessageOutput{}
	return out, inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		m, err := get(ctx, tx)
		if err != nil {
			return orNotFound(err)
		}
		names, err := actorNames(ctx, tx, orZero(m.TenantID), m.ResentBy)
		if err != nil {
			return err
		}
		out.Body.FailedMessage = failedMessage{
			ResentByName: names[0],
			TenantID:     m.TenantID, ID: m.ID, Source: m.Source, Subject: m.Subject, About: m.About, Error: m.Error, Attempts: m.Attempts, State: m.State,
			FirstFailedAt: m.FirstFailedAt, FailedAt: m.FailedAt, ResentAt: m.ResentAt, ResentBy: m.ResentBy,
		}
		if out.Body.Payload = m.Payload; !json.Valid(m.Payload) {
			out.Body.Payload, out.Body.Raw = json.RawMessage("null"), m.Payload
		}
		return nil
	})
}

// resendAtMost bounds one request: each message is put on disk before the next.
const resendAtMost = 1000

type resendFailedInput struct {
	Body struct {
		Source *string `json:"source,omitempty" doc:"Only messages that failed here."`
	}
}

type resendAllFailedInput struct {
	Body struct {
		Source   *string    `json:"source,omitempty" doc:"Only messages that failed here."`
		TenantID *uuid.UUID `json:"tenantId,omitempty"`
	}
}

type resentOutput struct {
	Body struct {
		Count int  `json:"count" doc:"Number of messages that were resent."`
		More  bool `json:"more" doc:"true if there are more: at most 1000 are resent at once, so repeat the request."`
	}
}

func (s *Server) resendFailedMessage(ctx context.Context, in *ByID) (*resentOutput, error) {
	out, err := s.resendOwn(ctx, &in.ID, nil, 1)
	if err == nil && out.Body.Count == 0 {
		_, err = s.getFailedMessage(ctx, in)
		err = cmp.Or(err, error(errNotWaiting()))
	}
	return out, err
}

func (s *Server) resendFailedMessages(ctx context.Context, in *resendFailedInput) (*resentOutput, error) {
	return s.resendOwn(ctx, nil, in.Body.Source, resendAtMost)
}

func (s *Server) resendAnyFailedMessage(ctx context.Context, in *ByID) (*resentOutput, error) {
	out, err := s.resendAny(ctx, &in.ID, nil, nil, 1)
	if err == nil && out.Body.Count == 0 {
		_, err = s.getAnyFailedMessage(ctx, in)
		err = cmp.Or(err, error(errNotWaiting()))
	}
	return out, err
}

func (s *Server) resendAllFailedMessages(ctx context.Context, in *resendAllFailedInput) (*resentOutput, error) {
	return s.resendAny(ctx, nil, in.Body.Source, in.Body.TenantID, resendAtMost)
}

func errNotWaiting() *problem.Problem {
	return problem.Conflict("The message was already resent and has not failed since.")
}

func (s *Server) resendOwn(ctx context.Context, id *uuid.UUID, source *string, atMost int32) (*resentOutput, error) {
	q, tenantID := dbgen.New(), principal(ctx).TenantID
	return s.resendFailed(ctx, s.tenant, failedStore{
		find: func(ctx context.Context, tx pgx.Tx) ([]dbgen.FailedMessage, error) {
			return q.FailedMessagesToResend(ctx, tx, dbgen.FailedMessagesToResendParams{TenantID: tenantID, ID: id, Source: source, AtMost: atMost})
		},
		revive: func(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
			return q.ReviveHeld(ctx, tx, tenantID, ids)
		},
		mark: func(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, attempts []int64) error {
			err := q.MarkResent(ctx, tx, dbgen.MarkResentParams{
				TenantID: tenantID, Ids: ids, Attempts: attempts, ResentAt: s.now(), ResentBy: principal(ctx).Actor,
			})
			if err != nil {
				return err
			}
			return s.audit(ctx, tx, "resend", "failed_message", "bulk", nil, map[string]any{"ids": ids})
		},
	}, atMost)
}

func (s *Server) resendAny(ctx context.Context, id *uuid.UUID, source *string, tenantID *uuid.UUID, atMost int32) (*resentOutput, error) {
	q := dbgen.New()
	return s.resendFailed(ctx, s.system, failedStore{
		find: func(ctx context.Context, tx pgx.Tx) ([]dbgen.FailedMessage, error) {
			return q.SystemFailedMessagesToResend(ctx, tx, dbgen.SystemFailedMessagesToResendParams{ID: id, Source: source, TenantID: tenantID, AtMost: atMost})
		},
		revive: func(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error { return q.SystemReviveHeld(ctx, tx, ids) },
		mark: func(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, attempts []int64) error {
			slog.InfoContext(ctx, "failed messages were sent again by the operator", "ids", ids)
			return q.SystemMarkResent(ctx, tx, dbgen.SystemMarkResentParams{
				Ids: ids, Attempts: attempts, ResentAt: s.now(), ResentBy: principal(ctx).Actor,
			})
		},
	}, atMost)
}

// failedStore are the statements of a tenant, or of the operator.
type failedStore struct {
	find   func(ctx context.Context, tx pgx.Tx) ([]dbgen.FailedMessage, error)
	revive func(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error
	// mark leaves alone what has failed again since it was found: its attempts are others.
	mark func(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, attempts []int64) error
}

// resendFailed puts messages on disk, outside any transaction, and then marks them: after a crash in
// between they wait to be sent again, and whoever handles them finds them done. Held ones are found by
// their handler only once they are revived: they follow after the commit, and the sweep has them if that
// fails.
func (s *Server) resendFailed(ctx context.Context, inTx func(context.Context, func(ctx context.Context, tx pgx.Tx) error) error,
	store failedStore, atMost int32,
) (*resentOutput, error) {
	var messages, held []dbgen.FailedMessage
	err := inTx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		messages, err = store.find(ctx, tx)
		return err
	})
	out := &resentOutput{}
	if err != nil || len(messages) == 0 {
		return out, err
	}
	var ids, revived []uuid.UUID
	var attempts []int64
	for _, m := range messages {
		ids, attempts = append(ids, m.ID), append(attempts, m.Attempts)
		if m.Source == stream.SourceHeld && m.About != nil {
			held, revived = append(held, m), append(revived, *m.About)
		} else if err := s.sendAgain(ctx, m); err != nil {
			return nil, err
		}
	}
	out.Body.Count, out.Body.More = len(ids), len(ids) == int(atMost) && atMost > 1
	err = inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(store.revive(ctx, tx, revived), store.mark(ctx, tx, ids, attempts))
	})
	if err != nil {
		return nil, err
	}
	for _, m := range held {
		if err := s.sendAgain(ctx, m); err != nil {
			slog.WarnContext(ctx, "a held postback was not sent again, the sweep decides it", "postback", m.About, "error", err)
		}
	}
	return out, nil
}

// sendAgain puts a message on disk; what is none is taken up by the sweep.
func (s *Server) sendAgain(ctx context.Context, m dbgen.FailedMessage) error {
	if m.Subject == "" {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	if m.Seal != nil { // nobody's word makes it one of ours
		return s.Stream.PublishSealed(ctx, m.Subject, "", m.Payload, *m.Seal)
	}
	return s.Stream.Publish(ctx, m.Subject, "", m.Payload)
}
