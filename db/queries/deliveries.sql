-- A waiting delivery whose next_attempt_at is NULL waits for the one before it in its lane; of a
-- lane's waiting deliveries at most one has a time. An attempt under way has pushed that time
-- ahead (its lease), so that nobody else takes it and a crash gives it back. finished_at of a
-- waiting delivery is when it had ended before a person sent it again.

-- name: LockQueue :exec
-- Whoever changes a lane of (endpoint, conversion) holds this until commit.
SELECT pg_advisory_xact_lock(hashtextextended('lane ' || @lane::text, 0));

-- name: QueueOfConversion :many
SELECT id, sequence, status, state, next_attempt_at, created_at, finished_at FROM deliveries
WHERE tenant_id = @tenant_id AND endpoint_id = @endpoint_id AND conversion_id = @conversion_id::uuid
ORDER BY sequence;

-- name: QueueOfOne :many
-- A message without a conversion, such as a test, is a lane of its own.
SELECT id, sequence, status, state, next_attempt_at, created_at, finished_at FROM deliveries
WHERE tenant_id = @tenant_id AND id = @id;

-- name: InsertDelivery :execrows
-- News that came before changes nothing.
INSERT INTO deliveries (tenant_id, id, kind, endpoint_id, conversion_id, sequence, status, state, body, last_error, created_at, finished_at, is_test)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT DO NOTHING;

-- name: GetDelivery :one
SELECT * FROM deliveries WHERE tenant_id = $1 AND id = $2;

-- name: LockDelivery :one
SELECT * FROM deliveries WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: DeliveryOfNews :many
-- The newest news of a conversion for an endpoint.
SELECT id, state, last_status_code, last_error FROM deliveries
WHERE tenant_id = $1 AND conversion_id = @conversion_id::uuid AND endpoint_id = @endpoint_id ORDER BY sequence DESC LIMIT 1;

-- name: SupersedeDeliveries :exec
UPDATE deliveries SET state = 'superseded', next_attempt_at = NULL, finished_at = @finished_at::timestamptz
WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]) AND state = 'waiting';

-- name: SetDeliveryDue :exec
UPDATE deliveries SET next_attempt_at = @next_attempt_at::timestamptz
WHERE tenant_id = @tenant_id AND id = @id AND state = 'waiting';

-- name: ClaimDelivery :one
-- Takes a due delivery for one attempt, until the lease ends.
UPDATE deliveries SET next_attempt_at = @lease_until::timestamptz
WHERE tenant_id = @tenant_id AND id = @id AND state = 'waiting' AND next_attempt_at <= @now::timestamptz
RETURNING *;

-- name: InsertDeliveryAttempt :exec
INSERT INTO delivery_attempts (tenant_id, delivery_id, number, at, status_code, latency_ms, error, answer, url)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: CountRecentAttempts :one
-- Attempts since the delivery last ended: a delivery that is sent again starts its schedule anew.
SELECT count(*) FROM delivery_attempts a JOIN deliveries d ON d.tenant_id = a.tenant_id AND d.id = a.delivery_id
WHERE d.tenant_id = $1 AND d.id = $2 AND (d.finished_at IS NULL OR a.at > d.finished_at);

-- name: RecordDelivery :exec
-- What was delivered ends the failing of its endpoint, where it failed.
WITH works AS (
  UPDATE endpoint_failures f SET failing_since = NULL, failures = 0
  WHERE @state::text = 'delivered' AND f.tenant_id = @tenant_id AND f.endpoint_id = @endpoint_id AND f.failing_since IS NOT NULL
)
UPDATE deliveries d SET attempts = @attempts, state = @state, next_attempt_at = @next_attempt_at, last_status_code = @last_status_code,
  last_error = @last_error, finished_at = @finished_at
WHERE d.tenant_id = @tenant_id AND d.id = @id;

-- name: FailDelivery :many
UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, last_error = @last_error, finished_at = @finished_at::timestamptz
WHERE tenant_id = @tenant_id AND id = @id AND state = 'waiting'
RETURNING endpoint_id, kind, is_test;

