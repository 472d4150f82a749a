package activities

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// conversion is a conversion's row.
func (rig *decisionRig) conversion(id *uuid.UUID) (row dbgen.Conversion) {
	rig.t.Helper()
	rig.tenant(func(ctx context.Context, tx pgx.Tx) (err error) {
		row, err = queries.GetConversion(ctx, tx, rig.tenantID, *id)
		return err
	})
	return row
}

func (rig *decisionRig) counter(scope domain.CapScope, id uuid.UUID, period domain.Period, start time.Time) int64 {
	rig.t.Helper()
	return value[int64](rig, `SELECT coalesce(sum(value), 0)::bigint FROM cap_counters WHERE scope = $1 AND scope_id = $2 AND period = $3 AND period_start = $4`,
		string(scope), id, string(period), start)
}

func (rig *decisionRig) transitions(id *uuid.UUID) (rows []dbgen.Transition) {
	rig.t.Helper()
	require.NoError(rig.t, rig.Store.Tenant(rig.t.Context(), rig.tenantID, func(ctx context.Context, tx pgx.Tx) (err error) {
		rows, err = queries.TransitionsOfConversion(rig.t.Context(), tx, rig.tenantID, *id)
		return err
	}))
	return rows
}

func (rig *decisionRig) points(member string) int64 {
	return value[int64](rig, "SELECT coalesce(sum(points_micros), 0)::bigint FROM member_balances WHERE pub_member_id = $1", member)
}

func (rig *decisionRig) liveOf(o *domain.Offer) int64 {
	return value[int64](rig, "SELECT count(*) FROM conversions WHERE offer_id = $1 AND status <> 'Rejected'", o.ID)
}

func (rig *decisionRig) liveIDs(o *domain.Offer) (ids []uuid.UUID) {
	rig.t.Helper()
	rows, err := rig.Store.SystemPool().Query(rig.t.Context(), "SELECT id FROM conversions WHERE offer_id = $1 AND status <> 'Rejected' ORDER BY id", o.ID)
	require.NoError(rig.t, err)
	for rows.Next() {
		var id uuid.UUID
		require.NoError(rig.t, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(rig.t, rows.Err())
	return ids
}

func (rig *decisionRig) liveRevenue(o *domain.Offer) domain.Micros {
	return value[domain.Micros](rig, "SELECT coalesce(sum(revenue_micros), 0)::bigint FROM conversions WHERE offer_id = $1 AND status <> 'Rejected'", o.ID)
}

func (rig *decisionRig) revenueBooked() int64 {
	return value[int64](rig, `SELECT coalesce(-sum(e.amount_micros), 0)::bigint FROM ledger_entries e WHERE e.account = 'publisher_revenue'`)
}

// newsOf are the callback documents of a conversion in a tenant's book, by sequence.
func (rig *decisionRig) newsOf(id *uuid.UUID) (news []map[string]any) {
	rig.t.Helper()
	text := value[json.RawMessage](rig, `SELECT jsonb_agg(payload->'conversion' ORDER BY (payload->>'sequence')::bigint) FROM outbox
		WHERE subject = $1 AND payload->>'conversionId' = $2 AND payload->>'tenantId' = $3`, stream.SubjectConversion, id.String(), rig.tenantID.String())
	require.NoError(rig.t, json.Unmarshal(text, &news))
	return news
}

// failed are the sources and states of what failed for good about something.
func (rig *decisionRig) failed(about uuid.UUID) (found []string) {
	rig.t.Helper()
	rows, err := rig.Store.SystemPool().Query(rig.t.Context(),
		"SELECT source || ' ' || state || ' ' || attempts FROM failed_messages WHERE about = $1 AND tenant_id = $2 ORDER BY id", about, rig.tenantID)
	require.NoError(rig.t, err)
	found, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(rig.t, err)
	return found
}

func (rig *decisionRig) ids(sql string) []uuid.UUID {
	rig.t.Helper()
	rows, err := rig.Store.SystemPool().Query(rig.t.Context(), sql+" ORDER BY postback_id, id")
	require.NoError(rig.t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	require.NoError(rig.t, err)
	return ids
}
