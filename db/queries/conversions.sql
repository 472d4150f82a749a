-- name: ConversionsOfClick :many
SELECT * FROM conversions WHERE tenant_id = $1 AND click_id = $2 ORDER BY received_at, id;

-- name: LiveConversionsOfMember :many
-- Rule 6: the member's live conversions of this event from other clicks, whatever the setting of repeats was
-- when they were made. Row-level security lets CASE use an index, but not coalesce().
SELECT * FROM conversions
WHERE tenant_id = @tenant_id AND CASE WHEN member_key IS NULL THEN pub_member_id ELSE member_key END = @member::text AND event_id = @event_id
  AND status <> 'Rejected' AND (unique_per = 'member' OR NOT is_test) AND click_id <> @click_id
ORDER BY received_at, id LIMIT 10;

-- name: GetConversion :one
SELECT * FROM conversions WHERE tenant_id = $1 AND id = $2;

-- name: LockConversion :one
SELECT * FROM conversions WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: InsertConversion :exec
INSERT INTO conversions (tenant_id, id, click_id, postback_id, offer_id, offer_version, event_id, advertiser_id, partner_id,
  pub_member_id, status, rejection_reason, sequence, currency, amount_micros, revenue_micros, payout_micros, reward_micros,
  received_at, created_at, user_completed_at, completion_trusted, release_at, needs_review, decided_at, unique_per, closes_session,
  is_counted, counted_day, counted_week, counted_month, cnv_conversion_id, cnv_event_id, cnv_amount, cnv_subs, is_test, revenue_rule,
  payout_rule, cnv_goal_id, cnv_goal_name, side, member_key, cnv_currency, cnv_completed_at, cnv_status, awaits_verdict, by_advertiser, is_expected)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26,
  $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48);

-- name: MoveConversion :execrows
-- One transition; the sequence read under the lock guards against a second one.
UPDATE conversions SET status = @status, rejection_reason = @rejection_reason, sequence = @sequence, release_at = @release_at,
  needs_review = @needs_review, decided_at = @decided_at, is_counted = @is_counted, counted_day = @counted_day,
  counted_week = @counted_week, counted_month = @counted_month, awaits_verdict = false, by_advertiser = @by_advertiser
WHERE tenant_id = @tenant_id AND id = @id AND sequence = @was_sequence;

-- name: InsertTransition :exec
INSERT INTO transitions (tenant_id, conversion_id, sequence, from_status, to_status, reason, at, actor, note, override_caps, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: TransitionByRequest :one
SELECT * FROM transitions WHERE tenant_id = $1 AND conversion_id = $2 AND request_id = $3;

-- name: TransitionsOfConversion :many
SELECT * FROM transitions WHERE tenant_id = $1 AND conversion_id = $2 ORDER BY sequence;

-- name: TransitionsOfClick :many
SELECT t.* FROM transitions t JOIN conversions c ON c.tenant_id = t.tenant_id AND c.id = t.conversion_id
WHERE c.tenant_id = $1 AND c.click_id = $2 ORDER BY t.conversion_id, t.sequence;
