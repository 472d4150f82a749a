package attribution

import (
	"context"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// ClickOfVisitor finds the click that a postback without a click id means; ok is false where nothing
// tells whose it is. The caller has waited until every click of before the receipt has its row, so
// that the answer is the same whenever it is asked for.
func (d *Decisions) ClickOfVisitor(ctx context.Context, postback *domain.Postback) (clickID uuid.UUID, ok bool, err error) {
	visitor := postback.Visitor
	rows, err := queries.SystemClicksOfVisitor(ctx, d.Store.SystemPool(), dbgen.SystemClicksOfVisitorParams{
		OfferID: visitor.OfferID, PartnerID: visitor.PartnerID, Ip: postback.SourceIP, UserAgent: visitor.UserAgent,
		Since: postback.ReceivedAt.Add(-domain.VisitorWindow), Until: postback.ReceivedAt,
	})
	if err != nil {
		return uuid.Nil, false, err
	}
	clicks := make([]domain.VisitorClick, len(rows))
	for i, row := range rows {
		clicks[i] = domain.VisitorClick{ID: row.ID, PubMemberID: row.PubMemberID}
	}
	clickID, ok = domain.LastClick(clicks)
	return clickID, ok, nil
}
