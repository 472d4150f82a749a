-- Across tenants, by the system role.

-- name: SystemOverdueDeliveries :many
-- What should have been attempted by now with nobody on it, and lanes that stand still although
-- something waits in them. A healthy system has neither.
SELECT d.tenant_id, d.id FROM deliveries d
WHERE d.state = 'waiting'
  AND (d.next_attempt_at < @before::timestamptz
    OR d.next_attempt_at IS NULL AND d.created_at < @before::timestamptz AND NOT EXISTS (
      SELECT 1 FROM deliveries other WHERE other.tenant_id = d.tenant_id AND other.endpoint_id = d.endpoint_id
        AND other.conversion_id = d.conversion_id AND other.state = 'waiting' AND other.next_attempt_at IS NOT NULL))
ORDER BY d.next_attempt_at LIMIT @batch;

-- name: SystemForgottenDeliveries :many
-- The first half of the above, a range of an index: cheap enough to be asked all the time.
SELECT d.tenant_id, d.id FROM deliveries d
WHERE d.state = 'waiting' AND d.next_attempt_at < @before::timestamptz
ORDER BY d.next_attempt_at LIMIT @batch;
