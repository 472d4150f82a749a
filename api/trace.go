package api

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"
)

// clickTrace is everything that came of one click, on one page.
type clickTrace struct {
	Click       clickInTrace        `json:"click"`
	View        *clickOrigin        `json:"view" doc:"The view of the offer's details that led to the click; null if unknown."`
	Findings    []finding           `json:"findings" doc:"Why the click was refused or is suspicious."`
	Postbacks   []tracedPostback    `json:"postbacks" doc:"The first 1000, oldest first."`
	GoalClicks  []goalClick         `json:"goalClicks" doc:"The first 1000 postbacks of goals recorded as clicks, oldest first."`
	Conversions []conversionHistory `json:"conversions"`
	Ledger      []ledgerLineView    `json:"ledger"`
	Deliveries  []deliveryDocument  `json:"deliveries"`
	WorkflowID  *string             `json:"workflowId" doc:"Id of the click's workflow; null if it has none (a refused click)."`
	WorkflowURL *string             `json:"workflowUrl" doc:"The workflow's page in the Temporal UI; null if OFFERFLOW_TEMPORAL_UI_URL is not set."`
}

// finding is one reason against a click or one of its conversions.
type finding struct {
	At           time.Time     `json:"at"`
	Stage        string        `json:"stage" enum:"click,conversion"`
	Reason       domain.Reason `json:"reason"`
	Detail       string        `json:"detail" doc:"The reason in words, what is missing and what to do."`
	ConversionID *uuid.UUID    `json:"conversionId"`
}

type tracedPostback struct {
	PostbackView
	DecideBy *time.Time `json:"decideBy" doc:"When a held postback's grace ends (rule 14)."`
}

type traceOutput struct{ Body clickTrace }

func (s *Server) traceClick(ctx context.Context, in *ByID) (*traceOutput, error) {
	out := &traceOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetClick(ctx, tx, principal(ctx).TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		trace := &out.Body
		trace.Click.ClickView = clickOf(&row)
		if trace.View, err = originOf(ctx, tx, &row); err != nil {
			return err
		}
		if err := s.loadSession(ctx, tx, trace, &row); err != nil {
			return err
		}
		if err := trace.loadConversions(ctx, tx); err != nil {
			return err
		}
		s.linkHistories(trace.Conversions)
		if err := trace.loadPostbacks(ctx, tx); err != nil {
			return err
		}
		trace.Findings = trace.findings()
		if row.RefusedReason == domain.ReasonNone {
			trace.WorkflowID, trace.WorkflowURL = s.workflowLink(workflows.ClickWorkflowID(row.ID))
		}
		if err := s.explainPlace(ctx, tx, trace); err != nil {
			return err
		}
		return nil
	})
}

// loadConversions reads the click's conversions and what came of them.
func (t *clickTrace) loadConversions(ctx context.Context, tx pgx.Tx) error {
	tenantID := principal(ctx).TenantID
	rows, err := dbgen.New().ConversionsOfClick(ctx, tx, tenantID, t.Click.ID)
	if err != nil {
		return err
	}
	transitions, err := dbgen.New().TransitionsOfClick(ctx, tx, tenantID, t.Click.ID)
	if err != nil {
		return err
	}
	if t.Conversions, err = conversionHistories(ctx, tx, rows, transitions); err != nil {
		return err
	}
	ids := make([]uuid.UUID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	if t.Ledger, err = ledgerOf(ctx, tx, ids); err != nil {
		return err
	}
	t.Deliveries, err = deliveriesOf(ctx, tx, ids)
	return err
}

// maxTracedDeliveries bounds what one page shows.
const maxTracedDeliveries = 1000

func deliveriesOf(ctx context.Context, tx pgx.Tx, conversionIDs []uuid.UUID) ([]deliveryDocument, error) {
	query := fmt.Sprintf("SELECT %s FROM %s WHERE d.tenant_id = $1 AND d.conversion_id = ANY($2) ORDER BY d.conversion_id, d.sequence, d.id LIMIT %d",
		deliveryListing.columns, deliveryListing.from, maxTracedDeliveries)
	rows, err := tx.Query(ctx, query, principal(ctx).TenantID, conversionIDs)
	if err != nil {
		return nil, err
	}
	deliveries, err := pgx.CollectRows(rows, deliveryListing.scan)
	if err != nil {
		return nil, err
	}
	return deliveries, addAttempts(ctx, tx, deliveries)
}

func (t *clickTrace) loadPostbacks(ctx context.Context, tx pgx.Tx) error {
	tenantID := principal(ctx).TenantID
	held, err := dbgen.New().HeldOfClick(ctx, tx, tenantID, t.Click.ID)
	if err != nil {
		return err
	}
	decideBy := map[uuid.UUID]*time.Time{}
	for _, h := range held {
		decideBy[h.PostbackID] = inUTC(&h.DecideBy)
	}
	rows, err := dbgen.New().PostbacksOfClick(ctx, tx, &tenantID, &t.Click.ID)
	if err != nil {
		return err
	}
	t.Postbacks = make([]tracedPostback, len(rows))
	for i := range rows {
		view, err := postbackOf(&rows[i])
		if err != nil {
			return err
		}
		t.Postbacks[i] = tracedPostback{PostbackView: view, DecideBy: decideBy[view.ID]}
	}
	return nil
}

// findings are the click's refusal, and what the fraud checks and blocklists said of its
// conversions.
func (t *clickTrace) findings() []finding {
	findings := []finding{}
	if t.Click.RefusedReason != domain.ReasonNone {
		findings = append(findings, finding{At: t.Click.ClickedAt, Stage: "click", Reason: t.Click.RefusedReason, Detail: t.Click.RefusedReason.Sentence()})
	}
	for _, c := range t.Conversions {
		if reason := orZero(c.RejectionReason); strings.HasPrefix(string(reason), "fraud_") || reason == domain.ReasonBlocked {
			findings = append(findings, finding{At: c.CreatedAt, Stage: "conversion", Reason: reason, Detail: reason.Sentence(), ConversionID: &c.ID})
		}
	}
	return findings
}

// explainPlace says of a click that was out of target that its country was not known, where the offer asks for one.
func (s *Server) explainPlace(ctx context.Context, tx pgx.Tx, trace *clickTrace) error {
	click := &trace.Click
	if click.RefusedReason != domain.ReasonOutOfTarget || click.IP == "" || s.Tracking == nil {
		return nil
	}
	offer, err := currentOffer(ctx, tx, click.OfferID)
	if err != nil {
		return err
	}
	said, _ := domain.ParseCountry(click.PubGeoCountry)
	if tracking.MissesCountry(click.RefusedReason, &offer.Targeting, domain.Audience{Country: cmp.Or(click.Country, said.Code)}) {
		trace.Findings[0].Detail = s.Tracking.Places().WhyUnknown(click.IP)
	}
	return nil
}
