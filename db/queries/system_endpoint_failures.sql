-- Across tenants, by the system role.

-- name: SystemEndpointsToTell :many
-- Endpoints whose tenant may have to be told something: looked at again under the row's lock.
SELECT f.tenant_id, f.endpoint_id FROM endpoint_failures f
WHERE f.failing_since <= @failing_before::timestamptz AND f.failures >= @failures
  AND (f.told_failing_at IS NULL OR f.told_failing_at < f.failing_since AND f.told_failing_at < @told_before::timestamptz)
UNION
SELECT l.tenant_id, l.endpoint_id FROM endpoint_failures l
WHERE l.lost_untold > 0 AND l.untold_since <= @lost_before::timestamptz AND (l.told_lost_at IS NULL OR l.told_lost_at < @lost_told_before::timestamptz)
LIMIT @at_most;

-- name: SystemFailingEndpoints :many
-- Endpoints that fail, and those of which news failed for good since an instant.
SELECT tenant_id, kind, failing_since, last_lost_at FROM endpoint_failures
WHERE failing_since IS NOT NULL OR last_lost_at > @lost_after::timestamptz;
