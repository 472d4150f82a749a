package activitytest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/activities/erasure"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// Mark is in the id of the member that tests erase, and in all that is said of it.
const Mark = "erasemark"

// Eraser erases members of a rig as the API's jobs do.
type Eraser struct {
	*Rig
	Jobs *attribution.Jobs
}

// Eraser is one for the rig's tenant.
func (rig *Rig) Eraser() *Eraser {
	return &Eraser{rig, &attribution.Jobs{Decisions: rig.Decisions}}
}

// Ask stores what DELETE /api/v1/members/{pub_member_id} stores.
func (e *Eraser) Ask(member string, clicks int64) (jobID uuid.UUID, pseudonym string) {
	e.T.Helper()
	jobID, at := uuid.Must(uuid.NewV7()), e.Time()
	pseudonym = domain.ErasedMember(hex.EncodeToString(jobID[:]))
	lines := erasure.Stages(clicks)
	numbers := make([]int64, len(lines))
	for i := range numbers {
		numbers[i] = int64(i) + 1
	}
	e.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		_, err := queries.InsertJob(ctx, tx, dbgen.InsertJobParams{
			TenantID: e.TenantID, ID: jobID, Action: string(attribution.JobErase), State: attribution.JobRunning, Actor: "person", Columns: []string{}, Total: int64(len(lines)), CreatedAt: at,
		})
		return errors.Join(err,
			queries.InsertJobLines(ctx, tx, dbgen.InsertJobLinesParams{TenantID: e.TenantID, JobID: jobID, Numbers: numbers, Lines: lines}),
			queries.InsertErasure(ctx, tx, dbgen.InsertErasureParams{
				TenantID: e.TenantID, JobID: jobID, Pseudonym: pseudonym, ErasedBefore: at,
				MemberHash: erasure.MemberHash(e.Keys, e.TenantID, member), MemberSealed: e.Keys.Seal([]byte(member)),
			}))
	})
	return jobID, pseudonym
}

// Run runs a job to its end; no item of it fails.
func (e *Eraser) Run(jobID uuid.UUID) {
	e.T.Helper()
	var last attribution.JobBatch
	for !last.Done {
		batch, err := e.Jobs.RunJob(e.T.Context(), e.TenantID, jobID, last.Through)
		require.NoError(e.T, err)
		last = batch
	}
	require.Empty(e.T, Value[[]string](e.Rig, `SELECT array_remove(array_agg(CASE WHEN state NOT IN ('changed', 'unchanged') THEN line || ' ' || error END), NULL) FROM job_items WHERE job_id = $1`, jobID))
}

// Erase erases a member from what is there by now.
func (e *Eraser) Erase(member string) (pseudonym string) {
	e.T.Helper()
	e.Wait(time.Millisecond) // ids of clicks have milliseconds
	jobID, pseudonym := e.Ask(member, 1)
	e.Run(jobID)
	return pseudonym
}

// Holding are the places of the whole database that hold a text, as table.column: text, arrays, JSON, bytes. What
// the database says of itself and the partitions' own names are left out.
func (rig *Rig) Holding(text string) (places []string) {
	rig.T.Helper()
	conn, err := pgx.Connect(rig.T.Context(), rig.URL)
	require.NoError(rig.T, err)
	defer func() { _ = conn.Close(context.WithoutCancel(rig.T.Context())) }()
	rows, err := conn.Query(rig.T.Context(), TextColumns)
	require.NoError(rig.T, err)
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TextColumn])
	require.NoError(rig.T, err)
	require.Greater(rig.T, len(columns), 200, "the schema is looked through")
	for _, c := range columns {
		column := pgx.Identifier{c.Column}.Sanitize() + "::text"
		if c.Type == "bytea" {
			column = "encode(" + pgx.Identifier{c.Column}.Sanitize() + ", 'escape')"
		}
		var found bool
		require.NoError(rig.T, conn.QueryRow(rig.T.Context(), fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM %s WHERE strpos(%s, $1) > 0)", pgx.Identifier{c.Table}.Sanitize(), column), text).Scan(&found))
		if found {
			places = append(places, c.Table+"."+c.Column)
		}
	}
	return places
}

// TextColumn is a column that can hold a text.
type TextColumn struct{ Table, Column, Type string }

// TextColumns lists those of all tables but partitions.
const TextColumns = `SELECT c.table_name::text, c.column_name::text, c.udt_name::text FROM information_schema.columns c
	JOIN pg_class t ON t.relname = c.table_name AND t.relnamespace = 'public'::regnamespace
	WHERE c.table_schema = 'public' AND NOT t.relispartition AND c.udt_name IN ('text', '_text', 'varchar', 'json', 'jsonb', 'bytea') ORDER BY 1, 2`

