package api

import (
	"encoding/json"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"
)

// appliedRuleView is why a conversion's revenue or payout is what it was decided to be (rules 24, 39).
type appliedRuleView struct {
	Kind    domain.AppliedKind `json:"kind" enum:"private,custom,structure,tier,event"`
	ID      uuid.UUID          `json:"id" doc:"Id of the custom payout, the payout structure, the partner tier or the event."`
	Name    string             `json:"name"`
	Version int64              `json:"version" doc:"Version of the custom payout or the payout structure; for a tier or an event the offer's version."`
	Rule    int                `json:"rule" doc:"The number of the structure's matching rule, from 1; 0 is its default."`
	// RuleName is what the rule was called then.
	RuleName string `json:"ruleName"`
	FigureBody
}

// appliedRuleOf reads what a decision wrote; nil where the click has no partner.
func appliedRuleOf(document json.RawMessage) (*appliedRuleView, error) {
	if document == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	var rule domain.AppliedRule
	if err := json.Unmarshal(document, &rule); err != nil {
		return nil, err
	}
	return &appliedRuleView{
		Kind: rule.Kind, ID: rule.ID, Name: rule.Name, Version: rule.Version, Rule: rule.Rule, RuleName: rule.RuleName,
		FigureBody: figureBodyOf(rule.Figure),
	}, nil
}
