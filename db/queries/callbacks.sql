-- name: GetCallbackEndpoint :one
SELECT * FROM callback_endpoints WHERE tenant_id = $1;

-- name: LockCallbackEndpoint :one
SELECT * FROM callback_endpoints WHERE tenant_id = $1 FOR UPDATE;

-- name: InsertCallbackEndpoint :exec
INSERT INTO callback_endpoints (tenant_id, id, url, events, header_name, header_value_sealed, signature, secret_sealed, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: UpdateCallbackEndpoint :exec
-- Whatever disabled it is over: the tenant has just said that it is to be called.
UPDATE callback_endpoints SET url = @url, events = @events, header_name = @header_name, header_value_sealed = @header_value_sealed,
  signature = @signature, secret_sealed = @secret_sealed, previous_secret_sealed = @previous_secret_sealed,
  previous_expires_at = @previous_expires_at, disabled_at = NULL, disabled_reason = ''
WHERE tenant_id = @tenant_id;

-- name: RotateCallbackSecret :exec
UPDATE callback_endpoints SET secret_sealed = @secret_sealed, previous_secret_sealed = @previous_secret_sealed,
  previous_expires_at = @previous_expires_at
WHERE tenant_id = @tenant_id;

-- name: DisableCallbackEndpoint :execrows
-- Rule 51: a 410, but only of the address that is still the endpoint's.
UPDATE callback_endpoints SET disabled_at = @disabled_at::timestamptz, disabled_reason = @disabled_reason
WHERE tenant_id = @tenant_id AND id = @id AND url = @url AND disabled_at IS NULL;
