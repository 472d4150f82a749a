package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// showCallback waits for the callback's one attempt.
func (t *conversionProbe) showCallback(ctx context.Context) (goOn bool, err error) {
	step := testStep{Step: "callback", State: testFailed}
	endpoint, err := t.callbackEndpoint(ctx)
	switch {
	case err != nil:
		return false, err
	case endpoint == nil:
		step.Detail = "There is no callback endpoint: PUT /api/v1/callback-endpoint."
	case endpoint.DisabledAt != nil:
		step.Detail = "The callback endpoint is disabled: it answered 410 Gone. PUT it again to enable it."
	case !domain.WantsEvent(endpoint.Events, domain.StatusEvent{Status: t.answer.Status}):
		step.State, step.Detail = testSkipped, "The endpoint does not subscribe to "+string(t.answer.Status)+": it only gets the Success."
	default:
		if step, err = t.attempted(ctx, step, endpoint.ID); err != nil {
			return false, err
		}
		t.out.DeliveryID = step.DeliveryID
	}
	t.add(step)
	return true, nil
}

func (t *conversionProbe) callbackEndpoint(ctx context.Context) (*dbgen.EndpointsRow, error) {
	rows, err := dbgen.New().Endpoints(ctx, t.server.Store.Read(t.tenantID), dbgen.EndpointsParams{TenantID: t.tenantID})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// attempted waits until the news of the conversion has been sent to an endpoint.
func (t *conversionProbe) attempted(ctx context.Context, step testStep, endpointID uuid.UUID) (testStep, error) {
	var found *dbgen.DeliveryOfNewsRow
	sent := t.await(ctx, func(ctx context.Context) (bool, error) {
		rows, err := dbgen.New().DeliveryOfNews(ctx, t.server.Store.Read(t.tenantID), t.tenantID, *t.answer.ConversionID, endpointID)
		if err != nil || len(rows) == 0 {
			return false, err
		}
		found = &rows[0]
		return found.State != "waiting", nil
	})
	switch {
	case found == nil:
		step.State, step.Detail = testUnderWay, "The delivery has not been created yet."
		return step, nil
	case !sent:
		step.State, step.Detail = testUnderWay, "The endpoint has not answered yet: GET /api/v1/deliveries?filter.id="+found.ID.String()+" shows its answer."
	case found.State == "delivered":
		step.State, step.Detail = testOK, fmt.Sprintf("Delivered: the endpoint answered %d.", orZero(found.LastStatusCode))
	default:
		step.State, step.Detail = testFailed, "Not delivered: "+found.LastError+"."
	}
	step.DeliveryID = &found.ID
	if code := orZero(found.LastStatusCode); code != 0 {
		step.StatusCode = &code
	}
	return step, nil
}

// callPartner calls the partner's URLs where that was asked for.
func (t *conversionProbe) callPartner(ctx context.Context) (goOn bool, err error) {
	step := testStep{Step: "partnerPostback", State: testSkipped}
	switch {
	case t.in.Body.PartnerID == nil:
		return true, nil
	case !t.in.Body.PartnerPostbacks:
		step.Detail = "A test calls no partner's URL unless partnerPostbacks is true."
		t.add(step)
		return true, nil
	}
	made, why, err := t.tellPartner(ctx)
	if err != nil {
		return false, err
	}
	if len(made) == 0 {
		step.Detail = why
		t.add(step)
	}
	for _, endpointID := range made {
		step, err := t.attempted(ctx, step, endpointID)
		if err != nil {
			return false, err
		}
		t.add(step)
	}
	return true, nil
}

// tellPartner makes a delivery for each of the partner's postbacks that hears of the conversion as
// it stands. That is the tool's to do: the worker keeps the news of tests from partners.
func (t *conversionProbe) tellPartner(ctx context.Context) (endpoints []uuid.UUID, why string, err error) {
	err = t.server.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		conversion, err := dbgen.New().GetConversion(ctx, tx, t.tenantID, *t.answer.ConversionID)
		if err != nil {
			return err
		}
		values, mayHear, err := delivery.PartnerMacros(ctx, tx, t.tenantID, conversion.ID, conversion.Status)
		if err != nil || !mayHear {
			why = "The goal is private: partners are never told about it (rule 66)."
			return err
		}
		body, err := json.Marshal(values)
		if err != nil {
			return err
		}
		rows, err := dbgen.New().Endpoints(ctx, tx, dbgen.EndpointsParams{TenantID: t.tenantID, PartnerID: t.in.Body.PartnerID, EventID: &t.event.ID})
		if err != nil {
			return err
		}
		why = "The partner has no active postback for " + string(conversion.Status) + "."
		var ids []uuid.UUID
		for _, row := range rows {
			if row.Kind != "partner" || row.DisabledAt != nil || !domain.PartnerWantsEvent(row.Events, domain.StatusEvent{Status: conversion.Status}) {
				continue
			}
			id := newID()
			_, err := dbgen.New().InsertDelivery(ctx, tx, dbgen.InsertDeliveryParams{
				TenantID: t.tenantID, ID: id, Kind: row.Kind, EndpointID: row.ID, ConversionID: &conversion.ID, Sequence: conversion.Sequence,
				Status: string(conversion.Status), State: "waiting", Body: string(body), CreatedAt: t.server.now(), IsTest: true,
			})
			if err != nil {
				return err
			}
			ids, endpoints = append(ids, id), append(endpoints, row.ID)
		}
		if len(ids) == 0 {
			return nil
		}
		return announceDeliveries(ctx, tx, ids)
	})
	t.server.nudge()
	return endpoints, why, err
}
