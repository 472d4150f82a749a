package db_test

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
)

// Subjects as package stream has them.
const (
	livePrefix = "offerflow.live."
	otherNews  = "offerflow.event.conversion"
)

type outbox struct {
	*db.Store
	t   *testing.T
	url string
}

func newOutbox(t *testing.T) *outbox {
	t.Helper()
	url := dbtest.New(t)
	store, err := db.Open(t.Context(), url, 4)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	return &outbox{store, t, url}
}

// written writes a row for each subject in one transaction of a tenant, as decisions do.
func (o *outbox) written(subjects ...string) (ids []string) {
	o.t.Helper()
	tenantID := uuid.New()
	require.NoError(o.t, o.Tenant(o.t.Context(), tenantID, func(ctx context.Context, tx pgx.Tx) error {
		for _, subject := range subjects {
			id, err := uuid.NewV7()
			require.NoError(o.t, err)
			err = dbgen.New().InsertOutbox(o.t.Context(), tx, dbgen.InsertOutboxParams{TenantID: tenantID, ID: id, Subject: subject, Payload: json.RawMessage(`{}`)})
			if err != nil {
				return err
			}
			ids = append(ids, id.String())
		}
		return nil
	}))
	return ids
}

// take takes rows as a relay does that has the turn.
func (o *outbox) take(limit int32) (ids []string) {
	o.t.Helper()
	rows, err := dbgen.New().SystemOutbox(o.t.Context(), o.SystemPool(), limit)
	require.NoError(o.t, err)
	o.leave(rows)
	for _, row := range rows {
		ids = append(ids, row.ID.String())
	}
	return ids
}

func (o *outbox) leave(rows []dbgen.SystemOutboxRow) {
	o.t.Helper()
	var ids []uuid.UUID
	var positions []int64
	for _, row := range rows {
		ids, positions = append(ids, row.ID), append(positions, row.Position)
	}
	require.NoError(o.t, dbgen.New().SystemLeaveOutbox(o.t.Context(), o.SystemPool(), ids, positions))
}

// Rule 56: rows leave in the order in which they were written, whatever plan the statistics suggest. A
// table that is drained all the time is a few rows on many pages, where a hash is thought cheaper.
func TestRule56TheOutboxKeepsItsOrder(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	live := slices.Repeat([]string{livePrefix + uuid.NewString()}, 5)
	for range 400 {
		o.written(live...)
	}
	o.take(2000)
	kept := o.written(live...)
	_, err := as(t, o.url, "").Exec(t.Context(), "ANALYZE outbox")
	require.NoError(t, err)
	for range 100 {
		written := slices.Concat(kept, o.written(live...))
		require.Equal(t, written, o.take(200))
		kept = o.written(live...)
	}
}

// What piled up while the stream server was away leaves by the index, from its front: no batch reads
// the whole table.
func TestABatchReadsTheFrontOfTheOutbox(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	owner, system := as(t, url, ""), as(t, url, roleSystem)
	_, err := owner.Exec(t.Context(), `INSERT INTO outbox (tenant_id, id, subject, payload)
		SELECT gen_random_uuid(), gen_random_uuid(), CASE WHEN n % 2 = 0 THEN 'offerflow.live.x' ELSE 'offerflow.event.x' END, '{}' FROM generate_series(1, 40000) n`)
	require.NoError(t, err)
	_, err = owner.Exec(t.Context(), "ANALYZE outbox")
	require.NoError(t, err)
	query := strings.NewReplacer("@max_rows", "$1").Replace(named(t, "queries/system_outbox.sql", "SystemOutbox"))
	plan := strings.Join(list(t, system, "EXPLAIN "+query, 200), "\n")
	require.NotContains(t, plan, "Seq Scan", plan)
	require.Contains(t, plan, "Index Scan using outbox_position", plan)
}

// named is the text of a query.
func named(t *testing.T, file, name string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(text), "-- name: "+name+" ")
	require.True(t, ok)
	_, after, _ = strings.Cut(after, "\n")
	query, _, ok := strings.Cut(after, ";\n")
	require.True(t, ok)
	return query
}

// One relay at a time has the turn, over all processes, and no transaction is open meanwhile: another one
// gets it when the first gives it back, or when its session ends.
func TestRule56OneRelayAtATimeHasTheTurn(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	session := func(patience time.Duration) *pgx.Conn {
		conn, err := o.Session(t.Context(), patience)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	hasTurn := func(conn *pgx.Conn) bool {
		mine, err := dbgen.New().SystemTakeRelaysTurn(t.Context(), conn)
		require.NoError(t, err)
		return mine
	}
	first, second := session(time.Minute), session(time.Minute)
	require.True(t, hasTurn(first))
	require.False(t, hasTurn(second))
	require.EqualValues(t, 'I', first.PgConn().TxStatus(), "idle, in no transaction")
	require.NoError(t, dbgen.New().SystemEndRelaysTurn(t.Context(), first))
	require.True(t, hasTurn(second))
	require.NoError(t, second.Close(t.Context()))

	frozen := session(100 * time.Millisecond)
	require.Eventually(t, func() bool { return hasTurn(frozen) }, 10*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool { return hasTurn(first) }, 10*time.Second, 10*time.Millisecond, "a frozen relay loses its session")
}

// News that is told again while it is being published is published again: the reader of the first telling
// may have looked before what the second one tells of.
func TestNewsToldAgainWhileItLeavesIsPublishedAgain(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	tenantID, id := uuid.New(), uuid.Must(uuid.NewV7())
	tell := func() {
		require.NoError(t, o.Tenant(t.Context(), tenantID, func(ctx context.Context, tx pgx.Tx) error {
			return dbgen.New().InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{TenantID: tenantID, ID: id, Subject: otherNews, Payload: json.RawMessage(`{}`)})
		}))
	}
	tell()
	rows, err := dbgen.New().SystemOutbox(t.Context(), o.SystemPool(), 10)
	require.NoError(t, err)
	tell()
	o.leave(rows)
	require.Equal(t, []string{id.String()}, o.take(10))
	require.Empty(t, o.take(10))
}
