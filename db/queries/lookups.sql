-- name: AgesOfTenant :many
SELECT * FROM ages WHERE tenant_id = $1 ORDER BY min_age NULLS FIRST, max_age NULLS LAST, id;

-- name: InsertAge :exec
INSERT INTO ages (tenant_id, id, name, min_age, max_age) VALUES ($1, $2, $3, $4, $5);

-- name: CategoriesOfTenant :many
SELECT * FROM categories WHERE tenant_id = $1 ORDER BY lower(name), id;

-- name: InsertCategory :exec
INSERT INTO categories (tenant_id, id, name) VALUES ($1, $2, $3);

-- name: LockLookups :exec
-- Two equal names at the same instant would otherwise both be added.
SELECT pg_advisory_xact_lock(hashtextextended('lookups ' || @tenant::text, 0));
