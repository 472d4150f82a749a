-- The processes that run and the secret keys that they have, by the system role.

-- name: SystemLockSecretKey :one
SELECT secret_key, secret_key_since FROM installation FOR UPDATE;

-- name: SystemSetSecretKey :exec
UPDATE installation SET secret_key = @secret_key::text, secret_key_since = now();

-- name: SystemSayRunning :exec
INSERT INTO running_processes (id, role, host, pid, release, secret_keys)
VALUES (@id, @role, @host, @pid, @release, @secret_keys)
ON CONFLICT (id) DO UPDATE SET seen_at = now();

-- name: SystemOtherProcesses :many
SELECT role, host, pid, secret_keys, started_at FROM running_processes
WHERE id <> @id AND seen_at > now() - make_interval(secs => @within_seconds::double precision)
ORDER BY started_at, id;

-- name: SystemEndRunning :exec
DELETE FROM running_processes WHERE id = @id OR seen_at < now() - interval '1 day';

-- name: SystemHasTenants :one
SELECT EXISTS (SELECT 1 FROM tenants);

-- name: SystemNewestTokenHash :one
-- The name of the key that it was made with stands before its colon.
SELECT token_hash FROM api_tokens ORDER BY created_at DESC LIMIT 1;
