-- name: InsertScheduledChange :execrows
-- A request that comes again changes nothing.
INSERT INTO scheduled_changes (tenant_id, id, offer_id, event_id, field, value_micros, at, state, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $9) ON CONFLICT (id) DO NOTHING;

-- name: CountPendingChanges :one
SELECT count(*) FROM scheduled_changes WHERE tenant_id = $1 AND offer_id = $2 AND event_id = $3 AND field = $4 AND state = 'pending';

-- name: GetScheduledChange :one
SELECT * FROM scheduled_changes WHERE tenant_id = $1 AND id = $2;

-- name: LockScheduledChange :one
SELECT * FROM scheduled_changes WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: FinishScheduledChange :exec
UPDATE scheduled_changes SET state = @state, error = @error, finished_at = @finished_at::timestamptz
WHERE tenant_id = @tenant_id AND id = @id AND state = 'pending';