// Marked is a click that says of its member all that a click can say.
func Marked(member string) func(c *domain.Click) {
	return func(c *domain.Click) {
		c.PubMemberID = &member
		c.PubClickID, c.PubSessionID, c.PubGender, c.PubAge = Mark+"-click", Mark+"-session", Mark+"-gender", Mark+"-age"
		c.PubGeoCountry, c.PubGeoState, c.PubPostalCode, c.PubDevice = "FR", Mark+"-state", Mark+"-postal", Mark+"-device"
		c.PubSubs, c.ViewID, c.Source = []string{Mark + "-sub1", "", Mark + "-sub3"}, Mark+"-view", Mark+"-source"
		c.IP, c.UserAgent, c.Referer = "203.0.113.77", Mark+"-agent", "https://"+Mark+".example/"
	}
}

// Telling is a postback that says of its member what advertisers say.
func Telling(p *domain.Postback) {
	p.Subs, p.SourceIP, p.ConversionID = []string{Mark + "-theirs"}, "203.0.113.77", "order-1"
	p.Params = map[string]string{
		"gk_click_id": p.ClickID.String(), "CNV_EVENT_ID": p.EventID, "cnv_email": Mark + "@example.com", "cnv_user_id": Mark + "-user", "cnv_sub_1": Mark + "-theirs",
		"cnv_conversion_ip_address": "203.0.113.77", "anything": Mark,
	}
	p.Warnings = domain.FieldErrors{{Field: "cnv_email", Reason: Mark}}
}

// Figures are what an erasure must not change: sums of money, points, counts, statuses, visitors, by what reports
// and books are asked by.
func (rig *Rig) Figures() map[string]string {
	rig.T.Helper()
	figures := map[string]string{}
	for name, sql := range map[string]string{
		"ledger":      "SELECT string_agg(concat_ws(' ', account, n, s), ', ' ORDER BY account) FROM (SELECT account, count(*) n, sum(amount_micros) s FROM ledger_entries GROUP BY 1) x",
		"balances":    "SELECT string_agg(points_micros::text, ' ' ORDER BY points_micros) FROM member_balances",
		"conversions": "SELECT string_agg(concat_ws(' ', id, status, rejection_reason, sequence, revenue_micros, payout_micros, reward_micros, release_at, cnv_conversion_id), ', ' ORDER BY id) FROM conversions",
		"transitions": "SELECT string_agg(concat_ws(' ', conversion_id, sequence, to_status), ', ' ORDER BY conversion_id, sequence) FROM transitions",
		"postbacks":   "SELECT string_agg(concat_ws(' ', id, outcome, reason, conversion_id), ', ' ORDER BY id) FROM postbacks",
		"clicks":      "SELECT string_agg(concat_ws(' ', id, offer_id, partner_id, coalesce(country_code(country), country_code(pub_geo_country)), device, refused_reason), ', ' ORDER BY id) FROM clicks",
		"visitors":    "SELECT string_agg(concat_ws(' ', offer_id, bucket, clicks, cardinality(visitors)), ', ' ORDER BY offer_id, bucket) FROM click_rollups",
		"unique":      "SELECT count(DISTINCT v)::text FROM click_rollups, unnest(visitors) v",
		"rollups":     "SELECT string_agg(concat_ws(' ', offer_id, bucket, success, pending, rejected, revenue_micros), ', ' ORDER BY offer_id, bucket, event_id) FROM conversion_rollups",
		"deliveries":  "SELECT string_agg(concat_ws(' ', id, state, attempts), ', ' ORDER BY id) FROM deliveries",
		"caps":        "SELECT string_agg(concat_ws(' ', scope, scope_id, period, value), ', ' ORDER BY scope, scope_id, period) FROM cap_counters",
	} {
		figures[name] = orNone(Value[*string](rig, sql))
	}
	return figures
}

func orNone(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// TenantsRows are all rows of a tenant, by table.
func (rig *Rig) TenantsRows() map[string]string {
	rig.T.Helper()
	found := map[string]string{}
	for _, table := range []string{
		"clicks", "conversions", "transitions", "postbacks", "held_postbacks", "ledger_entries", "member_balances", "offer_views", "deliveries", "delivery_attempts",
		"outbox", "jobs", "audit_log", "idempotency_keys", "click_rollups", "conversion_rollups",
	} {
		found[table] = orNone(Value[*string](rig, fmt.Sprintf("SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM %s t WHERE tenant_id = $1", table), rig.TenantID))
	}
	return found
}

// PointsOf is a balance of the rig's tenant.
func (rig *Rig) PointsOf(member string) int64 {
	rig.T.Helper()
	return Value[int64](rig, "SELECT coalesce(sum(points_micros), 0)::bigint FROM member_balances WHERE tenant_id = $1 AND pub_member_id = $2", rig.TenantID, member)
}
