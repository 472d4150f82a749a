package attribution

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/offerflow/offerflow/domain"
)

// partnerTerms are what was agreed with the click's partner about an event; nil where it has none.
// They came with the context, but for a payout structure: few events name one.
func (w *decisionTx) partnerTerms(ctx context.Context, event *domain.Event) (*domain.PartnerTerms, error) {
	c := &w.state.context
	if w.state.click.PartnerID == nil || event == nil {
		return nil, nil //nolint:nilnil // nobody to agree with
	}
	terms := &domain.PartnerTerms{TierID: c.TierID}
	if c.TierName != nil {
		terms.TierName = *c.TierName
	}
	if c.CustomPayouts != nil {
		if err := json.Unmarshal(c.CustomPayouts, &terms.Custom); err != nil {
			return nil, fmt.Errorf("custom payouts: %w", err)
		}
	}
	if event.PayoutStructureID == nil || event.IsPrivate {
		return terms, nil
	}
	row, err := queries.GetPayoutStructure(ctx, w.tx, w.state.click.TenantID, *event.PayoutStructureID)
	if err != nil {
		return nil, fmt.Errorf("payout structure %s: %w", *event.PayoutStructureID, err)
	}
	terms.Structure = &domain.PayoutStructure{ID: row.ID, Version: row.Version, Name: row.Name}
	if err := json.Unmarshal(row.Document, terms.Structure); err != nil {
		return nil, fmt.Errorf("payout structure %s: %w", row.ID, err)
	}
	return terms, nil
}

// appliedRule is a rule as the conversion keeps it (rule 24); nil is none.
func appliedRule(rule *domain.AppliedRule) (json.RawMessage, error) {
	if rule == nil {
		return nil, nil
	}
	return json.Marshal(rule)
}
