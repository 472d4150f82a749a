-- The publisher's book of a shared offer follows the advertiser's (rule 58).

-- name: FollowConversion :exec
-- The publisher's row becomes what its transitions say. All that is copied is written: a row that
-- differed is mended by the same statement.
UPDATE conversions SET click_id = @click_id, postback_id = @postback_id, offer_id = @offer_id, offer_version = @offer_version,
  event_id = @event_id, advertiser_id = @advertiser_id, partner_id = @partner_id, pub_member_id = @pub_member_id,
  status = @status, rejection_reason = @rejection_reason, sequence = @sequence, currency = @currency, amount_micros = @amount_micros,
  revenue_micros = @revenue_micros, payout_micros = @payout_micros, reward_micros = @reward_micros, received_at = @received_at,
  created_at = @created_at, user_completed_at = @user_completed_at, completion_trusted = @completion_trusted, release_at = @release_at,
  needs_review = @needs_review, is_expected = @is_expected, decided_at = @decided_at, unique_per = @unique_per, closes_session = @closes_session, is_counted = false,
  cnv_conversion_id = @cnv_conversion_id, cnv_event_id = @cnv_event_id, cnv_amount = @cnv_amount, cnv_subs = @cnv_subs,
  is_test = @is_test, cnv_goal_id = @cnv_goal_id, cnv_goal_name = @cnv_goal_name, side = 'publisher', member_key = NULL,
  cnv_currency = @cnv_currency, cnv_completed_at = @cnv_completed_at, cnv_status = @cnv_status, awaits_verdict = false
WHERE tenant_id = @tenant_id AND id = @id;

-- name: CopyTransition :exec
INSERT INTO transitions (tenant_id, conversion_id, sequence, from_status, to_status, reason, at, actor, note, override_caps, request_id,
  figures_before, figures_after)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: ParamsOfConversion :one
-- What its postback carried: conditions of a payout structure may ask for any of it (rule 40).
SELECT p.params FROM conversions c JOIN postbacks p ON p.tenant_id = c.tenant_id AND p.id = c.postback_id
WHERE c.tenant_id = @tenant_id AND c.id = @id;

-- name: PostingsOfConversion :many
-- What is booked of a conversion, a transaction that has no entries included.
SELECT t.id, t.sequence, coalesce(e.line, 0)::smallint AS line, coalesce(e.account, '')::text AS account, coalesce(e.party, '')::text AS party,
  coalesce(e.currency, '')::text AS currency, coalesce(e.amount_micros, 0)::bigint AS amount_micros
FROM ledger_transactions t LEFT JOIN ledger_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id
WHERE t.tenant_id = @tenant_id AND t.conversion_id = @conversion_id ORDER BY t.sequence, e.line;

-- name: FoldBalance :exec
-- Rule 42: a balance is the fold of its entries. The caller holds the balance's row (AddPoints of
-- nothing), so that entries of another transaction are added after this.
UPDATE member_balances SET points_micros = (SELECT coalesce(sum(e.amount_micros), 0) FROM ledger_entries e
  WHERE e.tenant_id = @tenant_id AND e.account = 'member_points' AND e.party = @member::text)::bigint
WHERE tenant_id = @tenant_id AND pub_member_id = @member::text;
