package api

import (
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// conversionRequest is what a publisher asks of the advertiser about a conversion (rule 58).
type conversionRequest struct {
	ID            uuid.UUID     `json:"id"`
	PartnershipID uuid.UUID     `json:"partnershipId"`
	ConversionID  uuid.UUID     `json:"conversionId"`
	Action        domain.Action `json:"action" enum:"approve,reject,reverse"`
	Reason        string        `json:"reason"`
	At            time.Time     `json:"at"`
	By            string        `json:"by" doc:"The publisher and the actor: a token's name, or the operator."`
}

type requestReviewInput struct {
	ByID
	Body struct {
		Action string `json:"action" enum:"approve,reject,reverse"`
		Reason string `json:"reason" doc:"Text for the advertiser."`
	}
}

type requestReviewOutput struct{ Body conversionRequest }

// requestReview asks the advertiser to review a conversion, and changes nothing: the advertiser hears
// of it by mail and in the live stream, and decides by review as ever (rule 58).
func (s *Server) requestReview(ctx context.Context, in *requestReviewInput) (*requestReviewOutput, error) {
	reason, err := checkRequestReason(in.Body.Reason)
	if err != nil {
		return nil, err
	}
	out := &requestReviewOutput{}
	err = s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		conversion, share, err := sharedConversion(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		if share.Side != domain.SidePublisher {
			return problem.Conflict("This tenant decides this conversion: review it instead.")
		}
		action := domain.Action(in.Body.Action)
		if _, _, err := domain.Move(asAdvertiser(conversion), action, s.now()); err != nil {
			return problem.Conflict("This action is not possible: " + err.Error() + ".")
		}
		by, err := actorInWords(ctx, tx)
		if err != nil {
			return err
		}
		out.Body = conversionRequest{
			ID: newID(), PartnershipID: share.ID, ConversionID: conversion.ID, Action: action, Reason: reason, At: s.now(),
			By: share.By(by),
		}
		return s.ask(ctx, tx, share, &out.Body, conversion.Sequence)
	})
	s.nudge()
	return out, err
}

func checkRequestReason(text string) (string, error) {
	var c checks
	reason := strings.TrimSpace(text)
	switch {
	case reason == "":
		c.add("reason", "is required")
	case utf8.RuneCountInString(reason) > maxNoteLength:
		c.add("reason", "must have at most %d characters", maxNoteLength)
	case strings.ContainsRune(reason, 0):
		c.add("reason", "contains a character that cannot be stored")
	}
	return reason, c.err()
}

// sharedConversion is a conversion in the tenant's book with the share that it is of; 404 for those
// of offers that are not shared.
func sharedConversion(ctx context.Context, tx pgx.Tx, id uuid.UUID) (*dbgen.Conversion, *activities.Share, error) {
	tenantID := principal(ctx).TenantID
	row, err := dbgen.New().GetConversion(ctx, tx, tenantID, id)
	if err != nil {
		return nil, nil, orNotFound(err)
	}
	if !row.Side.Shared() {
		return nil, nil, problem.NotFound()
	}
	share, err := activities.ShareOf(ctx, tx, tenantID, row.OfferID)
	if err == nil && share == nil {
		err = problem.NotFound()
	}
	return &row, share, err
}

// asAdvertiser is a conversion of the publisher's book as the one who decides has it.
func asAdvertiser(row *dbgen.Conversion) domain.Conversion {
	return domain.Conversion{Side: domain.SideAdvertiser, Status: row.Status, Reason: row.RejectionReason, NeedsReview: row.NeedsReview, ReleaseAt: row.ReleaseAt}
}

// ask writes the request and the news of it for both sides. sequence is how far the conversion has
// come: what was asked since it last moved is 409.
func (s *Server) ask(ctx context.Context, tx pgx.Tx, share *activities.Share, request *conversionRequest, sequence int64) error {
	made, err := dbgen.New().InsertConversionRequest(ctx, tx, dbgen.InsertConversionRequestParams{
		PartnershipID: request.PartnershipID, ID: request.ID, ConversionID: request.ConversionID, Action: string(request.Action),
		Reason: request.Reason, At: request.At, By: request.By, Sequence: sequence,
	})
	if err != nil {
		return err
	}
	if made == 0 {
		return askedAlready(ctx, tx, request, sequence)
	}
	if err := s.audit(ctx, tx, "ask", "conversion", request.ConversionID.String(), nil, request); err != nil {
		return err
	}
	payload, err := json.Marshal(stream.ExchangeEvent{ID: newID(), Partnership: share.Partnership, RequestID: &request.ID, At: request.At})
	if err != nil {
		return err
	}
	err = dbgen.New().InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{
		TenantID: principal(ctx).TenantID, ID: newID(), Subject: stream.SubjectExchange, Payload: payload,
	})
	if err != nil {
		return err
	}
	return s.announceLive(ctx, tx, stream.LiveRequest, stream.LiveRequestData{
		PartnershipID: share.ID, OfferID: share.OfferID, ConversionID: request.ConversionID, RequestID: request.ID,
		Action: request.Action, Reason: request.Reason, By: request.By, At: request.At,
	}, share.AdvertiserTenantID, share.PublisherTenantID)
}

func askedAlready(ctx context.Context, tx pgx.Tx, request *conversionRequest, sequence int64) error {
	id, err := dbgen.New().StandingRequest(ctx, tx, dbgen.StandingRequestParams{
		PartnershipID: request.PartnershipID, ConversionID: request.ConversionID, Action: string(request.Action), Sequence: sequence,
	})
	if err != nil {
		return err
	}
	return problem.Conflict("The same action was already requested by request " + id.String() + ", and the conversion has not changed since.")
}

var conversionRequestListing = listing[conversionRequest]{
	from:    "conversion_requests r JOIN partnerships p ON p.id = r.partnership_id",
	columns: "r.id, r.partnership_id, r.conversion_id, r.action, r.reason, r.at, r.by",
	where:   "r.partnership_id = $1 AND r.conversion_id = $2 AND $3::uuid IN (p.advertiser_tenant_id, p.publisher_tenant_id)",
	fields: map[string]listField{
		"id": {column: "r.id", kind: fieldUUID}, "at": {column: "r.at", kind: fieldTime}, "action": {column: "r.action"}, "by": {column: "r.by"},
	},
	order: "id", id: "r.id",
	scan: func(row pgx.CollectableRow) (r conversionRequest, err error) {
		err = row.Scan(&r.ID, &r.PartnershipID, &r.ConversionID, &r.Action, &r.Reason, &r.At, &r.By)
		return r, err
	},
}

type listConversionRequestsInput struct {
	ByID
	ListInput
}

// listConversionRequests shows to both sides what was asked about a conversion, the newest first.
func (s *Server) listConversionRequests(ctx context.Context, in *listConversionRequestsInput) (*pageOutput[conversionRequest], error) {
	out := &pageOutput[conversionRequest]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, share, err := sharedConversion(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		out.Body, err = list(ctx, tx, s.now(), conversionRequestListing, in.ListInput, share.ID, in.ID, principal(ctx).TenantID)
		return err
	})
}
