-- Across tenants, by the system role.

-- name: SystemUnsealedUntil :one
SELECT unsealed_until FROM installation;
