package api_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

// stripper stands on the wire between the application and PostgreSQL and takes every condition on a
// tenant out of what the application's role asks, so that row-level security is all that is left.
//
// The system role's statements pass as they are: it crosses tenants by design, row-level security
// shows it all rows, and what it reads for a tenant it may only read after a check.
type stripper struct {
	server string
	// watches lets everything pass as it is, of the system role too.
	watches bool

	mu sync.Mutex
	// sent are the statements of the application's role as they went on, by how they came.
	sent map[string]string
	// by are the roles that sent them.
	by map[string]string
}

// tenantColumn is a column that says whose a row is.
const tenantColumn = `(?:[a-z_]+\.)?(?:tenant_id|advertiser_tenant_id|publisher_tenant_id)`

// tenantConditions are all the forms in use, and what each becomes: true, but a parameter keeps its
// type, without which PostgreSQL refuses the statement. A condition on the tenant of another row, as
// in a join, is none on who asks.
var tenantConditions = []struct {
	form *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b` + tenantColumn + ` = (\$\d+)(?:::uuid\b)?`), `(${1}::uuid IS NULL OR true)`},
	{regexp.MustCompile(`\b` + tenantColumn + ` = ANY\((\$\d+)(?:::uuid\[\])?\)`), `(${1}::uuid[] IS NULL OR true)`},
	{regexp.MustCompile(`(\$\d+)(?:::uuid)? (?:=|IN) \(?` + tenantColumn + `(?:, ` + tenantColumn + `)*\)?`), `(${1}::uuid IS NULL OR true)`},
	{regexp.MustCompile(`\b` + tenantColumn + ` = (?:current_tenant\(\)|k\.tenant\b)`), `true`},
	{regexp.MustCompile(`current_tenant\(\) IN \(` + tenantColumn + `, ` + tenantColumn + `\)`), `true`},
}

// tenantLeft finds what might be a condition of a form that tenantConditions lacks.
var tenantLeft = regexp.MustCompile(`\b` + tenantColumn + `\s*(?:=|<>|IN|IS NOT DISTINCT FROM)\s*\(?(?:ANY\()?(?:\$|current_tenant|k\.)|` +
	`(?:\$\d+|current_tenant\(\))(?:::uuid)?\s*(?:=|<>|IN)\s*\(?` + tenantColumn + `\b`)

// readsRows finds statements that look for rows of a table.
var readsRows = regexp.MustCompile(`\b(?:FROM|JOIN|UPDATE) [a-z_]+(?:\s|$)`)

// asksByOffer are statements without a condition on the tenant, by name, and why that is right.
var asksByOffer = map[string]string{"ClaimOfferEvents": "it writes, for all sides of an offer that the tenant has locked or made"}

var nameOfStatement = regexp.MustCompile(`^-- name: (\w+) `)

// ofWhichSide picks a column of a row that both sides of a partnership may see: no condition on rows.
var ofWhichSide = regexp.MustCompile(`CASE WHEN ` + tenantColumn + ` = current_tenant\(\) THEN`)

func stripped(sql string) string {
	kept := ofWhichSide.FindAllString(sql, -1)
	parts := ofWhichSide.Split(sql, -1)
	var out strings.Builder
	for i, part := range parts {
		for _, c := range tenantConditions {
			part = c.form.ReplaceAllString(part, c.with)
		}
		out.WriteString(part)
		if i < len(kept) {
			out.WriteString(kept[i])
		}
	}
	return out.String()
}

// newStripper listens, and returns the address of the database by way of itself.
func newStripper(t *testing.T, database string) (*stripper, string) {
	t.Helper()
	address, err := url.Parse(database)
	require.NoError(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	s := &stripper{server: address.Host, sent: map[string]string{}, by: map[string]string{}}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(client)
		}
	}()
	address.Host = listener.Addr().String()
	return s, address.String()
}

func (s *stripper) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", s.server)
	if err != nil {
		return
	}
	defer server.Close()
	in, out := bufio.NewReaderSize(client, 64<<10), bufio.NewWriterSize(server, 64<<10)
	role, err := passStartup(in, out)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
	for {
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		kind, payload, err := readMessage(in)
		if err != nil {
			return
		}
		if role == "offerflow_app" || s.watches {
			payload = s.rewritten(role, kind, payload)
		}
		if _, err := out.Write(append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)+4)), payload...)); err != nil {
			return
		}
	}
}

// passStartup passes the first message on, which says the role. A request to cancel has none.
func passStartup(in *bufio.Reader, out *bufio.Writer) (role string, err error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(in, head); err != nil {
		return "", err
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-4)
	if _, err := io.ReadFull(in, body); err != nil {
		return "", err
	}
	var startup pgproto3.StartupMessage
	if startup.Decode(body) == nil {
		role = startup.Parameters["role"]
	}
	if _, err := out.Write(append(head, body...)); err != nil {
		return "", err
	}
	return role, out.Flush()
}

func readMessage(in *bufio.Reader) (kind byte, payload []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	_, err = io.ReadFull(in, payload)
	return head[0], payload, err
}

// rewritten is a message with its statement stripped.
func (s *stripper) rewritten(role string, kind byte, payload []byte) []byte {
	var message pgproto3.FrontendMessage
	switch kind {
	case 'P':
		var parse pgproto3.Parse
		if parse.Decode(payload) != nil {
			return payload
		}
		parse.Query = s.strip(role, parse.Query)
		message = &parse
	case 'Q':
		var query pgproto3.Query
		if query.Decode(payload) != nil {
			return payload
		}
		query.String = s.strip(role, query.String)
		message = &query
	default:
		return payload
	}
	encoded, err := message.Encode(nil)
	if err != nil {
		return payload
	}
	return encoded[5:]
}

func (s *stripper) strip(role, sql string) string {
	out := sql
	if !s.watches {
		out = stripped(sql)
	}
	s.mu.Lock()
	s.sent[sql], s.by[sql] = out, role
	s.mu.Unlock()
	return out
}

// proves checks that what the application asked was asked without its conditions: many statements were
// changed, none that could have been was left, and none rests on row-level security alone.
func (s *stripper) proves(t *testing.T, atLeast int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := 0
	for _, came := range slices.Sorted(maps.Keys(s.sent)) {
		went := s.sent[came]
		if came != went {
			changed++
		}
		if came == went && readsRows.MatchString(came) {
			name := append(nameOfStatement.FindStringSubmatch(came), "", "")[1]
			require.NotEmpty(t, asksByOffer[name], "a statement that asks for no tenant rests on row-level security alone: %s", came)
		}
		require.NotRegexp(t, tenantLeft, ofWhichSide.ReplaceAllString(went, ""), "a condition on the tenant is left: teach tenantConditions its form")
	}
	require.Greater(t, changed, atLeast, "statements without their conditions, of %d", len(s.sent))
	t.Logf("%d of %d statements went without their conditions on the tenant", changed, len(s.sent))
}

// stripFunctions takes the conditions out of the database's own functions, which reports ask.
func (s *site) stripFunctions(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.database)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `SELECT pg_get_functiondef(oid) FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace AND proname IN ('reported_clicks', 'reported_conversions')`)
	require.NoError(t, err)
	functions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Len(t, functions, 2)
	for _, function := range functions {
		without := regexp.MustCompile(`[a-z]\.tenant_id = tenant\b`).ReplaceAllString(function, "true")
		require.NotEqual(t, function, without)
		_, err := conn.Exec(t.Context(), without)
		require.NoError(t, err)
	}
}

// withoutRowSecurity lets every role see and write all rows that it has a grant for.
func (s *site) withoutRowSecurity() {
	s.t.Helper()
	s.exec(`DO $$ DECLARE t regclass; BEGIN
		FOR t IN SELECT oid FROM pg_class WHERE relrowsecurity AND relnamespace = 'public'::regnamespace LOOP
			EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', t);
			EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', t);
		END LOOP; END $$`)
}

func TestStripped(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"WHERE tenant_id = $1 AND id = $2":                                        "WHERE ($1::uuid IS NULL OR true) AND id = $2",
		"WHERE a.tenant_id = $12::uuid":                                           "WHERE ($12::uuid IS NULL OR true)",
		"(SELECT 1 FROM x WHERE x.tenant_id = $1)":                                "(SELECT 1 FROM x WHERE ($1::uuid IS NULL OR true))",
		"tenant_id = ANY($3::uuid[])":                                             "($3::uuid[] IS NULL OR true)",
		"JOIN a ON a.tenant_id = current_tenant() AND true":                       "JOIN a ON true AND true",
		"(SELECT 1 WHERE a.tenant_id = current_tenant())":                         "(SELECT 1 WHERE true)",
		"m.tenant_id = k.tenant AND m.clicks":                                     "true AND m.clicks",
		"id = $1 AND $2::uuid IN (advertiser_tenant_id, p.publisher_tenant_id) x": "id = $1 AND ($2::uuid IS NULL OR true) x",
		"current_tenant() IN (p.advertiser_tenant_id, p.publisher_tenant_id)":     "true",
		"CASE WHEN p.advertiser_tenant_id = current_tenant() THEN p.id END":       "CASE WHEN p.advertiser_tenant_id = current_tenant() THEN p.id END",
		"a.tenant_id = c.tenant_id":                                               "a.tenant_id = c.tenant_id",
		"INSERT INTO x (tenant_id, id) VALUES ($1, $2)":                           "INSERT INTO x (tenant_id, id) VALUES ($1, $2)",
	} {
		require.Equal(t, want, stripped(sql))
		require.NotRegexp(t, tenantLeft, ofWhichSide.ReplaceAllString(stripped(sql), ""))
	}
}
