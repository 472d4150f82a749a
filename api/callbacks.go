package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// rotationOverlap is how long both secrets sign after a rotation.
const rotationOverlap = 24 * time.Hour

// EndpointDocument is the tenant's callback endpoint without its secrets.
type EndpointDocument struct {
	ID         uuid.UUID `json:"id"`
	URL        string    `json:"url"`
	Events     []string  `json:"events" doc:"The statuses that are sent. Success and its reversal are always sent."`
	HeaderName string    `json:"headerName" doc:"The name of the custom header; its value is never shown."`
	Signature  string    `json:"signature" enum:"v1,v1a"`
	// PreviousSecretUntil is when the secret before a rotation stops signing.
	PreviousSecretUntil *time.Time      `json:"previousSecretUntil" doc:"Until then messages are also signed with the previous secret."`
	DisabledAt          *time.Time      `json:"disabledAt" doc:"Set when the endpoint answered 410; a PUT enables it again."`
	DisabledReason      string          `json:"disabledReason"`
	CreatedAt           time.Time       `json:"createdAt"`
	Health              *endpointHealth `json:"health" doc:"Its health; null if it has never failed."`
}

// EndpointSecret is shown when it is made, and never again.
type EndpointSecret struct {
	SigningSecret string `json:"signingSecret,omitempty" doc:"whsec_…, for signature v1. Shown only once."`
	PublicKey     string `json:"publicKey,omitempty" doc:"whpk_…, for signature v1a."`
}

type endpointOutput struct{ Body EndpointDocument }

type endpointSecretOutput struct {
	Body struct {
		EndpointDocument
		EndpointSecret
	}
}

// putEndpointInput is a PUT's: what it leaves out stays as it is; null sets the default.
type putEndpointInput struct {
	Body struct {
		URL         string             `json:"url" doc:"https on port 443 or 8443, at a public address."`
		Events      Optional[[]string] `json:"events,omitempty" doc:"Any of success, pending, rejected. Success and its reversal are always sent."`
		HeaderName  Optional[string]   `json:"headerName,omitempty" doc:"The name of a custom header, sent with every callback."`
		HeaderValue Optional[string]   `json:"headerValue,omitempty" doc:"Value of the custom header. Stored encrypted."`
		Signature   Optional[string]   `json:"signature,omitempty" doc:"v1 (a shared secret, the default) or v1a (a key pair)."`
	}
}

func (s *Server) getCallbackEndpoint(ctx context.Context, _ *struct{}) (*endpointOutput, error) {
	out := &endpointOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetCallbackEndpoint(ctx, tx, principal(ctx).TenantID)
		if err != nil {
			return orNotFound(err)
		}
		out.Body, err = s.endpointWithHealth(ctx, tx, row)
		return err
	})
}

// putCallbackEndpoint makes or changes the endpoint, and enables it again.
func (s *Server) putCallbackEndpoint(ctx context.Context, in *putEndpointInput) (*endpointSecretOutput, error) {
	// The look-up of the name happens outside any transaction.
	if err := s.vetURL(ctx, "url", in.Body.URL); err != nil {
		return nil, err
	}
	out := &endpointSecretOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().LockCallbackEndpoint(ctx, tx, principal(ctx).TenantID)
		isNew := errors.Is(err, pgx.ErrNoRows)
		if err != nil && !isNew {
			return err
		}
		var before any = endpointOf(row, s.now())
		if isNew {
			before = nil
			row = dbgen.CallbackEndpoint{
				TenantID: principal(ctx).TenantID, ID: newID(), Events: []string{"success"},
				Signature: string(domain.SignatureV1), CreatedAt: s.now(),
			}
		}
		secret, err := s.changeEndpoint(&row, in)
		if err != nil {
			return err
		}
		if err := writeEndpoint(ctx, tx, row, isNew); err != nil {
			return err
		}
		if err := dbgen.New().EndpointChanged(ctx, tx, row.TenantID, row.ID); err != nil {
			return err
		}
		if out.Body.EndpointDocument, err = s.endpointWithHealth(ctx, tx, row); err != nil {
			return err
		}
		out.Body.EndpointSecret = secret
		return s.audit(ctx, tx, map[bool]string{true: "create", false: "update"}[isNew], "callback-endpoint", row.ID.String(), before, endpointOf(row, s.now()))
	})
	if db.UniqueViolation(err) != "" {
		return nil, problem.Conflict("Another request has just created the endpoint. Send your request again.")
	}
	return out, err
}

