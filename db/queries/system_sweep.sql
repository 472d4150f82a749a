-- Across tenants, by the system role.

-- name: SystemOverdueHeld :many
SELECT DISTINCT tenant_id, click_id FROM held_postbacks WHERE decide_by < $1 LIMIT $2;

-- name: SystemOverduePending :many
-- Without a publisher's copies: they follow what the advertiser decides (rule 58).
SELECT tenant_id, id, release_at FROM conversions WHERE status = 'Pending' AND release_at < $1 AND side <> 'publisher' ORDER BY release_at LIMIT $2;

-- name: SystemEnsurePartitions :exec
SELECT offerflow_ensure_partitions('clicks', @months::int), offerflow_ensure_partitions('postbacks', @months::int);

-- name: SystemOverdueChanges :many
SELECT tenant_id, id FROM scheduled_changes WHERE state = 'pending' AND at < $1 ORDER BY at LIMIT $2;
