-- Across tenants, by the system role.

-- name: SystemOweStarts :one
-- One row for all clicks of a packed message that can convert; none where none can.
INSERT INTO owed_starts (id, clicks)
SELECT @id, array_agg(c.id) FROM jsonb_to_recordset(@clicks::jsonb) AS c(id uuid, "refusedReason" text)
WHERE coalesce(c."refusedReason", '') = '' HAVING count(*) > 0
RETURNING cardinality(clicks)::int;

-- name: SystemTakeOwedStart :one
-- The oldest that nobody is at. It comes again when its time is over and it is still there.
UPDATE owed_starts SET taken_until = now() + make_interval(secs => @lease_seconds::float8) WHERE id = (
  SELECT o.id FROM owed_starts o WHERE o.taken_until <= now() ORDER BY o.id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, clicks;

-- name: SystemKeepOwedStart :exec
-- What is left of it, until the next look.
UPDATE owed_starts SET clicks = @clicks, taken_until = now() + make_interval(secs => @lease_seconds::float8) WHERE id = @id;

-- name: SystemDeleteOwedStart :exec
DELETE FROM owed_starts WHERE id = $1;

-- name: SystemClicksToStart :many
-- Of a shared offer's click the advertiser's row (rule 58). What can no longer convert needs no workflow.
SELECT tenant_id, id, clicked_at, link_id, offer_id, pub_member_id, session_ends_at FROM clicks
WHERE id = ANY(@ids::uuid[]) AND side <> 'publisher' AND refused_reason = '' AND session_ends_at > now();

-- name: SystemTakeOwedWaits :many
WITH taken AS (
  UPDATE owed_waits SET taken_until = now() + make_interval(secs => @lease_seconds::float8) WHERE postback_id IN (
    SELECT o.postback_id FROM owed_waits o WHERE o.taken_until <= now() ORDER BY o.taken_until LIMIT @max_rows FOR UPDATE SKIP LOCKED)
  RETURNING tenant_id, postback_id, click_id, owed_at
)
SELECT t.tenant_id, t.postback_id, t.click_id, coalesce(p.received_at, t.owed_at)::timestamptz AS received_at,
  (p.id IS NOT NULL)::boolean AS is_logged
FROM taken t LEFT JOIN postbacks p ON p.id = t.postback_id AND p.tenant_id = t.tenant_id;

-- name: SystemKeepOwedWait :exec
UPDATE owed_waits SET taken_until = @until WHERE postback_id = @postback_id;

-- name: SystemDeleteOwedWait :exec
DELETE FROM owed_waits WHERE postback_id = $1;

-- name: SystemOldestOwed :one
-- For how long the oldest of each kind has been owed: 0 where nothing is.
SELECT coalesce((SELECT extract(epoch FROM now() - s.owed_at) FROM owed_starts s ORDER BY s.id LIMIT 1), 0)::float8 AS start_seconds,
  coalesce((SELECT extract(epoch FROM now() - w.owed_at) FROM owed_waits w ORDER BY w.postback_id LIMIT 1), 0)::float8 AS wait_seconds;
