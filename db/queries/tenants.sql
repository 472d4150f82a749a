-- name: GetTenant :one
SELECT * FROM tenants WHERE tenant_id = $1;

-- name: PostbackSecurity :one
SELECT postback_security FROM tenants WHERE tenant_id = $1;
