package db_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbtest"
)

// The tables of the Exchange that belong to two tenants have no tenant_id: who may see and write them
// is said by the partnership or by the keys to its offer (rule 60).
var ofTwo = []string{"partnerships", "offer_changes", "reconciliations", "conversion_requests", "offer_proposals"}

// partnerships are an advertiser's with two publishers, a row in every table of each, and a stranger.
type partnerships struct {
	advertiser, publisher, rival, stranger uuid.UUID
	// offer and partnership are the first publisher's, the others the second's.
	offer, rivalsOffer, partnership, rivalsPartnership uuid.UUID
}

func seededPartnerships(t *testing.T, url string) partnerships {
	t.Helper()
	p := partnerships{}
	for _, id := range []*uuid.UUID{&p.advertiser, &p.publisher, &p.rival, &p.stranger, &p.offer, &p.rivalsOffer, &p.partnership, &p.rivalsPartnership} {
		*id = uuid.New()
	}
	owner := as(t, url, "")
	run := func(sql string, args ...any) {
		_, err := owner.Exec(t.Context(), sql, args...)
		require.NoError(t, err, sql)
	}
	for _, tenant := range []uuid.UUID{p.advertiser, p.publisher, p.rival, p.stranger} {
		run(`INSERT INTO tenants (tenant_id, name, product, email, currency, timezone, created_at) VALUES ($1, 'T', 'publisher', '', 'USD', 'UTC', now())`, tenant)
	}
	advertiser := uuid.New()
	run(`INSERT INTO advertisers (tenant_id, id, key, name, created_at) VALUES ($1, $2, $3, 'A', now())`, p.advertiser, advertiser, uuid.NewString())
	for _, one := range []struct{ offer, partnership, publisher uuid.UUID }{{p.offer, p.partnership, p.publisher}, {p.rivalsOffer, p.rivalsPartnership, p.rival}} {
		run(`INSERT INTO offers (tenant_id, id, advertiser_id, version, name, offer_type, is_paused, launch_at, created_at, updated_at)
			VALUES ($1, $2, $3, 1, 'S', 'SingleEvent', false, now(), now(), now())`, p.advertiser, one.offer, advertiser)
		run(`INSERT INTO offer_access (tenant_id, offer_id, side, created_at) VALUES ($1, $3, 'advertiser', now()), ($2, $3, 'publisher', now())`,
			p.advertiser, one.publisher, one.offer)
		run(`INSERT INTO offer_versions (tenant_id, offer_id, version, document, created_at, created_by) VALUES ($1, $2, 1, '{}', now(), '')`, p.advertiser, one.offer)
		run(`INSERT INTO partnerships (id, offer_id, source_offer_id, advertiser_tenant_id, advertiser_name, publisher_tenant_id, publisher_name, created_at, created_by)
			VALUES ($1, $2, $2, $3, 'A', $4, 'P', now(), '')`, one.partnership, one.offer, p.advertiser, one.publisher)
		run(`INSERT INTO offer_changes (offer_id, version, field, at, by, side) VALUES ($1, 1, 'name', now(), '', 'publisher')`, one.offer)
		run(`INSERT INTO reconciliations (partnership_id, id, at, from_day, to_day, days, differences, found, repaired)
			VALUES ($1, gen_random_uuid(), now(), current_date, current_date, '[]', '[]', 0, 0)`, one.partnership)
		run(`INSERT INTO conversion_requests (partnership_id, id, conversion_id, action, reason, at, by)
			VALUES ($1, gen_random_uuid(), gen_random_uuid(), 'approve', '', now(), '')`, one.partnership)
		run(`INSERT INTO offer_proposals (id, partnership_id, offer_id, side, by, at, version, patch, event_ids, changes, fingerprint, state)
			VALUES (gen_random_uuid(), $1, $2, 'publisher', '', now(), 1, '{}', '{}', '[]', '\x00', 'open')`, one.partnership, one.offer)
	}
	return p
}

