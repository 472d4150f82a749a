-- name: InsertTenant :exec
INSERT INTO tenants (tenant_id, name, product, email, currency, timezone, reward_ratio_micros, created_at, postback_security)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: GetTenantForUpdate :one
SELECT * FROM tenants WHERE tenant_id = $1 FOR UPDATE;

-- name: UpdateSettings :one
UPDATE tenants SET timezone = @timezone, next_timezone = @next_timezone, next_timezone_at = @next_timezone_at,
  reward_ratio_micros = @reward_ratio_micros, fallback_url = @fallback_url, goals_enabled = @goals_enabled,
  fraud_checks = @fraud_checks, postback_security = @postback_security, version = version + 1
WHERE tenant_id = @tenant_id RETURNING version;

-- name: SetDestinationSchemes :exec
UPDATE tenants SET destination_schemes = @destination_schemes WHERE tenant_id = @tenant_id;
