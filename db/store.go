// Package db is PostgreSQL: migrations, queries by noun, and transactions that know their tenant.
package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/offerflow/offerflow/db/txmark"
)

// The two roles that do all the work. Neither owns anything.
const (
	roleApp    = "offerflow_app"
	roleSystem = "offerflow_system"
)

// Store opens transactions in one of the two roles. It holds two pools, because a connection's
// role is set when it is made and is never switched afterwards.
type Store struct {
	app    *pgxpool.Pool
	system *pgxpool.Pool
	limits Limits
}

// Limits are what the server cuts; 0 is no limit.
type Limits struct {
	// Statement is how long one statement may take, Report how long one that AllowLong has let pass.
	Statement, Report time.Duration
	// Lock is how long one statement may wait for a lock.
	Lock time.Duration
	// IdleInTransaction is how long a transaction may wait for its next statement.
	IdleInTransaction time.Duration
}

func (l Limits) set(params map[string]string) {
	for name, limit := range map[string]time.Duration{
		"statement_timeout": l.Statement, "lock_timeout": l.Lock, "idle_in_transaction_session_timeout": l.IdleInTransaction,
	} {
		params[name] = milliseconds(limit)
	}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Open is OpenLimited without limits.
func Open(ctx context.Context, url string, maxConns int32) (*Store, error) {
	return OpenLimited(ctx, url, maxConns, Limits{})
}

// OpenLimited connects both pools. url is a login that is a member of both roles; Migrate grants them to
// the login that it runs as. Each pool takes at most maxConns connections.
func OpenLimited(ctx context.Context, url string, maxConns int32, limits Limits) (*Store, error) {
	app, err := openPool(ctx, url, roleApp, maxConns, limits)
	if err != nil {
		return nil, err
	}
	system, err := openPool(ctx, url, roleSystem, maxConns, limits)
	if err != nil {
		app.Close()
		return nil, err
	}
	return &Store{app: app, system: system, limits: limits}, nil
}

func openPool(ctx context.Context, url, role string, maxConns int32, limits Limits) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database address: %w", err)
	}
	config.MaxConns = maxConns
	config.ConnConfig.RuntimeParams["role"] = role
	config.ConnConfig.RuntimeParams["application_name"] = role
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	limits.set(config.ConnConfig.RuntimeParams)
	// Times come back in UTC whatever the server's zone: answers and histories show them as they are.
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return nil
	}
	config.ConnConfig.Tracer = otelpgx.NewTracer()
	var pool *pgxpool.Pool
	config.PrepareConn = func(ctx context.Context, _ *pgx.Conn) (bool, error) { return true, txmark.CheckPool(ctx, pool) }
	pool, err = pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	first, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	if err := pool.Ping(first); err != nil {
		pool.Close()
		return nil, fmt.Errorf("database as role %s: %w", role, err)
	}
	return pool, nil
}

// Close waits for running transactions and closes both pools.
func (s *Store) Close() {
	s.app.Close()
	s.system.Close()
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.app.Ping(ctx) }

// Tenant runs fn in one transaction of the application's role that sees exactly one tenant. It
// commits when fn returns nil. fn works with the context that it is given: calls that wait for a network
// refuse it (package txmark). The zero tenant sees nothing but its own rows, of which there are
// none but the operator's.
func (s *Store) Tenant(ctx context.Context, tenantID uuid.UUID, fn func(ctx context.Context, tx pgx.Tx) error) error {
	// Begin and set in one round trip; a UUID's text needs no quoting.
	begin := "begin; select set_config('offerflow.tenant', '" + tenantID.String() + "', true)"
	return inTx(ctx, s.app, pgx.TxOptions{BeginQuery: begin}, fn)
}

// TenantReading is Tenant in a transaction that PostgreSQL lets change nothing.
func (s *Store) TenantReading(ctx context.Context, tenantID uuid.UUID, fn func(ctx context.Context, tx pgx.Tx) error) error {
	begin := "begin read only; select set_config('offerflow.tenant', '" + tenantID.String() + "', true)"
	return inTx(ctx, s.app, pgx.TxOptions{BeginQuery: begin}, fn)
}

// As runs fn in a transaction of Tenant as another tenant, whose rows are the only ones seen meanwhile:
// for what an edit of something shared changes of the other side's own. The caller knows the other
// side by a partnership of the transaction's tenant.
func As(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, fn func() error) error {
	const set = "SELECT set_config('offerflow.tenant', $1, true)"
	var was string
	if err := tx.QueryRow(ctx, "SELECT current_setting('offerflow.tenant')").Scan(&was); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, set, tenantID.String()); err != nil {
		return err
	}
	err := fn()
	_, restored := tx.Exec(ctx, set, was) // fails where fn broke the transaction, which nothing can go on with then
	return errors.Join(err, restored)
}

// pointQueries is for transactions that look rows up by their keys only, whose planning would cost
// more than they do: one plan serves all, and reads no whole table, however small the table was when
// the plan was made.
const pointQueries = "set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true)"

