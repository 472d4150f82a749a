package worker

import (
	"context"
	"fmt"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// findVisitor sets the click of a postback that came without a click id; ok is false where nothing
// tells which it is. Unlike a click that is named, one that is on its way may be a later one than
// those that have arrived: the click stream must have passed the postback's time first (rule 1).
func (w *Worker) findVisitor(ctx context.Context, postback *domain.Postback) (ok bool, err error) {
	passed, err := w.passed(ctx, postback)
	if err != nil {
		return false, err
	}
	if !passed {
		return false, fmt.Errorf("%w: clicks of postback %s may be on their way", stream.ErrNotYet, postback.ID)
	}
	id, ok, err := w.decisions.ClickOfVisitor(ctx, postback)
	if ok {
		postback.ClickID = &id
	}
	return ok, err
}
