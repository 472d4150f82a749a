-- Endpoints that fail, or whose news failed for good (rule 51). Written last in a transaction: the row is
-- one for all lanes of its endpoint.

-- name: CountEndpointFailure :exec
-- One failed attempt, or news that failed for good, or both.
INSERT INTO endpoint_failures (tenant_id, endpoint_id, kind, failing_since, failures, last_failed_at, last_status_code, last_error,
  lost, lost_untold, last_lost_at, untold_since)
VALUES (@tenant_id, @endpoint_id, @kind, CASE WHEN @failures::bigint > 0 THEN @at::timestamptz END, @failures,
  CASE WHEN @failures::bigint > 0 THEN @at::timestamptz END, @status_code, @error, @lost, @lost, CASE WHEN @lost::bigint > 0 THEN @at::timestamptz END,
  CASE WHEN @lost::bigint > 0 THEN @at::timestamptz END)
ON CONFLICT (tenant_id, endpoint_id) DO UPDATE SET
  failing_since = coalesce(endpoint_failures.failing_since, excluded.failing_since),
  failures = endpoint_failures.failures + excluded.failures,
  last_failed_at = coalesce(excluded.last_failed_at, endpoint_failures.last_failed_at),
  last_status_code = CASE WHEN excluded.failures > 0 THEN excluded.last_status_code ELSE endpoint_failures.last_status_code END,
  last_error = excluded.last_error,
  lost = endpoint_failures.lost + excluded.lost, lost_untold = endpoint_failures.lost_untold + excluded.lost,
  last_lost_at = coalesce(excluded.last_lost_at, endpoint_failures.last_lost_at),
  untold_since = coalesce(endpoint_failures.untold_since, excluded.untold_since);

-- name: EndpointFailures :many
SELECT * FROM endpoint_failures WHERE tenant_id = @tenant_id AND endpoint_id = ANY(@endpoint_ids::uuid[]);

-- name: LockEndpointFailure :one
SELECT * FROM endpoint_failures WHERE tenant_id = @tenant_id AND endpoint_id = @endpoint_id FOR UPDATE;

-- name: ToldOfFailing :exec
UPDATE endpoint_failures SET told_failing_at = @at::timestamptz WHERE tenant_id = @tenant_id AND endpoint_id = @endpoint_id;

-- name: ToldOfLost :exec
UPDATE endpoint_failures SET told_lost_at = @at::timestamptz, lost_untold = 0, untold_since = NULL WHERE tenant_id = @tenant_id AND endpoint_id = @endpoint_id;

-- name: FailingEndpoint :many
-- What a notice says of an endpoint; none where it is not there any more.
SELECT c.url, ''::text AS partner_name, c.disabled_at, c.disabled_reason FROM callback_endpoints c
WHERE c.tenant_id = @tenant_id AND c.id = @endpoint_id
UNION ALL
SELECT p.url, n.name, p.disabled_at, p.disabled_reason FROM partner_postbacks p
JOIN partners n ON n.tenant_id = p.tenant_id AND n.id = p.partner_id
WHERE p.tenant_id = @tenant_id AND p.id = @endpoint_id;

-- name: TenantAddress :one
SELECT email FROM tenants WHERE tenant_id = @tenant_id;

-- name: EndpointChanged :exec
-- The tenant has put the endpoint anew: whether it works is to be found out.
UPDATE endpoint_failures SET failing_since = NULL, failures = 0
WHERE tenant_id = @tenant_id AND endpoint_id = @endpoint_id AND failing_since IS NOT NULL;
