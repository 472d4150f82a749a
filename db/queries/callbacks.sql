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

-- name: Endpoints :many
-- Where messages go: one endpoint by its id, or with none the tenant's callback endpoint and the
-- postbacks of a partner, global and of the event (rule 54).
SELECT id, 'callback'::text AS kind, NULL::uuid AS partner_id, url, 'POST'::text AS method, events, header_name, header_value_sealed,
  secret_sealed, previous_secret_sealed, previous_expires_at, 'active'::text AS status, disabled_at, created_at
FROM callback_endpoints c
WHERE c.tenant_id = @tenant_id AND (sqlc.narg('id')::uuid IS NULL OR c.id = sqlc.narg('id'))
UNION ALL
SELECT id, 'partner', partner_id, url, method, events, '', '', '', '', NULL, status, disabled_at, created_at
FROM partner_postbacks p
WHERE p.tenant_id = @tenant_id AND (p.id = sqlc.narg('id') OR p.partner_id = sqlc.narg('partner_id')::uuid
  AND (p.event_id IS NULL OR p.event_id = sqlc.narg('event_id')::uuid) AND p.status = 'active');

-- name: DisableEndpoint :one
-- Rule 51: a 410, but only of the address that is still the endpoint's.
WITH callback AS (
  UPDATE callback_endpoints c SET disabled_at = @disabled_at::timestamptz, disabled_reason = @disabled_reason
  WHERE c.tenant_id = @tenant_id AND c.id = @id AND c.url = @url AND c.disabled_at IS NULL RETURNING c.id
), partner AS (
  UPDATE partner_postbacks p SET disabled_at = @disabled_at::timestamptz, disabled_reason = @disabled_reason
  WHERE p.tenant_id = @tenant_id AND p.id = @id AND p.url = @url AND p.disabled_at IS NULL RETURNING p.id
)
SELECT ((SELECT count(*) FROM callback) + (SELECT count(*) FROM partner))::bigint AS changed;
