-- name: FailedMessagesToResend :many
-- What a tenant wants to send again, oldest first.
SELECT * FROM failed_messages
WHERE tenant_id = @tenant_id::uuid AND state = 'failed' AND (sqlc.narg('id')::uuid IS NULL OR id = sqlc.narg('id'))
  AND (sqlc.narg('source')::text IS NULL OR source = sqlc.narg('source')) AND id > @after
ORDER BY id LIMIT @at_most;

-- name: GetFailedMessage :one
SELECT * FROM failed_messages WHERE tenant_id = @tenant_id::uuid AND id = @id;

-- name: MarkResent :exec
-- What has failed again since it was read, which its attempts tell, waits to be sent again.
UPDATE failed_messages m SET state = 'resent', resent_at = @resent_at::timestamptz, resent_by = @resent_by
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@attempts::bigint[]) AS attempts) AS seen
WHERE m.tenant_id = @tenant_id::uuid AND m.id = seen.id AND m.attempts = seen.attempts AND m.state = 'failed';

-- name: FailHeld :exec
UPDATE held_postbacks SET failed_at = @failed_at::timestamptz WHERE tenant_id = @tenant_id AND postback_id = @postback_id;

-- name: ReviveHeld :exec
-- Held postbacks that were left alone are decided again.
UPDATE held_postbacks SET failed_at = NULL WHERE tenant_id = @tenant_id AND postback_id = ANY(@postback_ids::uuid[]);