// changeEndpoint applies a PUT. A secret is made for a new endpoint and for a new kind of signature.
func (s *Server) changeEndpoint(row *dbgen.CallbackEndpoint, in *putEndpointInput) (EndpointSecret, error) {
	var c checks
	body := in.Body
	kind := body.Signature.or(row.Signature)
	if kind == "" {
		kind = string(domain.SignatureV1)
	}
	if kind != string(domain.SignatureV1) && kind != string(domain.SignatureV1a) {
		c.add("signature", "must be v1 or v1a")
	}
	if events := body.Events.or(row.Events); len(events) == 0 {
		row.Events = []string{"success"}
	} else {
		row.Events = c.callbackEvents(events)
	}
	s.changeHeader(&c, row, body.HeaderName, body.HeaderValue)
	if err := c.err(); err != nil {
		return EndpointSecret{}, err
	}
	row.Url, row.DisabledAt, row.DisabledReason = body.URL, nil, ""
	if row.SecretSealed != "" && row.Signature == kind {
		return EndpointSecret{}, nil
	}
	row.Signature = kind
	return s.renewSecret(row)
}

func (c *checks) callbackEvents(events []string) []string {
	for _, event := range events {
		if !slices.Contains(domain.CallbackEvents, event) {
			c.add("events", "must be any of success, pending, rejected")
			break
		}
	}
	events = slices.Clone(events)
	slices.Sort(events)
	return slices.Compact(events)
}

// changeHeader keeps the value when only the rest of the endpoint changes: it cannot be read back.
func (s *Server) changeHeader(c *checks, row *dbgen.CallbackEndpoint, newName, newValue Optional[string]) {
	name, value := newName.or(row.HeaderName), newValue.or("")
	if err := domain.CheckCallbackHeader(name, value); err != nil {
		field := "headerName"
		if domain.CheckCallbackHeader(name, "") == nil && name != "" {
			field = "headerValue"
		}
		c.add(field, "%s", err)
		return
	}
	switch {
	case name == "":
		row.HeaderValueSealed = ""
	case newValue.given:
		row.HeaderValueSealed = s.Keys.Seal([]byte(value))
	case name != row.HeaderName:
		c.add("headerValue", "must be sent with a new headerName")
	}
	row.HeaderName = name
}

// renewSecret gives the endpoint a new secret. The one before signs too for a day, whatever its
// kind, so that the receiver can change over without losing a message.
func (s *Server) renewSecret(row *dbgen.CallbackEndpoint) (EndpointSecret, error) {
	var seed [domain.SigningSeedBytes]byte
	_, _ = rand.Read(seed[:]) // never fails: crypto/rand aborts the program instead
	secret := domain.NewSigningSecret(domain.SignatureKind(row.Signature), seed)
	if row.SecretSealed != "" {
		until := s.now().Add(rotationOverlap)
		row.PreviousSecretSealed, row.PreviousExpiresAt = row.SecretSealed, &until
	}
	row.SecretSealed = s.Keys.Seal([]byte(secret))
	if row.Signature == string(domain.SignatureV1) {
		return EndpointSecret{SigningSecret: secret}, nil
	}
	public, err := domain.SigningPublicKey(secret)
	return EndpointSecret{PublicKey: public}, err
}

func writeEndpoint(ctx context.Context, tx pgx.Tx, row dbgen.CallbackEndpoint, isNew bool) error {
	if isNew {
		return dbgen.New().InsertCallbackEndpoint(ctx, tx, dbgen.InsertCallbackEndpointParams{
			TenantID: row.TenantID, ID: row.ID, Url: row.Url, Events: row.Events, HeaderName: row.HeaderName,
			HeaderValueSealed: row.HeaderValueSealed, Signature: row.Signature, SecretSealed: row.SecretSealed, CreatedAt: row.CreatedAt,
		})
	}
	return dbgen.New().UpdateCallbackEndpoint(ctx, tx, dbgen.UpdateCallbackEndpointParams{
		TenantID: row.TenantID, Url: row.Url, Events: row.Events, HeaderName: row.HeaderName, HeaderValueSealed: row.HeaderValueSealed,
		Signature: row.Signature, SecretSealed: row.SecretSealed, PreviousSecretSealed: row.PreviousSecretSealed, PreviousExpiresAt: row.PreviousExpiresAt,
	})
}

func (s *Server) rotateCallbackSecret(ctx context.Context, _ *struct{}) (*endpointSecretOutput, error) {
	out := &endpointSecretOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().LockCallbackEndpoint(ctx, tx, principal(ctx).TenantID)
		if err != nil {
			return orNotFound(err)
		}
		before := endpointOf(row, s.now())
		if out.Body.EndpointSecret, err = s.renewSecret(&row); err != nil {
			return err
		}
		err = dbgen.New().RotateCallbackSecret(ctx, tx, dbgen.RotateCallbackSecretParams{
			TenantID: row.TenantID, SecretSealed: row.SecretSealed,
			PreviousSecretSealed: row.PreviousSecretSealed, PreviousExpiresAt: row.PreviousExpiresAt,
		})
		if err != nil {
			return err
		}
		if out.Body.EndpointDocument, err = s.endpointWithHealth(ctx, tx, row); err != nil {
			return err
		}
		return s.audit(ctx, tx, "rotate", "callback-endpoint", row.ID.String(), before, endpointOf(row, s.now()))
	})
}

