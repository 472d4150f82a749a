-- name: InsertPartner :exec
INSERT INTO partners (tenant_id, id, name, email, status, daily_cap, weekly_cap, monthly_cap, all_time_cap, fallback_url, tier_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: GetPartner :one
SELECT * FROM partners WHERE tenant_id = $1 AND id = $2;

-- name: GetPartnerForUpdate :one
SELECT * FROM partners WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: UpdatePartner :exec
UPDATE partners SET name = @name, email = @email, status = @status, daily_cap = @daily_cap, weekly_cap = @weekly_cap,
  monthly_cap = @monthly_cap, all_time_cap = @all_time_cap, fallback_url = @fallback_url, tier_id = @tier_id
WHERE tenant_id = @tenant_id AND id = @id;
