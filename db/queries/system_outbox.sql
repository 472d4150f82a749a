-- Across tenants, by the system role.

-- name: SystemTakeOutbox :many
-- Rows leave in the transaction that publishes them; a relay beside this one takes others.
DELETE FROM outbox WHERE id IN (SELECT o.id FROM outbox o ORDER BY o.id LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING *;

-- name: SystemOverdueOutbox :one
SELECT count(*) FROM outbox WHERE created_at < $1;
