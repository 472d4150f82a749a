-- Of the whole installation, by the system role.

-- name: SystemIDKindsFrom :one
SELECT id_kinds_from FROM installation;
