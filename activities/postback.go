package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// ClickOf finds the click that a postback names; ok is false when there is none such, or when it
// is one whose id was given to nobody (rule 46).
func (d *Decisions) ClickOf(ctx context.Context, postback *domain.Postback) (click dbgen.SystemClickByIDRow, ok bool, err error) {
	batch := &db.Batch{}
	found := db.Read(batch, func(q db.Querier) (dbgen.SystemClickByIDRow, error) {
		return queries.SystemClickByID(ctx, q, postback.ConversionID, *postback.ClickID)
	})
	if err := d.Store.SystemLookup(ctx, batch); err != nil {
		return click, false, err
	}
	return found.Value, found.Found && found.Value.RefusedReason == domain.ReasonNone, nil
}

// Answered finds the end state of a postback that was decided before, whoever's log it is in, and the
// click that it was decided for.
func (d *Decisions) Answered(ctx context.Context, postbackID uuid.UUID) (answer domain.Answer, clickID *uuid.UUID, ok bool, err error) {
	row, err := queries.SystemPostbackAnswer(ctx, d.Store.SystemPool(), postbackID)
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && row.Outcome == domain.OutcomeHeld) {
		return answer, nil, false, nil
	}
	if err != nil {
		return answer, nil, false, err
	}
	answer = domain.Answer{
		PostbackID: row.ID, Outcome: row.Outcome, Reason: row.Reason, ConversionID: row.ConversionID, Status: row.Status, ReleaseAt: row.ReleaseAt,
		Detail: row.Detail,
	}
	answer.Warnings, err = domain.ReadWarnings(row.Warnings)
	return answer, row.ClickID, err == nil, err
}

// Refuse logs a postback that belongs to no click (rule 1). With an advertiser's key or an offer's
// opaque code it is in that tenant's log, without in the operator's.
func (d *Decisions) Refuse(ctx context.Context, postback domain.Postback, reason domain.Reason) (domain.Answer, error) {
	answer := domain.Answer{
		PostbackID: postback.ID, Outcome: domain.OutcomeRefused, Reason: reason,
		Detail: domain.RefusalDetail(&postback, reason), Warnings: postback.Warnings,
	}
	params, err := json.Marshal(postback.Params)
	if err != nil {
		return answer, err
	}
	warnings, err := warningsJSON(answer.Warnings)
	if err != nil {
		return answer, err
	}
	row := dbgen.UpsertPostbackParams{
		ID: postback.ID, ReceivedAt: postback.ReceivedAt, ClickID: postback.ClickID, Method: postback.Method, Path: postback.Path,
		SourceIp: postback.SourceIP, Params: params, Outcome: answer.Outcome, Reason: reason,
		DecidedAt: d.Now().UTC().Truncate(time.Microsecond), Detail: answer.Detail, Warnings: warnings,
	}
	if postback.AdvertiserKey != "" {
		advertiser, err := queries.SystemAdvertiserByKey(ctx, d.Store.SystemPool(), postback.AdvertiserKey)
		if err == nil {
			row.TenantID, row.AdvertiserID = &advertiser.TenantID, &advertiser.ID
		} else if !errors.Is(err, pgx.ErrNoRows) {
			return answer, err
		}
	}
	if address := postback.Address; address != nil && address.Opaque {
		offer, err := queries.SystemOfferOwner(ctx, d.Store.SystemPool(), *address.OfferID)
		if err == nil {
			row.TenantID, row.AdvertiserID = &offer.TenantID, &offer.AdvertiserID
		} else if !errors.Is(err, pgx.ErrNoRows) {
			return answer, err
		}
	}
	if err := queries.UpsertPostback(ctx, d.Store.SystemPool(), row); err != nil {
		return answer, fmt.Errorf("log postback %s: %w", postback.ID, err)
	}
	return answer, nil
}
