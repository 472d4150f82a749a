-- name: InsertOwedWait :exec
-- In the transaction of a decision that no workflow made.
INSERT INTO owed_waits (tenant_id, postback_id, click_id) VALUES ($1, $2, $3) ON CONFLICT (postback_id) DO NOTHING;
