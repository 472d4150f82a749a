-- name: InsertAdvertiser :exec
INSERT INTO advertisers (tenant_id, id, key, name, email, security_token_hash, signing_secret_sealed, ip_allowlist, created_at, exchange_tenant_id, security_token_checked)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: GetAdvertiser :one
SELECT * FROM advertisers WHERE tenant_id = $1 AND id = $2;

-- name: GetAdvertiserForUpdate :one
SELECT * FROM advertisers WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: UpdateAdvertiser :exec
UPDATE advertisers SET name = @name, email = @email, security_token_hash = @security_token_hash,
  security_token_checked = @security_token_checked, signing_secret_sealed = @signing_secret_sealed, ip_allowlist = @ip_allowlist
WHERE tenant_id = @tenant_id AND id = @id;
