package starts

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/keyring"
)

// secrets are in the settings of these tests, and must not be in what is said of them.
var secrets = []string{"hunter2", "0ther-token-of-nats", "0ther-token-of-temporal", "short-token", strings.Repeat("00", 32)}

// The tests run in this order: the parts are as an operator finds them on the first day.
func TestTheFirstDay(t *testing.T) {
	t.Run("before migrate", func(t *testing.T) {
		for _, command := range []string{"api", "worker", "all", "replay", "adopt-keys"} {
			refuses(t, command, nil, "OFFERFLOW_DATABASE_URL: ", "run `offerflow migrate`")
		}
	})
	t.Run("migrate without streams", func(t *testing.T) {
		p := launch(t, "migrate", map[string]string{"OFFERFLOW_NATS_URL": "nats://127.0.0.1:1"})
		if code := p.code(); code != 1 {
			t.Errorf("ended with %d", code)
		}
		has(t, p.out.String(), "database: applied 00001_foundation\n", "database: applied 00045_processes\n", "database: migrated to schema 000")
		has(t, p.errs.String(), "offerflow: the database is migrated, the streams are not: OFFERFLOW_NATS_URL: NATS does not answer at 127.0.0.1:1: start it")
	})
	t.Run("without streams", func(t *testing.T) {
		for _, command := range withStreams {
			refuses(t, command, nil, "stream CLICKS_V2 is missing: run `offerflow migrate`")
		}
	})
	t.Run("migrate", func(t *testing.T) {
		has(t, works(t, "migrate", nil).out.String(), "database: nothing to do, at schema 000", "streams: stream CLICKS_V2 made: 8 MiB", "streams: stream LIVE made")
		again := works(t, "migrate", nil).out.String()
		has(t, again, "database: nothing to do, at schema 000", "streams: nothing to do\n")
		altered := works(t, "migrate", map[string]string{"OFFERFLOW_STREAM_EVENTS_MIB": "16"}).out.String()
		has(t, altered, "streams: stream EVENTS altered: 16 MiB, was 8 MiB\n")
		works(t, "migrate", nil)
	})
	t.Run("everything is right", func(t *testing.T) {
		for _, command := range allCommands {
			works(t, command, nil)
		}
	})
	t.Run("each part wrong", eachPartWrong)
	t.Run("each setting wrong", eachSettingWrong)
	t.Run("keys", differentKeys)
	t.Run("without Temporal", withoutTemporal)
	t.Run("a newer schema", newerSchema)
	t.Run("an older schema", olderSchema)
}

func has(t *testing.T, text string, says ...string) {
	t.Helper()
	for _, one := range says {
		if !strings.Contains(text, one) {
			t.Errorf("%q is without %q", text, one)
		}
	}
}

