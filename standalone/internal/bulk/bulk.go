// Package bulk makes many conversions at once, in the database: what a job is about, without the time
// that as many clicks and postbacks would take.
package bulk

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Copy makes n copies of a conversion and of its click, each of a member of its own and a minute old.
// They hold their places in the caps and the budget; no workflow waits for them. db is the superuser's.
func Copy(ctx context.Context, db *pgx.Conn, conversionID string, n int) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // does nothing after a commit
	for _, statement := range []struct {
		query string
		args  []any
	}{
		// The copies' ids keep the instant of the first one's: rows are partitioned by it.
		{`CREATE TEMP TABLE copies ON COMMIT DROP AS SELECT n,
			(left(c.click_id::text, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid AS click_id,
			(left(c.id::text, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid AS id,
			(left(c.id::text, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid AS postback_id,
			'bulk-' || n || '-' || c.id AS member
			FROM conversions c, generate_series(1, $2::int) n WHERE c.id = $1`, []any{conversionID, n}},
		{`INSERT INTO clicks SELECT r.* FROM copies, conversions c JOIN clicks o ON o.id = c.click_id,
			LATERAL jsonb_populate_record(o, jsonb_build_object('id', copies.click_id, 'pub_member_id', copies.member)) r WHERE c.id = $1`, []any{conversionID}},
		{`INSERT INTO conversions SELECT r.* FROM copies, conversions c, LATERAL jsonb_populate_record(c, jsonb_build_object('id', copies.id,
			'click_id', copies.click_id, 'postback_id', copies.postback_id, 'pub_member_id', copies.member,
			'created_at', c.created_at - interval '1 minute')) r WHERE c.id = $1`, []any{conversionID}},
		{`INSERT INTO transitions SELECT r.* FROM copies, transitions t, LATERAL jsonb_populate_record(t, jsonb_build_object('conversion_id', copies.id,
			'request_id', copies.postback_id)) r WHERE t.conversion_id = $1`, []any{conversionID}},
		{`UPDATE cap_counters k SET value = k.value + $2::bigint * CASE k.scope WHEN 'budget' THEN c.revenue_micros ELSE 1 END
			FROM conversions c WHERE c.id = $1 AND c.is_counted AND k.tenant_id = c.tenant_id
			AND k.scope_id = CASE k.scope WHEN 'event' THEN c.event_id WHEN 'partner' THEN c.partner_id ELSE c.offer_id END`, []any{conversionID, n}},
	} {
		if _, err := tx.Exec(ctx, statement.query, statement.args...); err != nil {
			return fmt.Errorf("copies of conversion %s: %w", conversionID, err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	_, err = db.Exec(ctx, "ANALYZE clicks, conversions, transitions")
	return err
}
