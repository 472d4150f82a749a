-- Across tenants, by the system role.

-- name: SystemUnsealedUntil :one
SELECT until FROM unsealed;