func changed(t *testing.T, address string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

// eachPartWrong runs each command with each part away, or with a login that it does not know.
func eachPartWrong(t *testing.T) {
	stranger := execute(t, "CREATE ROLE stranger LOGIN PASSWORD 'hunter2'")
	defer stranger("DROP ROLE stranger")
	database := func(change func(*url.URL)) map[string]string {
		return map[string]string{"OFFERFLOW_DATABASE_URL": changed(t, parts.DatabaseURL, change)}
	}
	for name, one := range map[string]struct {
		commands []string
		wrong    map[string]string
		says     []string
	}{
		"PostgreSQL away": {allCommands, database(func(u *url.URL) { u.Host = "127.0.0.1:1" }), []string{
			"OFFERFLOW_DATABASE_URL: PostgreSQL at 127.0.0.1:1 does not answer: start it, or set the right address"}},
		"PostgreSQL's password": {allCommands, database(func(u *url.URL) { u.User = url.UserPassword("postgres", "hunter2") }), []string{
			"OFFERFLOW_DATABASE_URL: PostgreSQL at ", `refuses the login "postgres": write the right user and password`}},
		"no such database": {allCommands, database(func(u *url.URL) { u.Path = "/nothing" }), []string{"OFFERFLOW_DATABASE_URL: ", `has no database "nothing"`}},
		"a login without the roles": {[]string{"api", "worker", "all", "replay", "adopt-keys"}, database(func(u *url.URL) { u.User = url.UserPassword("stranger", "hunter2") }), []string{
			"OFFERFLOW_DATABASE_URL: ", `GRANT offerflow_app, offerflow_system TO "stranger"`}},
		"a login that owns nothing": {[]string{"migrate"}, map[string]string{"OFFERFLOW_MIGRATE_DATABASE_URL": changed(t, parts.DatabaseURL, func(u *url.URL) {
			u.User, u.Path = url.UserPassword("stranger", "hunter2"), "/postgres"
		})}, []string{"OFFERFLOW_MIGRATE_DATABASE_URL: ", `does not allow the login "stranger" to do this: use the owner of the database`}},
		"NATS away": {withStreams, map[string]string{"OFFERFLOW_NATS_URL": "nats://127.0.0.1:1"}, []string{
			"OFFERFLOW_NATS_URL: NATS does not answer at 127.0.0.1:1: start it, or set the right address"}},
		"NATS's token": {append(withStreams, "migrate"), map[string]string{
			"OFFERFLOW_NATS_URL": changed(t, parts.NATSURL, func(u *url.URL) { u.User = url.User("0ther-token-of-nats") }),
		}, []string{"OFFERFLOW_NATS_URL: NATS at ", "refuses the token"}},
		"Temporal's namespace": {withStreams, map[string]string{"TEMPORAL_NAMESPACE": "elsewhere"}, []string{
			"TEMPORAL_NAMESPACE: Temporal at " + parts.TemporalAddress + ` has no namespace "elsewhere"`, "temporal operator namespace create -n elsewhere"}},
		"Temporal's token": {withStreams, map[string]string{"TEMPORAL_API_KEY": "0ther-token-of-temporal"}, []string{
			"TEMPORAL_API_KEY: Temporal at " + parts.TemporalAddress + " does not allow this process to use namespace"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, command := range one.commands {
				refuses(t, command, one.wrong, one.says...)
			}
		})
	}
}

// eachSettingWrong runs each command with a setting that it cannot work with. That every setting is
// checked is shown beside the settings.
func eachSettingWrong(t *testing.T) {
	without := slices.DeleteFunc(slices.Clone(allCommands), func(command string) bool { return command == "migrate" })
	for name, one := range map[string]struct {
		commands []string
		value    string
		says     string
	}{
		"OFFERFLOW_DATABASE_URL":     {allCommands, "postgres://u:hunter2@db:port/x", "is not a valid PostgreSQL address"},
		"OFFERFLOW_NATS_URL":         {allCommands, "nats://hunter2/x@nats:4222", "is not a valid NATS address"},
		"OFFERFLOW_LOG_LEVEL":        {allCommands, "loud", "use debug, info, warn or error"},
		"OFFERFLOW_DATABASE_CONNS":   {allCommands, "many", `is "many": use a whole number`},
		"OFFERFLOW_OPERATOR_TOKEN":   {without, "short-token", "must have at least 16 bytes (openssl rand -hex 32)"},
		"OFFERFLOW_SECRET_KEYS":      {without, "hunter2", "key 1: must be 32 or more bytes in hex or base64 (generate one with: openssl rand -hex 32)"},
		"OFFERFLOW_GEOIP_FILE":       {[]string{"api", "all"}, "/nowhere/country.mmdb", "/nowhere/country.mmdb"},
		"OFFERFLOW_HTTP_ADDR":        {[]string{"api", "all"}, "192.0.2.1:8080", "choose another address with OFFERFLOW_HTTP_ADDR"},
		"OFFERFLOW_WORKER_HTTP_ADDR": {[]string{"worker"}, "192.0.2.1:8080", "choose another address with OFFERFLOW_WORKER_HTTP_ADDR"},
		"OFFERFLOW_METRICS_ADDR":     {serving, "192.0.2.1:8080", "choose another address with OFFERFLOW_METRICS_ADDR"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, command := range one.commands {
				refuses(t, command, map[string]string{name: one.value}, name, one.says)
			}
		})
	}
	t.Run("a weak key", func(t *testing.T) {
		for _, command := range without {
			refuses(t, command, map[string]string{"OFFERFLOW_SECRET_KEYS": strings.Repeat("00", 32)}, "OFFERFLOW_SECRET_KEYS: key 1 must not be a short repeated pattern")
		}
	})
	for _, name := range []string{"OFFERFLOW_DATABASE_URL", "OFFERFLOW_OPERATOR_TOKEN", "OFFERFLOW_SECRET_KEYS"} {
		t.Run("without "+name, func(t *testing.T) {
			for _, command := range without {
				refuses(t, command, map[string]string{name: ""}, name+" is not set: ")
			}
		})
	}
	t.Run("migrate without a database", func(t *testing.T) {
		refuses(t, "migrate", map[string]string{"OFFERFLOW_DATABASE_URL": ""}, "OFFERFLOW_MIGRATE_DATABASE_URL is not set: ")
	})
	t.Run("an unknown one", func(t *testing.T) {
		p := works(t, "api", map[string]string{"OFFERFLOW_TRUSTED_PROXYS": "127.0.0.1"})
		has(t, p.errs.String(), "OFFERFLOW_TRUSTED_PROXYS is not a setting and has no effect: did you mean OFFERFLOW_TRUSTED_PROXIES?")
	})
}

