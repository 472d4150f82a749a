package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// asOwner runs one statement as an owner of the schema who is no superuser, as in production: row-level
// security holds for it too.
func (rig *decisionRig) asOwner(sql string, args ...any) {
	rig.t.Helper()
	conn, err := pgx.Connect(rig.t.Context(), rig.url)
	require.NoError(rig.t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(rig.t.Context())) }()
	_, err = conn.Exec(rig.t.Context(), sql, args...)
	require.NoError(rig.t, err)
}

// ownedByAnybody gives the tables and functions of retention to a role that is neither a superuser nor
// may pass row-level security by.
func (rig *decisionRig) ownedByAnybody() {
	rig.t.Helper()
	role := pgx.Identifier{"owner_" + uuid.NewString()}.Sanitize()
	rig.asOwner(fmt.Sprintf(`CREATE ROLE %[1]s NOSUPERUSER NOBYPASSRLS;
		GRANT CREATE, USAGE ON SCHEMA public TO %[1]s;
		ALTER TABLE clicks OWNER TO %[1]s; ALTER TABLE postbacks OWNER TO %[1]s; ALTER TABLE conversions OWNER TO %[1]s;
		ALTER TABLE held_postbacks OWNER TO %[1]s;
		ALTER FUNCTION offerflow_open_kept OWNER TO %[1]s; ALTER FUNCTION offerflow_let_go OWNER TO %[1]s`, role))
	for _, month := range []string{"clicks", "postbacks"} {
		months, err := queries.SystemOldMonths(rig.t.Context(), rig.Store.SystemPool(), month, time.Now().AddDate(1, 0, 0))
		require.NoError(rig.t, err)
		for _, one := range months {
			rig.asOwner(fmt.Sprintf("ALTER TABLE %s OWNER TO %s", one, role))
		}
	}
	rig.t.Cleanup(func() {
		rig.asOwnerAfter("REASSIGN OWNED BY " + role + " TO CURRENT_USER; DROP OWNED BY " + role + "; DROP ROLE " + role)
	})
}

func (rig *decisionRig) asOwnerAfter(sql string) {
	conn, err := pgx.Connect(context.WithoutCancel(rig.t.Context()), rig.url)
	require.NoError(rig.t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(rig.t.Context())) }()
	_, err = conn.Exec(context.WithoutCancel(rig.t.Context()), sql)
	require.NoError(rig.t, err)
}

// month makes the partitions of a month and sets the clock into it.
func (rig *decisionRig) month(ago int) (name string) {
	rig.t.Helper()
	first := time.Date(time.Now().UTC().Year(), time.Now().UTC().Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, -ago, 0)
	for _, parent := range []string{"clicks", "postbacks"} {
		rig.asOwner(fmt.Sprintf("CREATE TABLE %[1]s_%[2]s PARTITION OF %[1]s FOR VALUES FROM ('%[3]s') TO ('%[4]s')", parent, first.Format("2006_01"),
			value[string](rig, "SELECT uuid_v7_floor($1)::text", first), value[string](rig, "SELECT uuid_v7_floor($1)::text", first.AddDate(0, 1, 0))))
	}
	rig.clock = first.AddDate(0, 0, 9)
	return first.Format("2006_01")
}

func (rig *decisionRig) has(table string, id uuid.UUID) bool {
	rig.t.Helper()
	return value[int](rig, "SELECT count(*)::int FROM "+table+" WHERE id = $1", id) == 1
}
