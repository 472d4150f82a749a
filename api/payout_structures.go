package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// FigureBody is what is paid: money, percent of the sale, or both together (rule 39).
type FigureBody struct {
	Flat    *Decimal `json:"flat" required:"false" doc:"In the tenant's currency; null means none."`
	Percent *Decimal `json:"percent" required:"false" doc:"Percent of the sale; null means none. Pays nothing without a sale amount."`
}

func figureBodyOf(figure domain.Figure) FigureBody {
	return FigureBody{Flat: decimalOf(figure.Flat), Percent: decimalOf(figure.Percent)}
}

// figure reads a body; prefix stands before its fields' names. What is no number is named here,
// all else by the domain.
func (c *checks) figure(prefix string, body FigureBody) domain.Figure {
	return domain.Figure{Flat: c.decimal(prefix+"flat", body.Flat), Percent: c.decimal(prefix+"percent", body.Percent)}
}

func (c *checks) decimal(field string, value *Decimal) *domain.Micros {
	if value != nil && *value == invalidDecimal {
		c.add(field, "%s", domain.ErrNumber)
		return new(domain.Micros)
	}
	return microsOf(value)
}

// payoutValue is a text, or a number as it was written.
type payoutValue string

// UnmarshalJSON reads a string or a number.
func (v *payoutValue) UnmarshalJSON(data []byte) error {
	var text string
	var number json.Number
	switch {
	case json.Unmarshal(data, &text) == nil:
		*v = payoutValue(text)
	case json.Unmarshal(data, &number) == nil:
		*v = payoutValue(number)
	default:
		return errors.New("must be a text or a number")
	}
	return nil
}

// Schema satisfies huma.SchemaProvider.
func (payoutValue) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "A text or a number; answers use texts.",
		OneOf:       []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeNumber}},
	}
}

type payoutConditionBody struct {
	Parameter string        `json:"parameter" doc:"pub_sub_1 to 15, cnv_sub_1 to 5, cnv_amount, country, or custom.<name> for another parameter of the postback."`
	Operator  string        `json:"operator" doc:"For text: = in like. For numbers: = < <= > >= between."`
	Type      string        `json:"type" required:"false" doc:"text or number; default: number for cnv_amount and inequalities, otherwise text."`
	Values    []payoutValue `json:"values" nullable:"false" doc:"One value; any number of values for in; from and to for between, both included."`
}

type payoutRuleBody struct {
	Name       string                `json:"name" required:"false"`
	Conditions []payoutConditionBody `json:"conditions" nullable:"false" doc:"All conditions must hold."`
	FigureBody
}

// payoutStructureDocument is an ordered list of rules; the first that matches wins, else the
// default (rule 40).
type payoutStructureDocument struct {
	ID        uuid.UUID        `json:"id"`
	Version   int64            `json:"version" doc:"Increases with each change; conversions record the version that paid them."`
	Name      string           `json:"name"`
	Rules     []payoutRuleBody `json:"rules"`
	Default   FigureBody       `json:"default"`
	CreatedAt time.Time        `json:"createdAt"`
	UpdatedAt time.Time        `json:"updatedAt"`
}

type payoutStructureOutput struct{ Body payoutStructureDocument }

type payoutStructureBody struct {
	Name    Optional[string]           `json:"name,omitempty" doc:"Required on creation."`
	Rules   Optional[[]payoutRuleBody] `json:"rules,omitempty" doc:"Replaces all rules; evaluated in this order."`
	Default Optional[FigureBody]       `json:"default,omitempty" doc:"Required on creation. Applies if no rule matches."`

	ShownOnly
	Version   any `json:"version,omitempty" readOnly:"true"`
	UpdatedAt any `json:"updatedAt,omitempty" readOnly:"true"`
}

type createPayoutStructureInput struct{ Body payoutStructureBody }

type updatePayoutStructureInput struct {
	ByID
	Body payoutStructureBody
}

func (s *Server) createPayoutStructure(ctx context.Context, in *createPayoutStructureInput) (*payoutStructureOutput, error) {
	at := s.now()
	row := dbgen.PayoutStructure{TenantID: principal(ctx).TenantID, ID: newID(), Version: 1, Document: json.RawMessage(`{}`), CreatedAt: at, UpdatedAt: at}
	if err := changePayoutStructure(&row, in.Body); err != nil {
		return nil, err
	}
	doc, err := payoutStructureOf(row)
	if err != nil {
		return nil, err
	}
	return &payoutStructureOutput{Body: doc}, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := dbgen.New().InsertPayoutStructure(ctx, tx, dbgen.InsertPayoutStructureParams(row)); err != nil {
			return err
		}
		return s.audit(ctx, tx, "create", "payout structure", row.ID.String(), nil, doc)
	})
}

func (s *Server) getPayoutStructure(ctx context.Context, in *ByID) (*payoutStructureOutput, error) {
	out := &payoutStructureOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetPayoutStructure(ctx, tx, principal(ctx).TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		out.Body, err = payoutStructureOf(row)
		return err
	})
}