// differentKeys starts processes with other keys than one that runs.
func differentKeys(t *testing.T) {
	api := launch(t, "api", nil)
	api.says("msg=listening")
	ring, err := keyring.Parse(right["OFFERFLOW_SECRET_KEYS"])
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range withStreams {
		refuses(t, command, map[string]string{"OFFERFLOW_SECRET_KEYS": keyring.Generate()},
			"OFFERFLOW_SECRET_KEYS of this process", "lack the key "+ring.IDs()[0], "api on ", "give it the same keys")
	}
	refuses(t, "adopt-keys", map[string]string{"OFFERFLOW_SECRET_KEYS": keyring.Generate()}, "api on ", "Stop them first")
	works(t, "worker", map[string]string{"OFFERFLOW_SECRET_KEYS": keyring.Generate() + "," + right["OFFERFLOW_SECRET_KEYS"]})
	api.stops()
	works(t, "worker", nil) // the new key was never the current one
}

// withoutTemporal: processes start without it, and say which setting leads nowhere.
func withoutTemporal(t *testing.T) {
	for _, command := range serving {
		p := launch(t, command, map[string]string{"TEMPORAL_ADDRESS": "127.0.0.1:1"})
		p.says("TEMPORAL_ADDRESS: Temporal at 127.0.0.1:1 does not answer: clicks are accepted and postbacks decided")
		p.says("msg=listening")
		p.stops()
	}
}

// newerSchema: during an upgrade processes of the release before start anew, and a release that is put
// back migrates nothing.
func newerSchema(t *testing.T) {
	exec := execute(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	defer exec("DELETE FROM goose_db_version WHERE version_id = 99999")
	for _, command := range serving {
		has(t, works(t, command, nil).errs.String(), "the database was migrated by a newer release, to schema 99999")
	}
	has(t, works(t, "migrate", nil).out.String(), "database: nothing done: it is at schema 99999 of a newer release")
}

// olderSchema: the new release is started before its migrations.
func olderSchema(t *testing.T) {
	exec := execute(t, "ALTER TABLE goose_db_version RENAME TO applied; CREATE TABLE goose_db_version AS SELECT * FROM applied WHERE version_id < 45; GRANT SELECT ON goose_db_version TO offerflow_system")
	defer exec("DROP TABLE goose_db_version; ALTER TABLE applied RENAME TO goose_db_version")
	for _, command := range withStreams {
		refuses(t, command, nil, "OFFERFLOW_DATABASE_URL: the database is at schema 00044, and this release needs 000", "run `offerflow migrate` of this release")
	}
	if db.NewestSchema() < 45 {
		t.Error("the newest schema is not known")
	}
}

// execute runs a statement as the owner, and returns what runs further ones.
func execute(t *testing.T, statement string) func(string) {
	t.Helper()
	run := func(statement string) {
		conn, err := pgx.Connect(t.Context(), parts.DatabaseURL)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close(t.Context()) }()
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Error(err)
		}
	}
	run(statement)
	return run
}
