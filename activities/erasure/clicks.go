package erasure

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// someClicks erases the next clicks of the member, with all that belongs to them, in one transaction, and says
// how many.
func (e *erasure) someClicks(ctx context.Context) (n int, err error) {
	ids, err := queries.SystemClicksToErase(ctx, e.store.SystemPool(), dbgen.SystemClicksToEraseParams{
		TenantID: e.tenantID, Member: e.member, Before: e.before, AtMost: clicksAtOnce,
	})
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	return len(ids), e.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error { return e.clicks(ctx, tx, ids) })
}

// clicks erases clicks, and the conversions, points, postbacks and messages that came of them. The clicks are
// locked first, as every decision about them does: one that is under way is waited for and then found.
func (e *erasure) clicks(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	locked, err := queries.SystemLockErasedClicks(ctx, tx, ids, e.tenantID)
	if err != nil {
		return err
	}
	if err := e.visitors(ctx, tx, locked); err != nil {
		return err
	}
	if _, err := queries.SystemEraseClicks(ctx, tx, dbgen.SystemEraseClicksParams{
		TenantID: e.tenantID, Ids: ids, Member: e.member, Pseudonym: e.pseudonym,
	}); err != nil {
		return err
	}
	if err := e.otherBooks(ctx, tx, ids, locked); err != nil {
		return err
	}
	if err := queries.SystemEraseConversions(ctx, tx, dbgen.SystemEraseConversionsParams{
		TenantID: e.tenantID, Ids: ids, Member: e.member, Pseudonym: e.pseudonym,
	}); err != nil {
		return err
	}
	conversions, err := queries.SystemConversionsOfClicks(ctx, tx, e.tenantID, ids)
	if err != nil {
		return err
	}
	if err := e.points(ctx, tx, conversions); err != nil {
		return err
	}
	if err := e.postbacks(ctx, tx, ids); err != nil {
		return err
	}
	if err := queries.SystemEraseTests(ctx, tx, e.tenantID, texts(ids)); err != nil {
		return err
	}
	return e.ofConversions(ctx, tx, conversions)
}

// visitors replaces the member among the visitors of the sums of reports, and keeps those that recompute them
// waiting until the clicks are erased.
func (e *erasure) visitors(ctx context.Context, tx pgx.Tx, clicks []dbgen.SystemLockErasedClicksRow) error {
	type visitor struct {
		tenantID uuid.UUID
		was      string
	}
	var names []string
	byVisitor := map[visitor]*dbgen.SystemReplaceVisitorsParams{}
	for _, click := range clicks {
		is := visitor{click.TenantID, "m" + e.member}
		becomes := "m" + e.pseudonym
		if click.Side == domain.SideAdvertiser {
			is.was, becomes = click.MemberKey, e.memberKey
		}
		change := byVisitor[is]
		if change == nil {
			change = &dbgen.SystemReplaceVisitorsParams{TenantID: is.tenantID, Was: is.was, Becomes: becomes}
			byVisitor[is] = change
		}
		change.OfferIds, change.Buckets = append(change.OfferIds, click.OfferID), append(change.Buckets, click.Bucket)
		names = append(names, activities.BucketName(click.TenantID, click.OfferID, click.Bucket, true))
	}
	slices.Sort(names)
	if err := queries.SystemLockBuckets(ctx, tx, slices.Compact(names)); err != nil {
		return err
	}
	for _, change := range byVisitor {
		if err := queries.SystemReplaceVisitors(ctx, tx, *change); err != nil {
			return err
		}
	}
	return nil
}

// otherBooks replaces what stands for the member in the books of shared offers' advertisers: a new member of
// the same id has nothing to do with the pseudonym there either.
func (e *erasure) otherBooks(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, clicks []dbgen.SystemLockErasedClicksRow) error {
	var tenants []uuid.UUID
	for _, click := range clicks {
		if click.Side == domain.SideAdvertiser && !slices.Contains(tenants, click.TenantID) {
			tenants = append(tenants, click.TenantID)
		}
	}
	if len(tenants) == 0 {
		return nil
	}
	if err := queries.SystemRekeyClicks(ctx, tx, e.memberKey, tenants, ids); err != nil {
		return err
	}
	return queries.SystemRekeyConversions(ctx, tx, e.memberKey, tenants, ids)
}

// points moves the member's entries and their sum to the pseudonym: each balance stays the fold of its entries
// (rule 42).
func (e *erasure) points(ctx context.Context, tx pgx.Tx, conversions []uuid.UUID) error {
	moved, err := queries.SystemMoveEntries(ctx, tx, dbgen.SystemMoveEntriesParams{
		TenantID: e.tenantID, ConversionIds: conversions, Member: e.member, Pseudonym: e.pseudonym,
	})
	if err != nil {
		return err
	}
	if moved.Entries > 0 {
		if err := queries.AddPoints(ctx, tx, e.tenantID, e.pseudonym, domain.Micros(moved.Points)); err != nil {
			return err
		}
		if err := queries.AddPoints(ctx, tx, e.tenantID, e.member, domain.Micros(-moved.Points)); err != nil {
			return err
		}
	}
	return queries.SystemDropEmptyBalance(ctx, tx, e.tenantID, e.member)
}

