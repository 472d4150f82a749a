package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
)

// partnersPostback is a URL of the asking partner's.
type partnersPostback struct {
	ID             uuid.UUID  `json:"id"`
	EventID        *uuid.UUID `json:"eventId" doc:"Our id of the event; null means every event of every offer. If both kinds match, both are called."`
	URL            string     `json:"url"`
	Method         string     `json:"method" enum:"GET,POST"`
	Events         []string   `json:"events" doc:"The transitions that are sent."`
	Status         string     `json:"status" enum:"active,paused"`
	DisabledAt     *time.Time `json:"disabledAt" doc:"Set when the URL answered 410."`
	DisabledReason string     `json:"disabledReason"`
	CreatedAt      time.Time  `json:"createdAt"`
	UpdatedAt      time.Time  `json:"updatedAt"`
	Warnings       []string   `json:"warnings" doc:"Probable mistakes in the URL."`
}

type partnersPostbackOutput struct{ Body partnersPostback }

// partnersPostbackListing shows those of the partner $1, but for goals that are hidden from it (rule 66).
var partnersPostbackListing = listing[partnerPostbackDocument]{
	from: "partner_postbacks b", columns: partnerPostbackListing.columns,
	where: `b.tenant_id = current_tenant() AND b.partner_id = $1
		AND (b.event_id IS NULL OR b.event_id <> ALL(ARRAY(SELECT goals_hidden_from_partners(current_tenant()))))`,
	fields: map[string]listField{
		"id": {column: "id", kind: fieldUUID}, "eventId": {column: "event_id", kind: fieldUUID}, "url": {column: "url", kind: fieldSearch},
		"method": {column: "method"}, "status": {column: "status"}, "createdAt": {column: "created_at", kind: fieldTime},
	},
	order: "id", id: "id", scan: partnerPostbackListing.scan,
}

func (s *Server) listPartnerPostbacksForPartner(ctx context.Context, in *ListInput) (*pageOutput[partnersPostback], error) {
	found, err := listIn(ctx, s, partnersPostbackListing, *in, *principal(ctx).PartnerID)
	if err != nil {
		return nil, err
	}
	return &pageOutput[partnersPostback]{Body: reduced(found.Body, partnersPostbackOf)}, nil
}

func (s *Server) getPartnerPostbackForPartner(ctx context.Context, in *ByID) (*partnersPostbackOutput, error) {
	found, err := listIn(ctx, s, partnersPostbackListing, onlyID(in.ID), *principal(ctx).PartnerID)
	if err != nil {
		return nil, err
	}
	if len(found.Body.Items) == 0 {
		return nil, problem.NotFound()
	}
	return &partnersPostbackOutput{Body: partnersPostbackOf(&found.Body.Items[0])}, nil
}

func partnersPostbackOf(d *partnerPostbackDocument) partnersPostback {
	return partnersPostback{
		ID: d.ID, EventID: d.EventID, URL: d.URL, Method: d.Method, Events: d.Events, Status: d.Status, DisabledAt: d.DisabledAt,
		DisabledReason: d.DisabledReason, CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt, Warnings: d.Warnings,
	}
}

// partnersDelivery is a call of one of the asking partner's URLs, and what became of it.
type partnersDelivery struct {
	ID             uuid.UUID         `json:"id"`
	EndpointID     uuid.UUID         `json:"endpointId" doc:"Id of the partner postback that was called."`
	ConversionID   *uuid.UUID        `json:"conversionId"`
	Sequence       int64             `json:"sequence" doc:"The number of the conversion's transition."`
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

// partnersDeliveryListing shows those of the partner $2 that tell of a conversion which it sees.
var partnersDeliveryListing = listing[deliveryDocument]{
	from: deliveryListing.from, columns: deliveryListing.columns,
	where: `d.tenant_id = $1 AND d.kind = 'partner' AND d.endpoint_id IN (SELECT b.id FROM partner_postbacks b WHERE b.tenant_id = $1 AND b.partner_id = $2)
		AND EXISTS (SELECT 1 FROM conversions c WHERE c.id = d.conversion_id AND ` + partnerConversions + `)`,
	fields: map[string]listField{
		"id": {column: "d.id", kind: fieldUUID}, "conversionId": {column: "d.conversion_id", kind: fieldUUID, unordered: true},
		"endpointId": {column: "d.endpoint_id", kind: fieldUUID, unordered: true}, "state": {column: "d.state"},
		"isTest":    {column: "d.is_test", kind: fieldBool, unordered: true},
		"createdAt": {column: "d.created_at", kind: fieldTime}, "createdFrom": {column: "d.created_at", kind: fieldFrom, unordered: true},
		"createdTo": {column: "d.created_at", kind: fieldTo, unordered: true},
	},
	order: "createdAt", id: "d.id", scan: deliveryListing.scan,
}

func (s *Server) listDeliveriesForPartner(ctx context.Context, in *ListInput) (*pageOutput[partnersDelivery], error) {
	out := &pageOutput[partnersDelivery]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		p := principal(ctx)
		found, err := list(ctx, tx, s.now(), partnersDeliveryListing, *in, p.TenantID, *p.PartnerID)
		if err == nil {
			err = addAttempts(ctx, tx, found.Items)
		}
		out.Body = reduced(found, partnersDeliveryOf)
		return err
	})
}

func partnersDeliveryOf(d *deliveryDocument) partnersDelivery {
	return partnersDelivery{
		ID: d.ID, EndpointID: d.EndpointID, ConversionID: d.ConversionID, Sequence: d.Sequence, Status: d.Status, State: d.State,
		AttemptCount: d.AttemptCount, NextAttemptAt: d.NextAttemptAt, LastStatusCode: d.LastStatusCode, LastError: d.LastError,
		IsTest: d.IsTest, CreatedAt: d.CreatedAt, FinishedAt: d.FinishedAt, Attempts: d.Attempts,
	}
}
