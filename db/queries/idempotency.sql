-- Answers of POSTs that carried an Idempotency-Key. The same queries serve both roles.

-- name: LockIdempotencyKey :one
-- False while another request with the same key is being answered.
SELECT pg_try_advisory_xact_lock(hashtextextended('idempotency ' || @name::text, 0));

-- name: GetIdempotencyKey :one
SELECT request_hash, status_code, answer FROM idempotency_keys WHERE tenant_id = @tenant_id AND key = @key AND route = @route;

-- name: ReserveIdempotencyKey :exec
INSERT INTO idempotency_keys (tenant_id, key, route, request_hash, answer, created_at)
VALUES (@tenant_id, @key, @route, @request_hash, @answer, @created_at)
ON CONFLICT (tenant_id, key, route) DO NOTHING;

-- name: AnswerIdempotencyKey :exec
-- The first answer stands.
INSERT INTO idempotency_keys (tenant_id, key, route, request_hash, status_code, answer, created_at)
VALUES (@tenant_id, @key, @route, @request_hash, @status_code::int, @answer, @created_at)
ON CONFLICT (tenant_id, key, route) DO UPDATE SET status_code = excluded.status_code, answer = excluded.answer
WHERE idempotency_keys.status_code IS NULL;

-- name: ForgetIdempotencyKey :exec
DELETE FROM idempotency_keys WHERE tenant_id = @tenant_id AND key = @key AND route = @route AND status_code IS NULL;
