-- name: InsertPlacement :exec
INSERT INTO placements (tenant_id, id, name, theme, created_at) VALUES ($1, $2, $3, $4, $5);

-- name: GetPlacement :one
SELECT * FROM placements WHERE tenant_id = $1 AND id = $2;

-- name: GetPlacementForUpdate :one
SELECT * FROM placements WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: UpdatePlacement :exec
UPDATE placements SET name = @name, theme = @theme WHERE tenant_id = @tenant_id AND id = @id;

-- name: PlacementsAmong :many
-- Those of some ids that are placements of the tenant's.
SELECT id FROM placements WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]);
