package activities

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// settledFor is how long a conversion has not moved when the books are compared about it.
const settledFor = time.Minute + time.Second

func (rig *sharedRig) exchange() *Exchange { return &Exchange{Decisions: rig.Decisions} }

// sync brings a conversion to the publisher's book.
func (rig *sharedRig) sync(p domain.Partnership, id *uuid.UUID) Synced {
	rig.t.Helper()
	synced, err := rig.exchange().SyncConversion(rig.t.Context(), p, *id)
	require.NoError(rig.t, err)
	return synced
}

// requireEqual asks them, and whether every transition of the publisher's has its one live event.
func (rig *sharedRig) requireEqual(t require.TestingT, o *domain.Offer) {
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
		o.ID, stream.SubjectLive+rig.publisher.tenantID.String()).Scan(&transitions, &live))
	require.Equal(t, transitions, live, "live events")
}

func (rig *sharedRig) adjustRevenue(id *uuid.UUID, to string) {
	rig.t.Helper()
	require.NoError(rig.t, rig.adjust(id, domain.Adjustment{Revenue: decimal(to)}))
}

// damage is done by somebody whom no role and no check holds back.
func (rig *sharedRig) damage(sql string, args ...any) {
	rig.t.Helper()
	conn, err := pgx.Connect(rig.t.Context(), rig.url)
	require.NoError(rig.t, err)
	defer conn.Close(rig.t.Context())
	_, err = conn.Exec(rig.t.Context(), "SET session_replication_role = replica")
	require.NoError(rig.t, err)
	done, err := conn.Exec(rig.t.Context(), sql, args...)
	require.NoError(rig.t, err)
	require.NotZero(rig.t, done.RowsAffected(), "nothing was damaged: %s", sql)
}

// marker is a row of the outbox to delete.
func (rig *sharedRig) marker() uuid.UUID {
	id := uuid.New()
	rig.publisher.tenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{TenantID: rig.publisher.tenantID, ID: id, Subject: "marker", Payload: json.RawMessage("{}")})
	})
	return id
}

// payloads reads what the outbox holds for a subject, oldest first.
func (rig *sharedRig) payloads(subject string, each func(payload []byte)) {
	rig.t.Helper()
	rows, err := rig.Store.SystemPool().Query(rig.t.Context(), "SELECT payload FROM outbox WHERE subject = $1 ORDER BY position", subject)
	require.NoError(rig.t, err)
	payloads, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	require.NoError(rig.t, err)
	for _, payload := range payloads {
		each(payload)
	}
}

// copyRow puts a conversion of the advertiser's book, at its first transition, into the publisher's as
// the sync does, but for its money: for what must leave such a row alone.
func (rig *sharedRig) copyRow(id *uuid.UUID) {
	rig.t.Helper()
	row := rig.conversion(id)
	row.TenantID, row.Side, row.IsCounted, row.MemberKey = rig.publisher.tenantID, domain.SidePublisher, false, nil
	payload, err := json.Marshal(stream.ConversionEvent{ID: uuid.New(), TenantID: row.TenantID, ConversionID: row.ID, Sequence: row.Sequence, Status: row.Status})
	require.NoError(rig.t, err)
	rig.publisher.tenant(func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(
			queries.InsertConversion(ctx, tx, dbgen.InsertConversionParams(row)),
			queries.InsertTransition(ctx, tx, dbgen.InsertTransitionParams{
				TenantID: row.TenantID, ConversionID: row.ID, Sequence: row.Sequence, ToStatus: string(row.Status), At: row.CreatedAt, Actor: "postback",
			}),
			queries.InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{TenantID: row.TenantID, ID: uuid.New(), Subject: stream.SubjectConversion, Payload: payload}),
		)
	})
}

func (rig *sharedRig) reconciliations() *Reconciliations {
	return &Reconciliations{Store: rig.Store, Replay: rig.exchange().Replay, Now: rig.now}
}

// compare is the first look of a run into both books.
func (rig *sharedRig) compare(p domain.Partnership) Comparison {
	rig.t.Helper()
	c, err := rig.reconciliations().CompareBooks(rig.t.Context(), p.ID, uuid.Nil, time.Time{}, time.Time{})
	require.NoError(rig.t, err)
	return c
}

// reconcile is a whole run, a minute and more later.
func (rig *sharedRig) reconcile(p domain.Partnership) (Comparison, Reconciled) {
	rig.t.Helper()
	rig.wait(settledFor)
	c := rig.compare(p)
	done, err := rig.reconciliations().Reconcile(rig.t.Context(), c)
	require.NoError(rig.t, err)
	return c, done
}

// written are the differences of the newest row.
func (rig *sharedRig) written(p domain.Partnership) (differences []domain.BookDifference) {
	rig.t.Helper()
	text := value[json.RawMessage](rig.decisionRig, `SELECT differences FROM reconciliations WHERE partnership_id = $1 ORDER BY id DESC LIMIT 1`, p.ID)
	require.NoError(rig.t, json.Unmarshal(text, &differences))
	return differences
}

// synced are conversions of each kind in both books: one that succeeded at once, one that waits, one
// that was adjusted and reversed, one that was rejected.
func (rig *sharedRig) synced(offer *domain.Offer, p domain.Partnership) (ids []*uuid.UUID) {
	rig.t.Helper()
	for _, event := range []string{"A", "pending", "A", "capped", "capped"} {
		ids = append(ids, rig.post(rig.click(offer), event).ConversionID)
	}
	rig.adjustRevenue(ids[2], "2")
	rig.review(ids[2], domain.ActionReverse)
	for _, id := range ids {
		rig.sync(p, id)
	}
	return ids
}

func (rig *sharedRig) reconciledOffer() (*domain.Offer, domain.Partnership) {
	return rig.sharedOffer([]domain.Event{goal("A"), goal("pending", pendingFor("3")), goal("capped", capped(1))})
}

// forgetNewsTwice removes the news of a transition that was copied again, for the fixture's own checks.
func (rig *sharedRig) forgetNewsTwice(id *uuid.UUID) {
	rig.t.Helper()
	rig.system(`DELETE FROM outbox a USING outbox b WHERE a.tenant_id = $1 AND b.tenant_id = a.tenant_id AND a.id > b.id AND a.subject = b.subject
		AND coalesce(a.payload->>'conversionId', a.payload->'data'->>'conversionId') = $2::text
		AND coalesce(b.payload->>'conversionId', b.payload->'data'->>'conversionId') = $2::text
		AND coalesce(a.payload->>'sequence', a.payload->'data'->>'sequence') = coalesce(b.payload->>'sequence', b.payload->'data'->>'sequence')`,
		rig.publisher.tenantID, id.String())
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