// TenantAfter is Tenant for look-ups by key and writes alone. Its begin takes along what first has
// queued, in one round trip; fn runs after that.
func (s *Store) TenantAfter(ctx context.Context, tenantID uuid.UUID, first *Batch, fn func(ctx context.Context, tx pgx.Tx) error) error {
	batch := &pgx.Batch{}
	batch.BeginTx(pgx.TxOptions{})
	batch.Queue("SELECT set_config('offerflow.tenant', $1, true), "+pointQueries, tenantID.String())
	batch.QueuedQueries = append(batch.QueuedQueries, first.queued.QueuedQueries...)
	results := s.app.SendBatch(ctx, batch)
	tx := results.Tx()
	defer func() { _ = tx.Rollback(ctx) }() // does nothing after a commit
	if err := results.Close(); err != nil {
		return err
	}
	if err := fn(txmark.By(ctx, s.app), tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// System runs fn in one transaction of the system role, which crosses tenants: for loaders,
// consumers, schedules and the operator. Its queries live in files of their own, system_*.sql.
func (s *Store) System(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	return inTx(ctx, s.system, pgx.TxOptions{}, fn)
}

// SystemReading is System in a transaction that PostgreSQL lets change nothing.
func (s *Store) SystemReading(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	return inTx(ctx, s.system, pgx.TxOptions{AccessMode: pgx.ReadOnly}, fn)
}

// SystemLookup runs queries that look rows up by their keys, as the system role, in one round trip.
func (s *Store) SystemLookup(ctx context.Context, reads *Batch) error {
	batch := &pgx.Batch{}
	batch.Queue("SELECT " + pointQueries)
	batch.QueuedQueries = append(batch.QueuedQueries, reads.queued.QueuedQueries...)
	return s.system.SendBatch(ctx, batch).Close()
}

// SystemPool is for single statements of the system role, without a transaction of their own.
func (s *Store) SystemPool() *pgxpool.Pool { return s.system }

// AllowLong lets the statements of a transaction of a report take as long as reports may.
func (s *Store) AllowLong(ctx context.Context, tx pgx.Tx) error {
	return allow(ctx, tx, s.limits.Report)
}

// unlimited is System for what takes as long as there are rows, such as the copying of a month.
func (s *Store) unlimited(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	return s.System(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := allow(ctx, tx, 0); err != nil {
			return err
		}
		return fn(ctx, tx)
	})
}

func allow(ctx context.Context, tx pgx.Tx, statement time.Duration) error {
	_, err := tx.Exec(ctx, "SELECT set_config('statement_timeout', $1, true)", milliseconds(statement))
	return err
}

// Session is a connection of the system role outside the pools, for locks that are held across statements.
// The server ends it when it hears nothing for as long as patience. The caller closes it.
func (s *Store) Session(ctx context.Context, patience time.Duration) (*pgx.Conn, error) {
	config := s.system.Config().ConnConfig
	config.RuntimeParams["idle_session_timeout"] = milliseconds(patience)
	return pgx.ConnectConfig(ctx, config)
}

func inTx(ctx context.Context, pool *pgxpool.Pool, options pgx.TxOptions, fn func(ctx context.Context, tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, pool, options, func(tx pgx.Tx) error { return fn(txmark.By(ctx, pool), tx) })
}

// UniqueViolation names the unique index that err broke, or "".
func UniqueViolation(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		return pg.ConstraintName
	}
	return ""
}

// ForeignKeyViolation names the foreign key that err broke, or "".
func ForeignKeyViolation(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23503" {
		return pg.ConstraintName
	}
	return ""
}

// Retryable says whether the same transaction may succeed when run again: serialization failures,
// deadlocks and lost connections.
func Retryable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "40001" || pg.Code == "40P01" || pg.Code == "57P01" || pg.Code == "53300"
	}
	return pgconn.SafeToRetry(err)
}

// Unavailable says whether the database could not be reached, was starting or stopping, or went away
// in the middle. The same request may work later; what was under way may even have been committed.
func Unavailable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return Retryable(err) || pg.Code == "57P02" || pg.Code == "57P03" || pg.Code == "25P03" || strings.HasPrefix(pg.Code, "08")
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return Retryable(err) || errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// TimedOut says whether the server cut a statement because it took too long (Limits.Statement).
func TimedOut(err error) bool { return hasCode(err, "57014") }

// Locked says whether the server cut a statement because it waited for a lock too long (Limits.Lock).
func Locked(err error) bool { return hasCode(err, "55P03") }

func hasCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}

// Permanent says whether the same statement with the same values will fail however often it is tried:
// SQLSTATE class 22 (a value that does not fit: out of range, no text, a division by zero) and 23 (a
// constraint). A unique index is no such case: another transaction was quicker, and the next try sees
// what it made. Whoever ends its tries there says so by ErrStillTaken.
func Permanent(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	return strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "23") && pg.Code != "23505"
}

// OutOfRange says whether a figure or a sum was larger than the database can hold.
func OutOfRange(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "22003"
}
