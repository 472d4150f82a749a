package activitytest

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

// Conversion is a conversion's row.
func (rig *Rig) Conversion(id *uuid.UUID) (row dbgen.Conversion) {
	rig.T.Helper()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) (err error) {
		row, err = queries.GetConversion(ctx, tx, rig.TenantID, *id)
		return err
	})
	return row
}

// Counter is a cap counter's value.
func (rig *Rig) Counter(scope domain.CapScope, id uuid.UUID, period domain.Period, start time.Time) int64 {
	rig.T.Helper()
	return Value[int64](rig, `SELECT coalesce(sum(value), 0)::bigint FROM cap_counters WHERE scope = $1 AND scope_id = $2 AND period = $3 AND period_start = $4`,
		string(scope), id, string(period), start)
}

// Transitions are a conversion's history.
func (rig *Rig) Transitions(id *uuid.UUID) (rows []dbgen.Transition) {
	rig.T.Helper()
	require.NoError(rig.T, rig.Store.Tenant(rig.T.Context(), rig.TenantID, func(ctx context.Context, tx pgx.Tx) (err error) {
		rows, err = queries.TransitionsOfConversion(rig.T.Context(), tx, rig.TenantID, *id)
		return err
	}))
	return rows
}

// Points are a member's balance in micros.
func (rig *Rig) Points(member string) int64 {
	return Value[int64](rig, "SELECT coalesce(sum(points_micros), 0)::bigint FROM member_balances WHERE pub_member_id = $1", member)
}

// LiveOf is how many conversions of an offer are live.
func (rig *Rig) LiveOf(o *domain.Offer) int64 {
	return Value[int64](rig, "SELECT count(*) FROM conversions WHERE offer_id = $1 AND status <> 'Rejected'", o.ID)
}

// LiveIDs are the live conversions of an offer.
func (rig *Rig) LiveIDs(o *domain.Offer) (ids []uuid.UUID) {
	rig.T.Helper()
	rows, err := rig.Store.SystemPool().Query(rig.T.Context(), "SELECT id FROM conversions WHERE offer_id = $1 AND status <> 'Rejected' ORDER BY id", o.ID)
	require.NoError(rig.T, err)
	for rows.Next() {
		var id uuid.UUID
		require.NoError(rig.T, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(rig.T, rows.Err())
	return ids
}

// LiveRevenue is what the live conversions of an offer bring.
func (rig *Rig) LiveRevenue(o *domain.Offer) domain.Micros {
	return Value[domain.Micros](rig, "SELECT coalesce(sum(revenue_micros), 0)::bigint FROM conversions WHERE offer_id = $1 AND status <> 'Rejected'", o.ID)
}

// RevenueBooked is the sum of the ledger's receivables.
func (rig *Rig) RevenueBooked() int64 {
	return Value[int64](rig, `SELECT coalesce(-sum(e.amount_micros), 0)::bigint FROM ledger_entries e WHERE e.account = 'publisher_revenue'`)
}

// NewsOf are the callback documents of a conversion in a tenant's book, by sequence.
func (rig *Rig) NewsOf(id *uuid.UUID) (news []map[string]any) {
	rig.T.Helper()
	text := Value[json.RawMessage](rig, `SELECT jsonb_agg(payload->'conversion' ORDER BY (payload->>'sequence')::bigint) FROM outbox
		WHERE subject = $1 AND payload->>'conversionId' = $2 AND payload->>'tenantId' = $3`, stream.SubjectConversion, id.String(), rig.TenantID.String())
	require.NoError(rig.T, json.Unmarshal(text, &news))
	return news
}

// Failed are the sources and states of what failed for good about something.
func (rig *Rig) Failed(about uuid.UUID) (found []string) {
	rig.T.Helper()
	rows, err := rig.Store.SystemPool().Query(rig.T.Context(),
		"SELECT source || ' ' || state || ' ' || attempts FROM failed_messages WHERE about = $1 AND tenant_id = $2 ORDER BY id", about, rig.TenantID)
	require.NoError(rig.T, err)
	found, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(rig.T, err)
	return found
}

// IDs are the ids that a query finds.
func (rig *Rig) IDs(sql string) []uuid.UUID {
	rig.T.Helper()
	rows, err := rig.Store.SystemPool().Query(rig.T.Context(), sql+" ORDER BY postback_id, id")
	require.NoError(rig.T, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	require.NoError(rig.T, err)
	return ids
}
