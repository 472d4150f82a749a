-- Across tenants, by the system role: whose token it is decides which tenant is meant.

-- name: SystemTokenByHash :one
SELECT tenant_id, id, scope, partner_id, advertiser_id, expires_at FROM api_tokens
WHERE token_hash = ANY(@hashes::text[]) AND revoked_at IS NULL;

-- name: SystemTenantExists :one
SELECT EXISTS (SELECT 1 FROM tenants WHERE tenant_id = $1);
