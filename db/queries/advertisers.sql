-- name: InsertAdvertiser :exec
-- Without key_hash it is that of key: a row as the release before writes it.
INSERT INTO advertisers (tenant_id, id, key, name, email, security_token_hash, signing_secret_sealed, ip_allowlist, created_at, security_token_checked,
  key_hash, key_sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: GetAdvertiser :one
SELECT * FROM advertisers WHERE tenant_id = $1 AND id = $2;

-- name: GetAdvertiserForUpdate :one
SELECT * FROM advertisers WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: UpdateAdvertiser :exec
UPDATE advertisers SET name = @name, email = @email, security_token_hash = @security_token_hash,
  security_token_checked = @security_token_checked, signing_secret_sealed = @signing_secret_sealed, ip_allowlist = @ip_allowlist,
  previous_secret_sealed = @previous_secret_sealed, previous_secret_until = @previous_secret_until
WHERE tenant_id = @tenant_id AND id = @id;

-- name: ReplaceAdvertiserKey :exec
-- The key before counts until previous_key_until.
UPDATE advertisers SET key = @key, key_hash = @key_hash, key_sealed = @key_sealed, previous_key_hash = @previous_key_hash,
  previous_key_until = @previous_key_until
WHERE tenant_id = @tenant_id AND id = @id;
