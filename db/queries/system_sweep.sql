-- Across tenants, by the system role.

-- name: SystemOverdueHeld :many
-- Each page goes on behind the last row of the one before, so that none stays at the head. Those whose
-- decision failed for good wait to be sent again.
SELECT tenant_id, click_id, postback_id, decide_by FROM held_postbacks
WHERE failed_at IS NULL AND decide_by < @before AND (decide_by, postback_id) > (@after_at::timestamptz, @after_id::uuid)
ORDER BY decide_by, postback_id LIMIT @at_most;

-- name: SystemOverduePending :many
-- Without a publisher's copies: they follow what the advertiser decides (rule 58); and without those
-- whose release failed for good, which wait to be sent again.
SELECT tenant_id, id, coalesce(release_at, created_at)::timestamptz AS release_at FROM conversions c
WHERE status = 'Pending' AND release_at < @before AND side <> 'publisher' AND (release_at, id) > (@after_at::timestamptz, @after_id::uuid)
  AND NOT EXISTS (SELECT 1 FROM failed_messages f WHERE f.source = 'release' AND f.about = c.id AND f.state = 'failed')
ORDER BY c.release_at, id LIMIT @at_most;

-- name: SystemEnsurePartition :one
SELECT offerflow_ensure_partition(@parent::text, @months_ahead::int)::boolean AS made;

-- name: SystemOverdueChanges :many
SELECT tenant_id, id, at FROM scheduled_changes WHERE state = 'pending' AND at < @before AND (at, id) > (@after_at::timestamptz, @after_id::uuid)
ORDER BY at, id LIMIT @at_most;
