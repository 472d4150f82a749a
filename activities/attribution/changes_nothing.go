package attribution

import (
	"context"
	"slices"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// ChangesNothing says that a postback will be refused, or only repeats a live conversion. No workflow
// needs to hear of it: Decide answers it directly, which costs a tenth of an Update. It reads without a
// lock, so it may be wrong where something changes meanwhile. That does no harm, because Decide decides
// anew under the lock, and owes the workflow what it leaves (Owed).
func (d *Decisions) ChangesNothing(ctx context.Context, click *dbgen.SystemClickByIDRow, postback *domain.Postback) (bool, error) {
	if insecure, err := d.failsSecurity(click, postback); err != nil || insecure {
		return insecure, err
	}
	current, err := d.offer(ctx, d.Store.Read(click.TenantID), click.OfferID, click.CurrentVersion)
	if err != nil {
		return false, err
	}
	facts := domain.Facts{
		Postback: *postback, Current: current, GoalsOff: !click.GoalsEnabled,
		Click: domain.Click{ID: click.ID, OfferID: click.OfferID, AdvertiserID: click.AdvertiserID},
	}
	if facts.WillBeRefused() {
		return true, nil
	}
	if postback.Verdict() == domain.VerdictRejected { // rule 77: it takes back what is live
		return false, nil
	}
	event := facts.Event()
	return event != nil && slices.Contains(click.Unrepeatable, event.ID), nil
}

// failsSecurity says that a postback fails the advertiser's or its tenant's security, as secured does, apart
// from the nonce: one that was used before is found by the decision.
func (d *Decisions) failsSecurity(click *dbgen.SystemClickByIDRow, postback *domain.Postback) (bool, error) {
	guard := protectionOfClick(click)
	proof, err := d.verify(&guard, postback, click.IsTest)
	return proof.Refused != domain.ReasonNone, err
}