// postbacks takes out of the log and of what is held whatever says more than what happened.
func (e *erasure) postbacks(ctx context.Context, tx pgx.Tx, clicks []uuid.UUID) error {
	if err := queries.SystemErasePostbacks(ctx, tx, domain.ImpersonalParams(), &e.tenantID, clicks); err != nil {
		return err
	}
	held, err := queries.SystemHeldToErase(ctx, tx, e.tenantID, clicks)
	if err != nil {
		return err
	}
	for _, row := range held {
		var postback domain.Postback
		if err := json.Unmarshal(row.Message, &postback); err != nil {
			return fmt.Errorf("held postback %s: %w", row.PostbackID, err)
		}
		postback.Erase()
		message, err := json.Marshal(&postback)
		if err != nil {
			return err
		}
		if err := queries.SystemSetHeldMessage(ctx, tx, message, e.tenantID, row.PostbackID); err != nil {
			return err
		}
	}
	return nil
}

// ofConversions erases the member in what was written about conversions, and in the messages about them.
func (e *erasure) ofConversions(ctx context.Context, tx pgx.Tx, conversions []uuid.UUID) error {
	if len(conversions) == 0 {
		return nil
	}
	if err := queries.SystemEraseNotes(ctx, tx, dbgen.SystemEraseNotesParams{
		TenantID: e.tenantID, ConversionIds: conversions, Mention: e.mention(), Pseudonym: e.pseudonym,
	}); err != nil {
		return err
	}
	if err := queries.SystemEraseRequests(ctx, tx, dbgen.SystemEraseRequestsParams{
		TenantID: e.tenantID, ConversionIds: conversions, Mention: e.mention(), Pseudonym: e.pseudonym,
	}); err != nil {
		return err
	}
	if err := queries.SystemEraseReviews(ctx, tx, dbgen.SystemEraseReviewsParams{
		TenantID: e.tenantID, ConversionIds: texts(conversions), Mention: e.mention(), Pseudonym: e.pseudonym,
	}); err != nil {
		return err
	}
	return e.deliveries(ctx, tx, conversions)
}

// mention finds the member's id in a text of people's where it stands by itself.
func (e *erasure) mention() string {
	return "(?<![[:alnum:]])" + regexp.QuoteMeta(e.member) + "(?![[:alnum:]])"
}

func texts(ids []uuid.UUID) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = id.String()
	}
	return all
}

// deliveries erases the member in messages. What waits is sent all the same: the tenant gets its news under
// the pseudonym, and knows the conversion by its id.
func (e *erasure) deliveries(ctx context.Context, tx pgx.Tx, conversions []uuid.UUID) error {
	rows, err := queries.SystemDeliveriesToErase(ctx, tx, e.tenantID, conversions)
	if err != nil {
		return err
	}
	var all, changed []uuid.UUID
	var bodies []string
	for _, row := range rows {
		all = append(all, row.ID)
		body, err := e.body(&row)
		if err != nil {
			return fmt.Errorf("body of delivery %s: %w", row.ID, err)
		}
		if body != row.Body {
			changed, bodies = append(changed, row.ID), append(bodies, body)
		}
	}
	if len(changed) > 0 {
		if err := queries.SystemSetBodies(ctx, tx, e.tenantID, changed, bodies); err != nil {
			return err
		}
	}
	return queries.SystemEraseAttempts(ctx, tx, e.tenantID, all)
}

func (e *erasure) body(row *dbgen.SystemDeliveriesToEraseRow) (string, error) {
	if row.Kind != "partner" {
		body, _, err := e.document(nil).Apply([]byte(row.Body))
		return string(body), err
	}
	var values map[string]string
	if err := json.Unmarshal([]byte(row.Body), &values); err != nil {
		return "", err
	}
	body, err := json.Marshal(domain.MacrosOfErased(values, e.pseudonym, row.State != "waiting"))
	return string(body), err
}

// document erases the member in JSON, in clicks and conversions that are old.
func (e *erasure) document(isOld func(object map[string]any) bool) *domain.Erasure {
	return &domain.Erasure{Member: e.member, Pseudonym: e.pseudonym, MemberKey: e.memberKey, IsOld: isOld}
}

// isOld says of a click, or of a conversion's news, that it is from before the erasure.
func (e *erasure) isOld(object map[string]any) bool {
	named, ok := object["clickId"].(string)
	if !ok {
		named, _ = object["id"].(string)
	}
	id, err := uuid.Parse(named)
	if err != nil {
		return false
	}
	seconds, nanoseconds := id.Time().UnixTime()
	return time.Unix(seconds, nanoseconds).Before(e.before)
}