-- name: FailWaitingOfEndpoint :execrows
-- Locked in one order, so that two of these never wait for each other.
UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, last_error = @last_error, finished_at = @finished_at::timestamptz
WHERE id IN (SELECT d.id FROM deliveries d WHERE d.tenant_id = @tenant_id AND d.endpoint_id = @endpoint_id AND d.state = 'waiting'
  ORDER BY d.id FOR UPDATE);

-- name: AttemptsOfDeliveries :many
SELECT delivery_id, number, at, status_code, latency_ms, error, url, left(answer, @answer_limit)::text AS answer FROM delivery_attempts
WHERE tenant_id = @tenant_id AND delivery_id = ANY(@delivery_ids::uuid[]) ORDER BY delivery_id, number;

-- name: DeliveriesToResend :many
-- What has an endpoint that is called; the mail server is one. Locked in one order, like FailWaitingOfEndpoint.
SELECT d.id FROM deliveries d
WHERE d.tenant_id = @tenant_id
  AND (sqlc.narg('id')::uuid IS NULL OR d.id = sqlc.narg('id'))
  AND (sqlc.narg('conversion_id')::uuid IS NULL OR d.conversion_id = sqlc.narg('conversion_id'))
  AND (sqlc.narg('endpoint_id')::uuid IS NULL OR d.endpoint_id = sqlc.narg('endpoint_id'))
  AND (sqlc.narg('kind')::text IS NULL OR d.kind = sqlc.narg('kind'))
  AND (sqlc.narg('state')::text IS NULL OR d.state = sqlc.narg('state'))
  AND (sqlc.narg('created_from')::timestamptz IS NULL OR d.created_at >= sqlc.narg('created_from'))
  AND (sqlc.narg('created_to')::timestamptz IS NULL OR d.created_at < sqlc.narg('created_to'))
  AND (d.kind = 'email'
    OR EXISTS (SELECT 1 FROM callback_endpoints c WHERE c.tenant_id = d.tenant_id AND c.id = d.endpoint_id AND c.disabled_at IS NULL)
    OR EXISTS (SELECT 1 FROM partner_postbacks p WHERE p.tenant_id = d.tenant_id AND p.id = d.endpoint_id
      AND p.disabled_at IS NULL AND p.status = 'active'))
ORDER BY d.id LIMIT @page_limit FOR UPDATE OF d;

-- name: ClosedEndpoint :one
-- An endpoint that is not called, and why: the one of this id, or the tenant's callback endpoint.
SELECT c.id, c.disabled_reason::text AS why FROM callback_endpoints c
WHERE c.tenant_id = @tenant_id AND (sqlc.narg('id')::uuid IS NULL OR c.id = sqlc.narg('id')) AND c.disabled_at IS NOT NULL
UNION ALL
SELECT p.id, CASE WHEN p.disabled_at IS NULL THEN 'is paused' ELSE p.disabled_reason END::text FROM partner_postbacks p
WHERE p.tenant_id = @tenant_id AND p.id = sqlc.narg('id') AND (p.disabled_at IS NOT NULL OR p.status <> 'active')
LIMIT 1;

-- name: ResendDeliveries :exec
-- One that has ended waits again, behind whatever its lane has under way. One that waits for its
-- next attempt has it now, unless its attempt may be under way (its lease).
UPDATE deliveries SET
  next_attempt_at = CASE WHEN state <> 'waiting' THEN NULL WHEN next_attempt_at > @lease_until::timestamptz THEN @now::timestamptz ELSE next_attempt_at END,
  state = 'waiting'
WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]);

-- name: InsertOutboxOfDeliveries :exec
INSERT INTO outbox (tenant_id, id, subject, payload)
SELECT @tenant_id, e.id, @subject, jsonb_build_object('tenantId', @tenant_id::uuid, 'deliveryId', e."deliveryId")
FROM jsonb_to_recordset(@events::jsonb) AS e(id uuid, "deliveryId" uuid);
