-- name: InsertToken :exec
INSERT INTO api_tokens (tenant_id, id, name, scope, token_hash, partner_id, advertiser_id, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: RevokeToken :one
-- Revoking twice keeps the first instant.
UPDATE api_tokens SET revoked_at = coalesce(revoked_at, @revoked_at::timestamptz) WHERE tenant_id = @tenant_id AND id = @id
RETURNING name, scope, revoked_at;

-- name: TokenNames :many
-- What tokens are called, revoked ones too.
SELECT id, name FROM api_tokens WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]);
