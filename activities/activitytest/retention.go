package activitytest

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// AsOwner runs one statement as an owner of the schema who is no superuser, as in production: row-level
// security holds for it too.
func (rig *Rig) AsOwner(sql string, args ...any) {
	rig.T.Helper()
	conn, err := pgx.Connect(rig.T.Context(), rig.URL)
	require.NoError(rig.T, err)
	defer func() { _ = conn.Close(context.WithoutCancel(rig.T.Context())) }()
	_, err = conn.Exec(rig.T.Context(), sql, args...)
	require.NoError(rig.T, err)
}

// OwnedByAnybody gives the tables and functions of retention to a role that is neither a superuser nor
// may pass row-level security by.
func (rig *Rig) OwnedByAnybody() {
	rig.T.Helper()
	role := pgx.Identifier{"owner_" + uuid.NewString()}.Sanitize()
	rig.AsOwner(fmt.Sprintf(`CREATE ROLE %[1]s NOSUPERUSER NOBYPASSRLS;
		GRANT CREATE, USAGE ON SCHEMA public TO %[1]s;
		ALTER TABLE clicks OWNER TO %[1]s; ALTER TABLE postbacks OWNER TO %[1]s; ALTER TABLE conversions OWNER TO %[1]s;
		ALTER TABLE held_postbacks OWNER TO %[1]s;
		ALTER FUNCTION offerflow_open_kept OWNER TO %[1]s; ALTER FUNCTION offerflow_let_go OWNER TO %[1]s`, role))
	for _, month := range []string{"clicks", "postbacks"} {
		months, err := queries.SystemOldMonths(rig.T.Context(), rig.Store.SystemPool(), month, time.Now().AddDate(1, 0, 0))
		require.NoError(rig.T, err)
		for _, one := range months {
			rig.AsOwner(fmt.Sprintf("ALTER TABLE %s OWNER TO %s", one, role))
		}
	}
	rig.T.Cleanup(func() {
		rig.asOwnerAfter("REASSIGN OWNED BY " + role + " TO CURRENT_USER; DROP OWNED BY " + role + "; DROP ROLE " + role)
	})
}

func (rig *Rig) asOwnerAfter(sql string) {
	conn, err := pgx.Connect(context.WithoutCancel(rig.T.Context()), rig.URL)
	require.NoError(rig.T, err)
	defer func() { _ = conn.Close(context.WithoutCancel(rig.T.Context())) }()
	_, err = conn.Exec(context.WithoutCancel(rig.T.Context()), sql)
	require.NoError(rig.T, err)
}

// Month makes the partitions of a month and sets the clock into it.
func (rig *Rig) Month(ago int) (name string) {
	rig.T.Helper()
	first := time.Date(time.Now().UTC().Year(), time.Now().UTC().Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, -ago, 0)
	for _, parent := range []string{"clicks", "postbacks"} {
		rig.AsOwner(fmt.Sprintf("CREATE TABLE %[1]s_%[2]s PARTITION OF %[1]s FOR VALUES FROM ('%[3]s') TO ('%[4]s')", parent, first.Format("2006_01"),
			Value[string](rig, "SELECT uuid_v7_floor($1)::text", first), Value[string](rig, "SELECT uuid_v7_floor($1)::text", first.AddDate(0, 1, 0))))
	}
	rig.At = first.AddDate(0, 0, 9)
	return first.Format("2006_01")
}

// Has says whether a table has a row.
func (rig *Rig) Has(table string, id uuid.UUID) bool {
	rig.T.Helper()
	return Value[int](rig, "SELECT count(*)::int FROM "+table+" WHERE id = $1", id) == 1
}
