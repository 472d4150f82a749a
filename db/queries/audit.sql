-- name: InsertAudit :exec
INSERT INTO audit_log (tenant_id, id, at, actor, action, noun, noun_id, before, after) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);