type deliveryIDOutput struct {
	Body struct {
		ID uuid.UUID `json:"id" doc:"The message's id; GET /api/v1/deliveries shows its state."`
	}
}

// testCallbackEndpoint sends an invented conversion.
func (s *Server) testCallbackEndpoint(ctx context.Context, _ *struct{}) (*deliveryIDOutput, error) {
	out := &deliveryIDOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		endpoint, err := enabledEndpoint(ctx, tx)
		if err != nil {
			return err
		}
		out.Body.ID = newID()
		body, err := testMessage(out.Body.ID, s.now())
		if err != nil {
			return err
		}
		_, err = dbgen.New().InsertDelivery(ctx, tx, dbgen.InsertDeliveryParams{
			TenantID: endpoint.TenantID, ID: out.Body.ID, Kind: "test", EndpointID: endpoint.ID, Sequence: 1,
			Status: string(domain.StatusSuccess), State: "waiting", Body: string(body), CreatedAt: s.now(), IsTest: true,
		})
		if err != nil {
			return err
		}
		if err := announceDeliveries(ctx, tx, []uuid.UUID{out.Body.ID}); err != nil {
			return err
		}
		return s.audit(ctx, tx, "test", "callback-endpoint", endpoint.ID.String(), nil, out.Body)
	})
	s.nudge()
	return out, err
}

func testMessage(id uuid.UUID, at time.Time) ([]byte, error) {
	conversion, err := json.Marshal(domain.CallbackConversion{
		Status: domain.StatusSuccess, UserCompletedAt: at, IsRewardSent: true, ClickID: newID(), ConversionID: newID(),
		OfferID: newID(), OfferName: "Test offer", OfferAdvertiserID: newID(), OfferAdvertiserName: "Test advertiser", OfferEventID: newID(),
		EventID: "test", EventName: "Test event", RewardPoints: "100.00", Revenue: "1.00", Currency: "USD",
		CreatedAt: at, ClickTime: at, IsTest: true,
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(domain.CallbackMessage{ID: id, SentAt: at, Sequence: 1, Conversion: conversion})
}

// enabledEndpoint is 404 without an endpoint and 409 while it is disabled.
func enabledEndpoint(ctx context.Context, tx pgx.Tx) (dbgen.CallbackEndpoint, error) {
	row, err := dbgen.New().GetCallbackEndpoint(ctx, tx, principal(ctx).TenantID)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, problem.New(http.StatusNotFound, "There is no callback endpoint: PUT /api/v1/callback-endpoint.")
	}
	if err != nil {
		return row, err
	}
	if row.DisabledAt != nil {
		return row, problem.Conflict("The callback endpoint is disabled: it " + row.DisabledReason + ". PUT it again to enable it.")
	}
	return row, nil
}

// announceDeliveries asks for attempts now, once the transaction has committed.
func announceDeliveries(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	type event struct {
		ID         uuid.UUID `json:"id"`
		DeliveryID uuid.UUID `json:"deliveryId"`
	}
	events := make([]event, len(ids))
	for i, id := range ids {
		events[i] = event{ID: newID(), DeliveryID: id}
	}
	payload, err := json.Marshal(events)
	if err != nil {
		return err
	}
	return dbgen.New().InsertOutboxOfDeliveries(ctx, tx, principal(ctx).TenantID, stream.SubjectDelivery, payload)
}

func (s *Server) endpointWithHealth(ctx context.Context, tx pgx.Tx, row dbgen.CallbackEndpoint) (EndpointDocument, error) {
	health, err := healthOf(ctx, tx, row.ID)
	out := endpointOf(row, s.now())
	out.Health = health[row.ID]
	return out, err
}

func endpointOf(row dbgen.CallbackEndpoint, at time.Time) EndpointDocument {
	out := EndpointDocument{
		ID: row.ID, URL: row.Url, Events: row.Events, HeaderName: row.HeaderName, Signature: row.Signature,
		DisabledAt: row.DisabledAt, DisabledReason: row.DisabledReason, CreatedAt: row.CreatedAt,
	}
	if row.PreviousExpiresAt != nil && row.PreviousExpiresAt.After(at) {
		out.PreviousSecretUntil = row.PreviousExpiresAt
	}
	return out
}
