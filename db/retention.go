package db

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// moveWithin bounds the wait for the lock under which a partition is replaced: all writers of the table
// wait behind it. If it is too short, the next run tries again.
const moveWithin = "3s"

// partitionRules says which rows of a partitioned table stay when a month is dropped: $1 and $2 are the month's
// bounds, $3 an instant.
type partitionRules struct {
	// stays are conditions, each a read of its own; those with $3 take the retention's instant.
	stays []string
	// late finds what a decision added since the instant.
	late string
}

// Clicks and postbacks of conversions stay forever. So do held events, and clicks whose session is open.
// A conversion's id contains its time.
var rulesOf = map[string]partitionRules{
	"clicks": {
		stays: []string{
			"r.id IN (SELECT click_id FROM conversions WHERE click_id >= uuid_v7_floor($1) AND click_id < uuid_v7_floor($2))",
			"r.session_ends_at >= $3",
		},
		late: "r.id IN (SELECT click_id FROM conversions WHERE id >= uuid_v7_floor($3) UNION SELECT click_id FROM held_postbacks)",
	},
	"postbacks": {
		stays: []string{"r.id IN (SELECT postback_id FROM conversions WHERE postback_id >= uuid_v7_floor($1) AND postback_id < uuid_v7_floor($2))"},
		late:  "r.id IN (SELECT postback_id FROM conversions WHERE id >= uuid_v7_floor($3) UNION SELECT postback_id FROM held_postbacks)",
	},
}

// DropPartition drops a monthly partition of clicks or postbacks, such as clicks_2026_01, and keeps rows that are
// still referenced. Most of the work runs beside the traffic: the remaining rows are copied to a small
// partition, which then replaces the month's.
func (s *Store) DropPartition(ctx context.Context, table, month string, before time.Time) (kept int64, err error) {
	rules := rulesOf[table]
	from, err := time.Parse("2006_01", strings.TrimPrefix(month, table+"_"))
	if err != nil || rules.late == "" {
		return 0, fmt.Errorf("not a month of %s: %s", table, month)
	}
	began := time.Now()
	open := func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT offerflow_open_kept($1, $2)", table, month)
		return err
	}
	if err := s.unlimited(ctx, open); err != nil {
		return 0, err
	}
	copied := fmt.Sprintf("INSERT INTO %s SELECT r.* FROM %s r WHERE r.id >= uuid_v7_floor($1) AND r.id < uuid_v7_floor($2) AND ",
		pgx.Identifier{month + "_kept"}.Sanitize(), table)
	keep := func(tx Querier, condition string, at time.Time) error {
		args := []any{from, from.AddDate(0, 1, 0), at}
		tag, err := tx.Exec(ctx, copied+condition+" ON CONFLICT DO NOTHING", args[:2+strings.Count(condition, "$3")]...)
		kept += tag.RowsAffected()
		return err
	}
	for _, condition := range rules.stays {
		copying := func(_ context.Context, tx pgx.Tx) error { return keep(tx, condition, before) }
		if err := s.unlimited(ctx, copying); err != nil {
			return kept, err
		}
	}
	return kept, s.unlimited(ctx, func(ctx context.Context, tx pgx.Tx) error {
		// No decision can run from here to the commit.
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+moveWithin+"'"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		if err := keep(tx, rules.late, began.Add(-time.Hour)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "SELECT offerflow_let_go($1, $2)", table, month)
		return err
	})
}
