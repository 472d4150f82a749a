package db_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

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
	require.NoError(o.t, o.Tenant(o.t.Context(), tenantID, func(tx pgx.Tx) error {
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

// take takes rows in a transaction that ends with meanwhile.
func (o *outbox) take(limit int32, meanwhile func() error) (ids []string) {
	o.t.Helper()
	err := o.System(o.t.Context(), func(tx pgx.Tx) error {
		ids = nil
		rows, err := dbgen.New().SystemTakeOutbox(o.t.Context(), tx, livePrefix, limit)
		for _, row := range rows {
			ids = append(ids, row.ID.String())
		}
		if err != nil {
			return err
		}
		return meanwhile()
	})
	if !errors.Is(err, errGivenUp) {
		require.NoError(o.t, err)
	}
	return ids
}

var errGivenUp = errors.New("the stream refuses")

func committed() error { return nil }

// Rule 56: rows leave in the order in which they were written, whatever plan the statistics suggest. A
// table that is drained all the time is a few rows on many pages, where a hash is thought cheaper.
func TestRule56TheOutboxKeepsItsOrder(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	live := slices.Repeat([]string{livePrefix + uuid.NewString()}, 5)
	for range 400 {
		o.written(live...)
	}
	o.take(2000, committed)
	kept := o.written(live...)
	_, err := as(t, o.url, "").Exec(t.Context(), "ANALYZE outbox")
	require.NoError(t, err)
	for range 100 {
		written := slices.Concat(kept, o.written(live...))
		require.Equal(t, written, o.take(200, committed))
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
	query := strings.NewReplacer("@live_prefix", "$1", "@max_rows", "$2").Replace(named(t, "queries/system_outbox.sql", "SystemTakeOutbox"))
	plan := strings.Join(list(t, system, "EXPLAIN "+query, livePrefix, 200), "\n")
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

// One relay at a time takes live events, until it has published them; callbacks' news and all else wait
// for nobody.
func TestRule56OneRelayAtATimeTakesLiveEvents(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	live := livePrefix + uuid.NewString()
	first := o.written(live, otherNews)
	var later []string
	taken := o.take(200, func() error {
		later = o.written(live, otherNews, live)
		require.Equal(t, later[1:2], o.take(200, committed), "another relay beside this one")
		return nil
	})
	require.Equal(t, first, taken)
	require.Equal(t, []string{later[0], later[2]}, o.take(200, committed))
	// A relay that is frozen while it has them loses its connection, and they are another's.
	require.NoError(t, o.System(t.Context(), func(tx pgx.Tx) error {
		for _, c := range []struct{ subject, patience string }{{otherNews, "0"}, {live, "15s"}} {
			o.written(c.subject)
			_, err := dbgen.New().SystemTakeOutbox(t.Context(), tx, livePrefix, 200)
			require.NoError(t, err)
			var patience string
			require.NoError(t, tx.QueryRow(t.Context(), "SHOW idle_in_transaction_session_timeout").Scan(&patience))
			require.Equal(t, c.patience, patience)
		}
		return nil
	}))
	// A relay that takes none of them keeps them from nobody.
	last := o.written(otherNews)
	o.take(200, func() error {
		last = o.written(live)
		require.Equal(t, last, o.take(200, committed))
		return nil
	})
	// One that gave up lets go of them.
	again := o.written(live, live)
	o.take(200, func() error { return errGivenUp })
	require.Equal(t, again, o.take(200, committed))
}
