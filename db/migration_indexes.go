package db

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"
)

// Migration 49 builds large indexes while the release before works on: each partition's concurrently, which
// no statement of SQL does for a partitioned table as a whole. It may be cut short and run again.
const migrationIndexes = 49

func indexMigration() *goose.Migration {
	return goose.NewGoMigration(migrationIndexes, &goose.GoFunc{RunDB: addIndexes}, &goose.GoFunc{RunDB: dropIndexes})
}

// partitionedIndex is an index of clicks. on are its columns and its condition.
type partitionedIndex struct{ name, on string }

// clickIndexes are what the list of clicks is filtered by, each newest first. Of a sub id there is an entry
// only where a click has one.
func clickIndexes() []partitionedIndex {
	indexes := []partitionedIndex{
		{"clicks_tenant", "(tenant_id, id)"},
		{"clicks_partner", "(tenant_id, partner_id, id) WHERE partner_id IS NOT NULL"},
		{"clicks_reason", "(tenant_id, refused_reason, id) WHERE refused_reason <> ''"},
		{"clicks_offer_reason", "(tenant_id, offer_id, refused_reason, id) WHERE refused_reason <> ''"},
	}
	for n := 1; n <= 15; n++ {
		indexes = append(indexes, partitionedIndex{
			fmt.Sprintf("clicks_sub_%d", n), fmt.Sprintf("(tenant_id, (pub_subs[%d]), id) WHERE pub_subs[%d] IS NOT NULL", n, n),
		})
	}
	return indexes
}

func addIndexes(ctx context.Context, conn *sql.DB) error {
	for _, index := range clickIndexes() {
		if err := index.create(ctx, conn); err != nil {
			return fmt.Errorf("index %s: %w", index.name, err)
		}
	}
	if err := keyRollupsByReason(ctx, conn); err != nil {
		return fmt.Errorf("key of click_rollups: %w", err)
	}
	return markRefusedClicks(ctx, conn)
}

func dropIndexes(ctx context.Context, conn *sql.DB) error {
	for _, index := range clickIndexes() {
		if _, err := conn.ExecContext(ctx, "DROP INDEX IF EXISTS "+index.name); err != nil {
			return err
		}
	}
	return nil
}

// create makes the index of the table, which holds nothing by itself, then that of each partition. A
// partition that is made meanwhile gets its own by that.
func (x partitionedIndex) create(ctx context.Context, conn *sql.DB) error {
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON ONLY clicks %s", x.name, x.on)); err != nil {
		return err
	}
	for {
		partition, isEmpty, err := x.without(ctx, conn)
		if err != nil || partition == "" {
			return err
		}
		own, concurrently := partition+strings.TrimPrefix(x.name, "clicks"), "CONCURRENTLY"
		if isEmpty {
			concurrently = ""
		}
		for _, statement := range []string{
			"DROP INDEX CONCURRENTLY IF EXISTS " + own, // an attempt that was cut short left it
			fmt.Sprintf("CREATE INDEX %s %s ON %s %s", concurrently, own, partition, x.on),
			fmt.Sprintf("ALTER INDEX %s ATTACH PARTITION %s", x.name, own),
		} {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
	}
}

// without is a partition that the index has no part of yet; "" where there is none.
func (x partitionedIndex) without(ctx context.Context, conn *sql.DB) (partition string, isEmpty bool, err error) {
	rows, err := conn.QueryContext(ctx, `
		SELECT t.relname, pg_relation_size(t.oid) = 0 FROM pg_inherits p JOIN pg_class t ON t.oid = p.inhrelid
		WHERE p.inhparent = 'clicks'::regclass AND NOT EXISTS (
			SELECT 1 FROM pg_inherits own JOIN pg_index i ON i.indexrelid = own.inhrelid WHERE own.inhparent = $1::regclass AND i.indrelid = t.oid)
		ORDER BY 1 LIMIT 1`, x.name)
	if err != nil {
		return "", false, err
	}
	defer func() { _ = rows.Close() }()
	if rows.Next() {
		err = rows.Scan(&partition, &isEmpty)
	}
	if err == nil {
		err = rows.Err()
	}
	return partition, isEmpty, err
}

// keyRollupsByReason puts the reason into the key of click_rollups, which was a constraint.
func keyRollupsByReason(ctx context.Context, conn *sql.DB) error {
	for _, statement := range []string{
		"DROP INDEX CONCURRENTLY IF EXISTS click_rollups_row",
		`CREATE UNIQUE INDEX CONCURRENTLY click_rollups_row ON click_rollups (tenant_id, bucket, offer_id, advertiser_id, partner_id, placement_id,
			creative_order, country, device, refused_reason) NULLS NOT DISTINCT`,
		`DO $$ DECLARE earlier text; BEGIN
			FOR earlier IN SELECT conname FROM pg_constraint WHERE conrelid = 'click_rollups'::regclass AND contype = 'u' LOOP
				EXECUTE format('ALTER TABLE click_rollups DROP CONSTRAINT %I', earlier);
			END LOOP;
		END $$`,
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// markRefusedClicks has the buckets with refused clicks summed up again. A month whose clicks were let go of
// keeps its sums: what is left of its rows is not all that they are of.
func markRefusedClicks(ctx context.Context, conn *sql.DB) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, statement := range []string{
		"SET LOCAL ROLE offerflow_system", // the owner sees no rows: row-level security is forced
		`INSERT INTO rollup_marks SELECT DISTINCT c.tenant_id, c.offer_id, rollup_bucket(c.id), true FROM clicks c
			WHERE c.refused_reason <> '' AND c.tableoid::regclass::text !~ '_kept$'`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("mark refused clicks: %w", err)
		}
	}
	return tx.Commit()
}
