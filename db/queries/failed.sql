-- name: LockFailedMessages :many
-- What a tenant wants to send again, oldest first, locked until it is marked.
SELECT * FROM failed_messages
WHERE tenant_id = @tenant_id::uuid AND state = 'failed' AND (sqlc.narg('id')::uuid IS NULL OR id = sqlc.narg('id'))
  AND (sqlc.narg('source')::text IS NULL OR source = sqlc.narg('source')) AND id > @after
ORDER BY id LIMIT @at_most FOR UPDATE;

-- name: GetFailedMessage :one
SELECT * FROM failed_messages WHERE tenant_id = @tenant_id::uuid AND id = @id;

-- name: MarkResent :exec
UPDATE failed_messages SET state = 'resent', resent_at = @resent_at::timestamptz, resent_by = @resent_by
WHERE tenant_id = @tenant_id::uuid AND id = ANY(@ids::uuid[]);

-- name: FailHeld :exec
UPDATE held_postbacks SET failed_at = @failed_at::timestamptz WHERE tenant_id = @tenant_id AND postback_id = @postback_id;

-- name: ReviveHeld :exec
-- Held postbacks that were left alone are decided again.
UPDATE held_postbacks SET failed_at = NULL WHERE tenant_id = @tenant_id AND postback_id = ANY(@postback_ids::uuid[]);