// updatePayoutStructure writes the next version, unless nothing changes.
func (s *Server) updatePayoutStructure(ctx context.Context, in *updatePayoutStructureInput) (*payoutStructureOutput, error) {
	out := &payoutStructureOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetPayoutStructureForUpdate(ctx, tx, principal(ctx).TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		before, err := payoutStructureOf(row)
		if err != nil {
			return err
		}
		was := row
		if was.Document, err = spelled(row.Document); err != nil {
			return err
		}
		if err := changePayoutStructure(&row, in.Body); err != nil {
			return err
		}
		if row.Name == was.Name && bytes.Equal(row.Document, was.Document) {
			out.Body = before
			return nil
		}
		row.Version, row.UpdatedAt = row.Version+1, s.now()
		err = dbgen.New().UpdatePayoutStructure(ctx, tx, dbgen.UpdatePayoutStructureParams{
			Version: row.Version, Name: row.Name, Document: row.Document, UpdatedAt: row.UpdatedAt, TenantID: row.TenantID, ID: row.ID,
		})
		if err != nil {
			return err
		}
		if out.Body, err = payoutStructureOf(row); err != nil {
			return err
		}
		return s.audit(ctx, tx, "update", "payout structure", row.ID.String(), before, out.Body)
	})
}

// spelled is a stored document as this program writes it: the database spaces and orders it anew.
func spelled(document json.RawMessage) (json.RawMessage, error) {
	var structure domain.PayoutStructure
	if err := json.Unmarshal(document, &structure); err != nil {
		return nil, err
	}
	return json.Marshal(structure)
}

// changePayoutStructure applies a body to a row.
func changePayoutStructure(row *dbgen.PayoutStructure, body payoutStructureBody) error {
	var structure domain.PayoutStructure
	if err := json.Unmarshal(row.Document, &structure); err != nil {
		return err
	}
	var c checks
	row.Name = c.name("name", body.Name.or(row.Name))
	if body.Rules.given {
		structure.Rules = c.payoutRules(body.Rules.or(nil))
	}
	if body.Default.given {
		structure.Default = c.figure("default.", body.Default.or(FigureBody{}))
	}
	c.errs = append(c.errs, structure.Normalize()...)
	if err := c.err(); err != nil {
		return err
	}
	text, err := json.Marshal(structure)
	row.Document = text
	return err
}

func (c *checks) payoutRules(bodies []payoutRuleBody) []domain.PayoutRule {
	rules := make([]domain.PayoutRule, len(bodies))
	for i, body := range bodies {
		rules[i] = domain.PayoutRule{Name: body.Name, Figure: c.figure(fmt.Sprintf("rules[%d].", i), body.FigureBody)}
		for _, condition := range body.Conditions {
			values := make([]string, len(condition.Values))
			for j, value := range condition.Values {
				values[j] = string(value)
			}
			rules[i].Conditions = append(rules[i].Conditions, domain.PayoutCondition{
				Parameter: condition.Parameter, Operator: domain.PayoutOperator(condition.Operator),
				Type: domain.PayoutValueType(condition.Type), Values: values,
			})
		}
	}
	return rules
}

// structureFacts is a row as the rules read it.
func structureFacts(row dbgen.PayoutStructure) (domain.PayoutStructure, error) {
	structure := domain.PayoutStructure{ID: row.ID, Version: row.Version, Name: row.Name}
	return structure, json.Unmarshal(row.Document, &structure)
}

func payoutStructureOf(row dbgen.PayoutStructure) (payoutStructureDocument, error) {
	structure, err := structureFacts(row)
	doc := payoutStructureDocument{
		ID: row.ID, Version: row.Version, Name: row.Name, Rules: make([]payoutRuleBody, len(structure.Rules)),
		Default: figureBodyOf(structure.Default), CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
	}
	for i, rule := range structure.Rules {
		body := payoutRuleBody{Name: rule.Name, Conditions: []payoutConditionBody{}, FigureBody: figureBodyOf(rule.Figure)}
		for _, condition := range rule.Conditions {
			values := make([]payoutValue, len(condition.Values))
			for j, value := range condition.Values {
				values[j] = payoutValue(value)
			}
			body.Conditions = append(body.Conditions, payoutConditionBody{
				Parameter: condition.Parameter, Operator: string(condition.Operator), Type: string(condition.Type), Values: values,
			})
		}
		doc.Rules[i] = body
	}
	return doc, err
}

var payoutStructureListing = listing[payoutStructureDocument]{
	from: "payout_structures", columns: "tenant_id, id, version, name, document, created_at, updated_at", where: ownRows,
	fields: map[string]listField{
		"id": {column: "id", kind: fieldUUID}, "name": {column: "name", kind: fieldSearch},
		"createdAt": {column: "created_at", kind: fieldTime}, "updatedAt": {column: "updated_at", kind: fieldTime},
	},
	order: "id", id: "id",
	scan: func(row pgx.CollectableRow) (payoutStructureDocument, error) {
		structure, err := pgx.RowToStructByPos[dbgen.PayoutStructure](row)
		if err != nil {
			return payoutStructureDocument{}, err
		}
		return payoutStructureOf(structure)
	},
}

func (s *Server) listPayoutStructures(ctx context.Context, in *ListInput) (*pageOutput[payoutStructureDocument], error) {
	return listIn(ctx, s, payoutStructureListing, *in)
}
