-- name: InsertOutbox :exec
INSERT INTO outbox (tenant_id, id, subject, payload) VALUES ($1, $2, $3, $4);
