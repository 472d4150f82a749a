-- Across tenants, by the system role: what news tells of and the database does not have, after it was
-- restored to an earlier instant.

-- name: SystemLacksTransition :one
-- Not by its sequence, which a replay may give to another. News of an earlier release names no actor.
SELECT NOT EXISTS (SELECT 1 FROM transitions t WHERE t.tenant_id = @tenant_id AND t.conversion_id = @conversion_id
  AND @actor::text IN ('', t.actor) AND t.at >= @earliest AND t.at <= @latest);

-- name: SystemLacksJob :one
SELECT NOT EXISTS (SELECT 1 FROM jobs WHERE tenant_id = $1 AND id = $2);

-- name: SystemLacksRequest :one
SELECT NOT EXISTS (SELECT 1 FROM conversion_requests WHERE id = $1);

-- name: SystemLacksDelivery :one
SELECT NOT EXISTS (SELECT 1 FROM deliveries WHERE tenant_id = $1 AND id = $2);
