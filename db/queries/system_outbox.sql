-- Across tenants, by the system role.

-- name: SystemTakeOutbox :many
-- Rows leave in the transaction that publishes them, in the order in which they came, which DELETE by
-- itself does not keep; a relay beside this one takes others. Live events are one relay's at a time, until it
-- has published them: what is told of one offer or conversion stays in order over processes too. The
-- lock goes with the transaction, and a relay that is frozen in the middle of one loses it.
WITH taken AS (
  DELETE FROM outbox WHERE id IN (
    SELECT o.id FROM outbox o
    WHERE NOT starts_with(o.subject, @live_prefix) OR (
      SELECT pg_try_advisory_xact_lock(hashtextextended('live events', 0)) AND set_config('idle_in_transaction_session_timeout', '15s', true) <> '')
    ORDER BY o.position LIMIT @max_rows FOR UPDATE SKIP LOCKED
  ) RETURNING id, tenant_id, subject, payload, position
)
SELECT id, tenant_id, subject, payload FROM taken ORDER BY position;

-- name: SystemOverdueOutbox :one
SELECT count(*) FROM outbox WHERE created_at < $1;
