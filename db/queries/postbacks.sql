-- name: GetPostback :one
SELECT * FROM postbacks WHERE tenant_id = @tenant_id::uuid AND id = @id;

-- name: UpsertPostback :exec
-- The log row with its decision. A held one gets its end state by a later upsert.
INSERT INTO postbacks (tenant_id, id, received_at, advertiser_id, click_id, method, path, source_ip, params, outcome, reason,
  conversion_id, status, release_at, authenticated, decided_at, detail, hint, warnings)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason, conversion_id = excluded.conversion_id,
  status = excluded.status, release_at = excluded.release_at, decided_at = excluded.decided_at, detail = excluded.detail,
  hint = excluded.hint, warnings = excluded.warnings
WHERE postbacks.outcome = 'held' AND postbacks.tenant_id IS NOT DISTINCT FROM excluded.tenant_id;

-- name: PostbacksOfClick :many
SELECT * FROM postbacks WHERE tenant_id = $1 AND click_id = $2 ORDER BY id LIMIT 1000;

-- name: InsertHeld :exec
INSERT INTO held_postbacks (tenant_id, postback_id, click_id, event_id, message, decide_by) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (postback_id) DO NOTHING;

-- name: DeleteHeld :exec
DELETE FROM held_postbacks WHERE tenant_id = $1 AND postback_id = $2;

-- name: HeldOfClick :many
-- Without those whose decision failed for good: they wait to be sent again.
SELECT * FROM held_postbacks WHERE tenant_id = $1 AND click_id = $2 AND failed_at IS NULL ORDER BY postback_id;

-- name: NextHeldOfClick :one
-- When the next held postback of a click must be decided.
SELECT decide_by FROM held_postbacks WHERE tenant_id = $1 AND click_id = $2 AND failed_at IS NULL ORDER BY decide_by LIMIT 1;

-- name: InsertNonce :one
-- The postback that used the nonce first, and what it signed: the caller's own means that it is fresh.
INSERT INTO nonces (tenant_id, advertiser_id, nonce, postback_id, seen_at, content_hash) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, advertiser_id, nonce) DO UPDATE SET nonce = excluded.nonce
RETURNING postback_id, content_hash;