// Whatever a tenant's role may touch in any way is behind row-level security that is forced.
func TestEveryTableInReachIsForced(t *testing.T) {
	t.Parallel()
	owner := as(t, dbtest.New(t), "")
	inReach := list(t, owner, `
		SELECT c.relname::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
			AND (has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE') OR has_table_privilege($1, c.oid, 'DELETE'))`, roleApp)
	require.Subset(t, inReach, ofTwo)
	require.Empty(t, list(t, owner, `SELECT relname::text FROM pg_class WHERE relname = ANY($1) AND NOT (relrowsecurity AND relforcerowsecurity)`, inReach))
	ofNoOne := list(t, owner, `SELECT unnest($1::text[]) EXCEPT SELECT relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'`, inReach)
	require.ElementsMatch(t, ofTwo, ofNoOne, "a table without a tenant_id: it needs a row in seededPartnerships and a line in ofTwo")
	require.Empty(t, list(t, owner, `SELECT p.polname || ' of ' || p.polrelid::regclass FROM pg_policy p JOIN pg_roles r ON r.oid = ANY(p.polroles)
		WHERE r.rolname = $1 AND p.polpermissive AND pg_get_expr(coalesce(p.polqual, p.polwithcheck), p.polrelid) NOT LIKE '%current_tenant()%'`, roleApp),
		"a policy that does not ask for the tenant")
}

// Rule 60: each side sees its partnerships, a publisher not even that there is another, a third nothing.
func TestRule60EachSideSeesItsOwnPartnerships(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	p := seededPartnerships(t, url)
	app, system := as(t, url, roleApp), as(t, url, roleSystem)
	for _, table := range append([]string{"offers", "offer_versions"}, ofTwo...) {
		require.Zero(t, count(t, app, table), "%s: no tenant is set", table)
		for tenant, rows := range map[uuid.UUID]int{p.advertiser: 2, p.publisher: 1, p.rival: 1, p.stranger: 0, uuid.New(): 0} {
			inTenant(t, app, tenant, func(tx pgx.Tx) { require.Equal(t, rows, count(t, tx, table), table) })
		}
		require.Equal(t, 2, count(t, system, table), table)
	}
	inTenant(t, app, p.publisher, func(tx pgx.Tx) {
		require.Zero(t, count(t, tx, "partnerships WHERE publisher_tenant_id <> current_tenant()"))
		require.Equal(t, 1, count(t, tx, "offer_access"), "the other side's key is not shown")
	})
}

// Rule 57: scheduled changes of a shared offer are read by both sides, and written by the one whose they are.
func TestRule57ScheduledChangesAreReadByBothSides(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	p := seededPartnerships(t, url)
	_, err := as(t, url, "").Exec(t.Context(), `INSERT INTO scheduled_changes (tenant_id, id, offer_id, event_id, field, value_micros, at, state, created_at, created_by)
		VALUES ($1, gen_random_uuid(), $2, gen_random_uuid(), 'revenue', 1, now(), 'pending', now(), '')`, p.advertiser, p.offer)
	require.NoError(t, err)
	app := as(t, url, roleApp)
	for tenant, rows := range map[uuid.UUID][2]int{p.advertiser: {1, 1}, p.publisher: {1, 0}, p.rival: {0, 0}, p.stranger: {0, 0}} {
		inTenant(t, app, tenant, func(tx pgx.Tx) {
			require.Equal(t, rows[0], count(t, tx, "scheduled_changes"))
			tag, err := tx.Exec(t.Context(), "UPDATE scheduled_changes SET state = 'cancelled', finished_at = now()")
			require.NoError(t, err)
			require.EqualValues(t, rows[1], tag.RowsAffected())
		})
	}
}

