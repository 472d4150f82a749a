-- Across tenants, by the system role.

-- name: SystemTakeRelaysTurn :one
-- One relay at a time moves the outbox, over all processes: what is told of one offer or conversion stays
-- in order. The lock is the session's, so that no transaction is open while the rows are published; a
-- relay that is frozen in the middle loses its session, and with it the lock.
SELECT pg_try_advisory_lock(hashtextextended('outbox', 0));

-- name: SystemEndRelaysTurn :exec
SELECT pg_advisory_unlock(hashtextextended('outbox', 0));

-- name: SystemOutbox :many
-- In the order in which they came.
SELECT id, tenant_id, subject, payload, position FROM outbox ORDER BY position LIMIT @max_rows;

-- name: SystemLeaveOutbox :exec
-- A row that was told of again since it was read has another position, and stays for the next batch.
DELETE FROM outbox o USING (SELECT unnest(@ids::uuid[]) AS id, unnest(@positions::bigint[]) AS position) AS published
WHERE o.id = published.id AND o.position = published.position;

-- name: SystemOverdueOutbox :one
SELECT count(*) FROM outbox WHERE created_at < $1;
