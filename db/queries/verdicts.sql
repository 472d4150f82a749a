-- name: InsertVerdictFinding :exec
INSERT INTO verdict_findings (tenant_id, postback_id, conversion_id, at, said, authenticated) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING;
