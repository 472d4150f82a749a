-- name: GetTenant :one
SELECT * FROM tenants WHERE tenant_id = $1;
