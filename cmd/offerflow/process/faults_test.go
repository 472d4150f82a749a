package process

import (
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
)

// Whatever is wrong with PostgreSQL is one line that names the setting, the place and what to do, and
// shows no password.
func TestWhatIsWrongWithPostgreSQL(t *testing.T) {
	right := dbtest.New(t)
	conn, err := pgx.Connect(t.Context(), right)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN PASSWORD 'hunter2'")
	require.NoError(t, err)
	changed := func(change func(*url.URL)) string {
		u, err := url.Parse(right)
		require.NoError(t, err)
		change(u)
		return u.String()
	}
	for name, one := range map[string]struct{ address, says string }{
		"nobody there":    {changed(func(u *url.URL) { u.Host = "127.0.0.1:1" }), "127.0.0.1:1 does not answer: start it, or set the right address (connect: connection refused)"},
		"no such host":    {changed(func(u *url.URL) { u.Host = "db.invalid:5432" }), "db.invalid:5432 does not answer"},
		"wrong password":  {changed(func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "hunter2") }), "refuses the login"},
		"no such user":    {changed(func(u *url.URL) { u.User = url.UserPassword("nobody", "hunter2") }), `refuses the login "nobody"`},
		"no such base":    {changed(func(u *url.URL) { u.Path = "/nothing" }), `has no database "nothing": use the right name`},
		"not of the role": {changed(func(u *url.URL) { u.User = url.UserPassword("stranger", "hunter2") }), `GRANT offerflow_app, offerflow_system TO "stranger"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := db.Open(t.Context(), one.address, 2)
			require.Error(t, err)
			fault := databaseFault("OFFERFLOW_DATABASE_URL", one.address, err).Error()
			require.True(t, strings.HasPrefix(fault, "OFFERFLOW_DATABASE_URL: PostgreSQL at "), fault)
			require.Contains(t, fault, one.says)
			require.NotContains(t, fault, "hunter2")
			require.NotContains(t, fault, "\n")
		})
	}
}

// A process can be let go of however far its start came.
func TestAHalfStartedProcessIsLetGoOf(t *testing.T) {
	store, err := db.Open(t.Context(), dbtest.New(t), 2)
	require.NoError(t, err)
	for name, p := range map[string]*Process{
		"nothing": {}, "api": {role: RoleAPI}, "a database": {role: RoleAll, store: store}, "the decisions' too": {role: RoleAll, decisions: store},
	} {
		require.NotPanics(t, p.close, name)
	}
}
