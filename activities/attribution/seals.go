package attribution

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

// A message of the stream, or an argument of a workflow, may grant what only we may grant: an upload
// needs no advertiser's token, a review approves. Whoever can reach the stream server or the workflow
// engine can write one. So each carries a seal, a MAC under OFFERFLOW_SECRET_KEYS, and is believed for
// that alone.

// The purposes of seals.
const (
	sealedMessage = "stream message"
	sealedDecide  = "decide"
	sealedSettle  = "settle"
)

// ErrUnsealed is for what none of our keys sealed. No retry mends it.
var ErrUnsealed = fmt.Errorf("%w: not sealed with any of OFFERFLOW_SECRET_KEYS: it was not written by this installation, "+
	"or by a process that has other keys or an older release", stream.ErrBad)

// MessageSeal seals messages: it is stream.Conn's Seal.
func MessageSeal(keys *keyring.Keyring) func(subject string, data []byte) string {
	return func(subject string, data []byte) string { return keys.Sign(sealedMessage, []byte(subject), data) }
}

// SealPostback seals a postback for the workflow of a click that the tenant decides about.
func SealPostback(keys *keyring.Keyring, tenantID uuid.UUID, postback domain.Postback) (domain.Postback, error) {
	parts, err := postbackParts(tenantID, postback)
	postback.Seal = keys.Sign(sealedDecide, parts...)
	return postback, err
}

// SealReview seals what a person asks of a conversion's workflow.
func SealReview(keys *keyring.Keyring, request TransitionRequest) (TransitionRequest, error) {
	text, err := requestText(request)
	request.Seal = keys.Sign(sealedSettle, text)
	return request, err
}

func postbackParts(tenantID uuid.UUID, postback domain.Postback) ([][]byte, error) {
	postback.Seal = ""
	text, err := json.Marshal(postback)
	return [][]byte{tenantID[:], text}, err
}

func requestText(request TransitionRequest) ([]byte, error) {
	request.Seal = ""
	return json.Marshal(request)
}

// Seals checks them.
type Seals struct {
	Keys  *keyring.Keyring
	Store *db.Store
	Now   func() time.Time

	// until is when what has no seal ceases to be believed, once it is known.
	until atomic.Pointer[time.Time]
}

// Message returns ErrUnsealed for a message that the stream took at an instant and that none of our
// processes wrote. Any other error passes.
func (s *Seals) Message(ctx context.Context, subject string, data []byte, seal string, at time.Time) error {
	if s.Keys.Signed(seal, sealedMessage, []byte(subject), data) {
		return nil
	}
	return s.earlier(ctx, seal, at)
}

// earlier lets what the release before wrote without a seal pass for a while after the upgrade.
func (s *Seals) earlier(ctx context.Context, seal string, at time.Time) error {
	if seal != "" {
		return ErrUnsealed
	}
	until := s.until.Load()
	if until == nil {
		read, err := queries.SystemUnsealedUntil(ctx, s.Store.SystemPool())
		if err != nil {
			return fmt.Errorf("until when messages need no seal: %w", err)
		}
		until = &read
		s.until.Store(until)
	}
	if at.Before(*until) {
		return nil
	}
	return ErrUnsealed
}

// Sealed are the decisions that workflows ask for. What a workflow hands on came from outside.
type Sealed struct {
	Decisions *Decisions
	Seals     *Seals
}

// Decide is Decisions.Decide for a sealed postback.
func (s *Sealed) Decide(ctx context.Context, tenantID uuid.UUID, postback domain.Postback) (DecisionResult, error) {
	parts, err := postbackParts(tenantID, postback)
	if err != nil {
		return DecisionResult{}, activities.Undecodable(err)
	}
	if !s.Seals.Keys.Signed(postback.Seal, sealedDecide, parts...) {
		if err := s.Seals.earlier(ctx, postback.Seal, s.Seals.Now()); err != nil {
			return DecisionResult{}, fmt.Errorf("postback %s: %w", postback.ID, err)
		}
	}
	postback.Seal = ""
	return s.Decisions.Decide(ctx, tenantID, postback)
}

// ApplyTransition is Decisions.ApplyTransition: for a release, which comes of its time and of nobody's word, or for a
// sealed review.
func (s *Sealed) ApplyTransition(ctx context.Context, request TransitionRequest) (TransitionResult, error) {
	if request.Action == domain.ActionRelease {
		return s.Decisions.ApplyTransition(ctx, TransitionRequest{
			TenantID: request.TenantID, ConversionID: request.ConversionID, Action: domain.ActionRelease, RequestID: ReleaseRequestID,
		})
	}
	text, err := requestText(request)
	if err != nil {
		return TransitionResult{}, activities.Undecodable(err)
	}
	if !s.Seals.Keys.Signed(request.Seal, sealedSettle, text) {
		if err := s.Seals.earlier(ctx, request.Seal, s.Seals.Now()); err != nil {
			return TransitionResult{}, fmt.Errorf("review of conversion %s: %w", request.ConversionID, err)
		}
	}
	request.Seal = ""
	return s.Decisions.ApplyTransition(ctx, request)
}
