-- Across tenants, by the system role.

-- name: SystemKeepFailed :one
-- The same message that fails again is the same row, and waits again. xmax is 0 of a new row.
INSERT INTO failed_messages (tenant_id, id, source, subject, payload, about, error, attempts, first_failed_at, failed_at, seal)
VALUES (sqlc.narg('tenant_id'), @id, @source, @subject, @payload, sqlc.narg('about'), @error, @attempts, @failed_at, @failed_at, sqlc.narg('seal'))
ON CONFLICT (source, sha256(payload)) DO UPDATE SET state = 'failed', error = excluded.error, failed_at = excluded.failed_at,
  seal = CASE WHEN failed_messages.seal IS NOT NULL THEN excluded.seal END,
  attempts = failed_messages.attempts + excluded.attempts
RETURNING id;

-- name: SystemFailedWaiting :many
SELECT source, tenant_id, count(*) FROM failed_messages WHERE state = 'failed' GROUP BY source, tenant_id;

-- name: SystemFailedMessagesToResend :many
SELECT * FROM failed_messages
WHERE state = 'failed' AND (sqlc.narg('id')::uuid IS NULL OR id = sqlc.narg('id'))
  AND (sqlc.narg('source')::text IS NULL OR source = sqlc.narg('source'))
  AND (sqlc.narg('tenant_id')::uuid IS NULL OR tenant_id = sqlc.narg('tenant_id')) AND id > @after
ORDER BY id LIMIT @at_most;

-- name: SystemGetFailedMessage :one
SELECT * FROM failed_messages WHERE id = @id;

-- name: SystemMarkResent :exec
UPDATE failed_messages m SET state = 'resent', resent_at = @resent_at::timestamptz, resent_by = @resent_by
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@attempts::bigint[]) AS attempts) AS seen
WHERE m.id = seen.id AND m.attempts = seen.attempts AND m.state = 'failed';

-- name: SystemReviveHeld :exec
UPDATE held_postbacks SET failed_at = NULL WHERE postback_id = ANY(@postback_ids::uuid[]);

-- name: SystemForgetResent :execrows
DELETE FROM failed_messages WHERE id IN (
  SELECT o.id FROM failed_messages o WHERE o.state = 'resent' AND o.resent_at < @before::timestamptz ORDER BY o.resent_at LIMIT @at_most);
