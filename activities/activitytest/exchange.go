package activitytest

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// settledFor is how long a conversion has not moved when the books are compared about it.
const settledFor = time.Minute + time.Second

// Exchange copies conversions into the publisher's book.
func (rig *SharedRig) Exchange() *attribution.Exchange {
	return &attribution.Exchange{Decisions: rig.Decisions}
}

// Sync brings a conversion to the publisher's book.
func (rig *SharedRig) Sync(p domain.Partnership, id *uuid.UUID) attribution.Synced {
	rig.T.Helper()
	synced, err := rig.Exchange().SyncConversion(rig.T.Context(), p, *id)
	require.NoError(rig.T, err)
	return synced
}

// RequireEqual asks them, and whether every transition of the publisher's has its one live event.
func (rig *SharedRig) RequireEqual(t require.TestingT, o *domain.Offer) {
	for _, question := range unequal {
		rows, err := rig.Store.SystemPool().Query(context.Background(), question.query, o.ID)
		require.NoError(t, err, question.what)
		wrong, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err, question.what)
		require.Empty(t, wrong, question.what)
	}
	var transitions, live int64
	require.NoError(t, rig.Store.SystemPool().QueryRow(context.Background(), `SELECT
		(SELECT count(*) FROM transitions t JOIN conversions c ON c.tenant_id = t.tenant_id AND c.id = t.conversion_id WHERE c.side = 'publisher' AND c.offer_id = $1),
		(SELECT count(*) FROM outbox WHERE subject = $2 AND payload->'data'->>'offerId' = $1::text AND payload->'data' ? 'revenue')`,
		o.ID, stream.SubjectLive+rig.Publisher.TenantID.String()).Scan(&transitions, &live))
	require.Equal(t, transitions, live, "live events")
}

// AdjustRevenue sets a conversion's revenue in the advertiser's book.
func (rig *SharedRig) AdjustRevenue(id *uuid.UUID, to string) {
	rig.T.Helper()
	require.NoError(rig.T, rig.AdjustBy(id, domain.Adjustment{Revenue: Decimal(to)}))
}

// Damage is done by somebody whom no role and no check holds back.
func (rig *SharedRig) Damage(sql string, args ...any) {
	rig.T.Helper()
	conn, err := pgx.Connect(rig.T.Context(), rig.URL)
	require.NoError(rig.T, err)
	defer conn.Close(rig.T.Context())
	_, err = conn.Exec(rig.T.Context(), "SET session_replication_role = replica")
	require.NoError(rig.T, err)
	done, err := conn.Exec(rig.T.Context(), sql, args...)
	require.NoError(rig.T, err)
	require.NotZero(rig.T, done.RowsAffected(), "nothing was damaged: %s", sql)
}

// Marker is a row of the outbox to delete.
func (rig *SharedRig) Marker() uuid.UUID {
	id := uuid.New()
	rig.Publisher.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{TenantID: rig.Publisher.TenantID, ID: id, Subject: "marker", Payload: json.RawMessage("{}")})
	})
	return id
}

// Payloads reads what the outbox holds for a subject, oldest first.
func (rig *SharedRig) Payloads(subject string, each func(payload []byte)) {
	rig.T.Helper()
	rows, err := rig.Store.SystemPool().Query(rig.T.Context(), "SELECT payload FROM outbox WHERE subject = $1 ORDER BY position", subject)
	require.NoError(rig.T, err)
	payloads, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	require.NoError(rig.T, err)
	for _, payload := range payloads {
		each(payload)
	}
}

// CopyRow puts a conversion of the advertiser's book, at its first transition, into the publisher's as
// the sync does, but for its money: for what must leave such a row alone.
func (rig *SharedRig) CopyRow(id *uuid.UUID) {
	rig.T.Helper()
	row := rig.Conversion(id)
	row.TenantID, row.Side, row.IsCounted, row.MemberKey = rig.Publisher.TenantID, domain.SidePublisher, false, nil
	payload, err := json.Marshal(stream.ConversionEvent{ID: uuid.New(), TenantID: row.TenantID, ConversionID: row.ID, Sequence: row.Sequence, Status: row.Status})
	require.NoError(rig.T, err)
	rig.Publisher.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(
			queries.InsertConversion(ctx, tx, dbgen.InsertConversionParams(row)),
			queries.InsertTransition(ctx, tx, dbgen.InsertTransitionParams{
				TenantID: row.TenantID, ConversionID: row.ID, Sequence: row.Sequence, ToStatus: string(row.Status), At: row.CreatedAt, Actor: "postback",
			}),
			queries.InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{TenantID: row.TenantID, ID: uuid.New(), Subject: stream.SubjectConversion, Payload: payload}),
		)
	})
}

// Reconciliations compares both books on the rig's clock.
func (rig *SharedRig) Reconciliations() *attribution.Reconciliations {
	return &attribution.Reconciliations{Store: rig.Store, Replay: rig.Exchange().Replay, Now: rig.Time}
}

// Compare is the first look of a run into both books.
func (rig *SharedRig) Compare(p domain.Partnership) attribution.Comparison {
	rig.T.Helper()
	c, err := rig.Reconciliations().CompareBooks(rig.T.Context(), p.ID, uuid.Nil, time.Time{}, time.Time{})
	require.NoError(rig.T, err)
	return c
}

// Reconcile is a whole run, a minute and more later.
func (rig *SharedRig) Reconcile(p domain.Partnership) (attribution.Comparison, attribution.Reconciled) {
	rig.T.Helper()
	rig.Wait(settledFor)
	c := rig.Compare(p)
	done, err := rig.Reconciliations().Reconcile(rig.T.Context(), c)
	require.NoError(rig.T, err)
	return c, done
}