// What each may write of what two share. A statement is denied, or finds so many rows.
func TestRule60EachSideWritesItsOwnPart(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	p := seededPartnerships(t, url)
	app := as(t, url, roleApp)
	const nobody = -1
	end := func(partnership uuid.UUID, side string) string {
		return fmt.Sprintf("UPDATE partnerships SET ended_at = now(), ended_side = '%s' WHERE id = '%s'", side, partnership)
	}
	change := func(offer uuid.UUID, side string) string {
		return fmt.Sprintf("INSERT INTO offer_changes (offer_id, version, field, at, by, side) VALUES ('%s', 2, 'name', now(), '', '%s')", offer, side)
	}
	key := func(tenant, offer uuid.UUID, side string) string {
		return fmt.Sprintf("INSERT INTO offer_access (tenant_id, offer_id, side, created_at) VALUES ('%s', '%s', '%s', now())", tenant, offer, side)
	}
	event := func(tenant, offer uuid.UUID) string {
		return fmt.Sprintf("INSERT INTO offer_events (tenant_id, id, offer_id) VALUES ('%s', gen_random_uuid(), '%s')", tenant, offer)
	}
	ask := func(partnership uuid.UUID) string {
		return fmt.Sprintf(`INSERT INTO conversion_requests (partnership_id, id, conversion_id, action, reason, at, by)
			VALUES ('%s', gen_random_uuid(), gen_random_uuid(), 'approve', '', now(), '')`, partnership)
	}
	propose := func(partnership, offer uuid.UUID, side string) string {
		return fmt.Sprintf(`INSERT INTO offer_proposals (id, partnership_id, offer_id, side, by, at, version, patch, event_ids, changes, fingerprint, state)
			VALUES (gen_random_uuid(), '%s', '%s', '%s', '', now(), 1, '{}', '{}', '[]', '\x01', 'open')`, partnership, offer, side)
	}
	decide := func(state, side string) string {
		return fmt.Sprintf("UPDATE offer_proposals SET state = '%s', decided_at = now(), decided_side = '%s'", state, side)
	}
	entry := func(tenant, exchangeTenant uuid.UUID) string {
		return fmt.Sprintf(`INSERT INTO advertisers (tenant_id, id, key, name, created_at, exchange_tenant_id)
			VALUES ('%s', gen_random_uuid(), gen_random_uuid()::text, 'A', now(), '%s')`, tenant, exchangeTenant)
	}
	partner := func(source, advertiser, publisher uuid.UUID) string {
		return fmt.Sprintf(`INSERT INTO partnerships (id, offer_id, source_offer_id, advertiser_tenant_id, advertiser_name, publisher_tenant_id, publisher_name, created_at, created_by)
			VALUES (gen_random_uuid(), '%s', '%s', '%s', 'A', '%s', 'P', now(), '')`, source, source, advertiser, publisher)
	}
	for _, c := range []struct {
		who  uuid.UUID
		sql  string
		rows int64
	}{
		{p.publisher, end(p.partnership, "publisher"), 1},
		{p.advertiser, end(p.partnership, "advertiser"), 1},
		{p.publisher, end(p.partnership, "advertiser"), nobody}, // not in the other's name
		{p.advertiser, end(p.partnership, "publisher"), nobody},
		{p.publisher, end(p.rivalsPartnership, "publisher"), 0},
		{p.stranger, end(p.partnership, "publisher"), 0},
		{p.publisher, fmt.Sprintf("UPDATE partnerships SET publisher_tenant_id = '%s'", p.stranger), nobody},
		{p.advertiser, "UPDATE partnerships SET offer_id = source_offer_id", nobody},
		{p.publisher, "DELETE FROM partnerships", nobody},
		{p.publisher, partner(p.offer, p.advertiser, p.publisher), nobody},
		{p.advertiser, partner(p.offer, p.advertiser, p.stranger), nobody},

		{p.publisher, change(p.offer, "publisher"), 1},
		{p.advertiser, change(p.offer, "advertiser"), 1},
		{p.publisher, change(p.offer, "advertiser"), nobody},
		{p.advertiser, change(p.offer, "publisher"), nobody},
		{p.publisher, change(p.rivalsOffer, "publisher"), nobody},
		{p.stranger, change(p.offer, "publisher"), nobody},
		{p.advertiser, "UPDATE offer_changes SET new = '1'", nobody},
		{p.advertiser, "DELETE FROM offer_changes", nobody},

		{p.advertiser, "UPDATE reconciliations SET found = 0", nobody},
		{p.publisher, "DELETE FROM reconciliations", nobody},
		{p.publisher, fmt.Sprintf(`INSERT INTO reconciliations SELECT '%s', gen_random_uuid(), now(), current_date, current_date, '[]', '[]', 0, 0`, p.partnership), nobody},

		{p.publisher, ask(p.partnership), 1},
		{p.advertiser, ask(p.partnership), nobody}, // it decides
		{p.publisher, ask(p.rivalsPartnership), nobody},
		{p.stranger, ask(p.partnership), nobody},
		{p.publisher, "UPDATE conversion_requests SET reason = ''", nobody},
		{p.publisher, "DELETE FROM conversion_requests", nobody},

		{p.publisher, propose(p.partnership, p.offer, "publisher"), 1},
		{p.advertiser, propose(p.partnership, p.offer, "advertiser"), 1},
		{p.publisher, propose(p.partnership, p.offer, "advertiser"), nobody}, // not in the other's name
		{p.publisher, propose(p.rivalsPartnership, p.rivalsOffer, "publisher"), nobody},
		{p.publisher, propose(p.partnership, p.rivalsOffer, "publisher"), nobody}, // another's offer
		{p.stranger, propose(p.partnership, p.offer, "publisher"), nobody},
		{p.advertiser, decide("declined", "advertiser"), 2},
		{p.publisher, decide("withdrawn", "publisher"), 1},
		{p.publisher, decide("declined", "advertiser"), nobody},
		{p.stranger, decide("declined", "advertiser"), 0},
		{p.advertiser, "UPDATE offer_proposals SET patch = ''", nobody},
		{p.advertiser, "DELETE FROM offer_proposals", nobody},

		{p.publisher, key(p.publisher, p.rivalsOffer, "publisher"), nobody},
		{p.publisher, key(p.publisher, p.rivalsOffer, "owner"), nobody},
		{p.publisher, key(p.publisher, p.rivalsOffer, "advertiser"), nobody},
		{p.publisher, key(p.stranger, p.offer, "publisher"), nobody},
		{p.advertiser, key(p.stranger, p.offer, "publisher"), nobody}, // no share without a partnership
		{p.advertiser, "UPDATE offer_access SET side = 'owner'", nobody},
		{p.publisher, "DELETE FROM offer_access", nobody},

		{p.publisher, fmt.Sprintf("UPDATE offers SET name = 'edited' WHERE id = '%s'", p.offer), 1},
		{p.publisher, fmt.Sprintf("UPDATE offers SET name = 'edited' WHERE id = '%s'", p.rivalsOffer), 0},
		{p.stranger, "UPDATE offers SET name = 'edited'", 0},
		{p.publisher, "UPDATE offers SET tenant_id = current_tenant()", nobody},

		{p.publisher, event(p.advertiser, p.offer), 1}, // either side adds an event, for both
		{p.advertiser, event(p.publisher, p.offer), 1},
		{p.publisher, event(p.advertiser, p.rivalsOffer), nobody},
		{p.publisher, event(p.rival, p.offer), nobody},
		{p.stranger, event(p.advertiser, p.offer), nobody},

		{p.advertiser, entry(p.publisher, p.advertiser), 1},
		{p.advertiser, entry(p.publisher, p.stranger), nobody},
		{p.advertiser, entry(p.stranger, p.advertiser), nobody},
		{p.publisher, entry(p.advertiser, p.publisher), nobody},
		{p.publisher, entry(p.rival, p.publisher), nobody},
		{p.advertiser, fmt.Sprintf("UPDATE advertisers SET name = 'x' WHERE tenant_id = '%s'", p.publisher), 0},
	} {
		inTenant(t, app, c.who, func(tx pgx.Tx) {
			tag, err := tx.Exec(t.Context(), c.sql)
			if c.rows == nobody {
				require.Error(t, err, c.sql)
				require.Regexp(t, "SQLSTATE (42501|23503)", err.Error(), c.sql) // by a policy, for want of a grant, or an owner's key that does not fit
				return
			}
			require.NoError(t, err, c.sql)
			require.Equal(t, c.rows, tag.RowsAffected(), strings.Join(strings.Fields(c.sql), " "))
		})
	}
}