// Written are the differences of the newest row.
func (rig *SharedRig) Written(p domain.Partnership) (differences []domain.BookDifference) {
	rig.T.Helper()
	text := Value[json.RawMessage](rig.Rig, `SELECT differences FROM reconciliations WHERE partnership_id = $1 ORDER BY id DESC LIMIT 1`, p.ID)
	require.NoError(rig.T, json.Unmarshal(text, &differences))
	return differences
}

// Synced are conversions of each kind in both books: one that succeeded at once, one that waits, one
// that was adjusted and reversed, one that was rejected.
func (rig *SharedRig) Synced(offer *domain.Offer, p domain.Partnership) (ids []*uuid.UUID) {
	rig.T.Helper()
	for _, event := range []string{"A", "pending", "A", "capped", "capped"} {
		ids = append(ids, rig.Post(rig.Click(offer), event).ConversionID)
	}
	rig.AdjustRevenue(ids[2], "2")
	rig.Review(ids[2], domain.ActionReverse)
	for _, id := range ids {
		rig.Sync(p, id)
	}
	return ids
}

// ReconciledOffer is a shared offer whose books are equal and settled.
func (rig *SharedRig) ReconciledOffer() (*domain.Offer, domain.Partnership) {
	return rig.SharedOffer([]domain.Event{Goal("A"), Goal("pending", PendingFor("3")), Goal("capped", Capped(1))})
}

// ForgetNewsTwice removes the news of a transition that was copied again, for the fixture's own checks.
func (rig *SharedRig) ForgetNewsTwice(id *uuid.UUID) {
	rig.T.Helper()
	rig.System(`DELETE FROM outbox a USING outbox b WHERE a.tenant_id = $1 AND b.tenant_id = a.tenant_id AND a.id > b.id AND a.subject = b.subject
		AND coalesce(a.payload->>'conversionId', a.payload->'data'->>'conversionId') = $2::text
		AND coalesce(b.payload->>'conversionId', b.payload->'data'->>'conversionId') = $2::text
		AND coalesce(a.payload->>'sequence', a.payload->'data'->>'sequence') = coalesce(b.payload->>'sequence', b.payload->'data'->>'sequence')`,
		rig.Publisher.TenantID, id.String())
}

// unequal are questions about both books of an offer, each of which must find nothing once all is
// synced (invariant 13).
var unequal = []struct{ what, query string }{
	{"conversions", `
		SELECT coalesce(a.id, p.id)::text FROM (SELECT * FROM conversions WHERE offer_id = $1 AND side = 'advertiser') a
		FULL JOIN (SELECT * FROM conversions WHERE offer_id = $1 AND side = 'publisher') p ON p.id = a.id
		WHERE (a.click_id, a.postback_id, a.event_id, a.advertiser_id, a.offer_version, a.status, a.rejection_reason, a.sequence, a.amount_micros, a.revenue_micros,
				a.currency, a.received_at, a.created_at, a.user_completed_at, a.completion_trusted, a.release_at, a.needs_review, a.decided_at, a.unique_per,
				a.closes_session, a.cnv_conversion_id, a.cnv_event_id, a.cnv_amount, a.cnv_subs, a.cnv_goal_id, a.cnv_goal_name, a.is_test)
			IS DISTINCT FROM (p.click_id, p.postback_id, p.event_id, p.advertiser_id, p.offer_version, p.status, p.rejection_reason, p.sequence, p.amount_micros, p.revenue_micros,
				p.currency, p.received_at, p.created_at, p.user_completed_at, p.completion_trusted, p.release_at, p.needs_review, p.decided_at, p.unique_per,
				p.closes_session, p.cnv_conversion_id, p.cnv_event_id, p.cnv_amount, p.cnv_subs, p.cnv_goal_id, p.cnv_goal_name, p.is_test)`},
	{"transitions", `
		SELECT coalesce(a.conversion_id, p.conversion_id)::text FROM
			(SELECT t.* FROM transitions t JOIN conversions c USING (tenant_id) WHERE c.id = t.conversion_id AND c.offer_id = $1 AND c.side = 'advertiser') a
		FULL JOIN
			(SELECT t.* FROM transitions t JOIN conversions c USING (tenant_id) WHERE c.id = t.conversion_id AND c.offer_id = $1 AND c.side = 'publisher') p
			ON p.conversion_id = a.conversion_id AND p.sequence = a.sequence
		WHERE (a.from_status, a.to_status, a.reason, a.at, a.note, a.override_caps, a.request_id, a.figures_before->>'revenue', a.figures_after->>'revenue', a.figures_after->>'amount')
			IS DISTINCT FROM (p.from_status, p.to_status, p.reason, p.at, p.note, p.override_caps, p.request_id, p.figures_before->>'revenue', p.figures_after->>'revenue', p.figures_after->>'amount')`},
	{"cost and revenue by transition", `
		SELECT t.conversion_id::text FROM ledger_transactions t JOIN conversions c ON c.tenant_id = t.tenant_id AND c.id = t.conversion_id
		JOIN ledger_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id AND e.account IN ('advertising_expense', 'advertiser_receivable')
		WHERE c.offer_id = $1 GROUP BY t.conversion_id, t.sequence
		HAVING sum(e.amount_micros) FILTER (WHERE e.account = 'advertising_expense' AND c.side = 'advertiser')
			IS DISTINCT FROM sum(e.amount_micros) FILTER (WHERE e.account = 'advertiser_receivable' AND c.side = 'publisher')`},
}
