-- Reconciliation (rule 61): both books of a partnership side by side, by the system role.

-- name: SystemPartnershipsToReconcile :many
-- A page of the partnerships whose books may still move: those that live, and those that ended lately.
SELECT id, offer_id, advertiser_tenant_id FROM partnerships
WHERE id > @after AND (ended_at IS NULL OR ended_at >= @ended_since::timestamptz) ORDER BY id LIMIT @at_most;

-- name: SystemBooks :one
-- Whose books they are, the calendar that their days go by, and when they were last compared.
SELECT p.id, p.offer_id, p.advertiser_tenant_id, p.publisher_tenant_id, t.timezone, t.next_timezone, t.next_timezone_at,
  coalesce((SELECT max(r.at) FROM reconciliations r WHERE r.partnership_id = p.id), p.created_at)::timestamptz AS last_at
FROM partnerships p JOIN tenants t ON t.tenant_id = p.advertiser_tenant_id WHERE p.id = $1;

-- name: SystemCompareBooks :one
-- Sums by day and status, and the first conversions behind an id that differ, of one snapshot. Looked
-- at is what was received since a time, what was decided since another, and rows that differ however
-- old they are. What has just moved and is behind in the other book is left out: its sync is on its way.
-- Each row is held against its pair in the other book, and against its own book's transitions and ledger.
-- With named ones no others, and of these nothing is left out: what is not in the answer is equal.
WITH k AS NOT MATERIALIZED (
  SELECT @offer_id::uuid AS offer, @advertiser_tenant_id::uuid AS advertiser, @publisher_tenant_id::uuid AS publisher, @timezone::text AS timezone,
    @received_since::timestamptz AS received_since, @decided_since::timestamptz AS decided_since, @made_since::timestamptz AS made_since,
    @settled_before::timestamptz AS settled_before, @after::uuid AS after, @named::uuid[] AS named
), advertisers_rows AS NOT MATERIALIZED (
  SELECT c.* FROM conversions c, k
  WHERE c.tenant_id = k.advertiser AND c.offer_id = k.offer AND c.side = 'advertiser' AND c.id >= uuid_v7_floor(k.made_since)
), publishers_rows AS NOT MATERIALIZED (
  SELECT c.* FROM conversions c, k
  WHERE c.tenant_id = k.publisher AND c.offer_id = k.offer AND c.side = 'publisher' AND c.id >= uuid_v7_floor(k.made_since)
), pairs AS NOT MATERIALIZED (
  SELECT coalesce(a.id, p.id) AS id, a.id IS NOT NULL AS in_a, p.id IS NOT NULL AS in_p, a.is_test AS a_test, p.is_test AS p_test,
    a.status AS a_status, p.status AS p_status, a.rejection_reason AS a_reason, p.rejection_reason AS p_reason,
    a.sequence AS a_sequence, p.sequence AS p_sequence, a.revenue_micros AS a_revenue, p.revenue_micros AS p_revenue,
    p.payout_micros AS p_payout, p.reward_micros AS p_reward, p.partner_id AS p_partner, p.pub_member_id AS p_member,
    a.received_at AS a_received, p.received_at AS p_received, a.decided_at AS a_decided,
    (a.click_id, a.event_id, a.offer_version, a.advertiser_id, a.currency, a.amount_micros, a.received_at, a.created_at, a.user_completed_at,
      a.release_at, a.needs_review, a.is_test) IS DISTINCT FROM (p.click_id, p.event_id, p.offer_version, p.advertiser_id, p.currency, p.amount_micros,
      p.received_at, p.created_at, p.user_completed_at, p.release_at, p.needs_review, p.is_test) AS other_values
  FROM advertisers_rows a FULL JOIN publishers_rows p ON p.id = a.id
), looked_at AS MATERIALIZED (
  SELECT x.*, cardinality(k.named) = 0 AND (NOT x.in_p OR x.p_sequence < x.a_sequence) AND EXISTS (SELECT 1 FROM transitions t
      WHERE t.tenant_id = k.advertiser AND t.conversion_id = x.id AND t.at >= k.settled_before) AS is_moving
  FROM pairs x CROSS JOIN k
  WHERE x.id = ANY(k.named) OR cardinality(k.named) = 0 AND (
      greatest(x.a_received, x.p_received) >= k.received_since OR x.a_decided >= k.decided_since OR x.other_values
      OR (x.a_status, x.a_reason, x.a_sequence, x.a_revenue) IS DISTINCT FROM (x.p_status, x.p_reason, x.p_sequence, x.p_revenue))
), compared AS NOT MATERIALIZED (
  SELECT * FROM looked_at WHERE NOT is_moving
), days AS (
  SELECT y.day, y.status, sum(y.a_count) AS a_count, sum(y.a_sum) AS a_sum, sum(y.p_count) AS p_count, sum(y.p_sum) AS p_sum FROM (
    SELECT (x.a_received AT TIME ZONE k.timezone)::date AS day, x.a_status AS status, 1 AS a_count, x.a_revenue AS a_sum, 0 AS p_count, 0 AS p_sum
    FROM compared x CROSS JOIN k WHERE x.a_received >= k.received_since AND NOT x.a_test
    UNION ALL
    SELECT (x.p_received AT TIME ZONE k.timezone)::date, x.p_status, 0, 0, 1, x.p_revenue
    FROM compared x CROSS JOIN k WHERE x.p_received >= k.received_since AND NOT x.p_test
  ) y GROUP BY y.day, y.status
), differing AS (
  SELECT x.id, array_remove(ARRAY[
    CASE WHEN NOT x.in_p THEN 'missing' END,
    CASE WHEN NOT x.in_a THEN 'unknown' END,
    CASE WHEN x.a_status <> x.p_status THEN 'status' END,
    CASE WHEN x.a_reason <> x.p_reason THEN 'reason' END,
    CASE WHEN x.a_sequence <> x.p_sequence THEN 'sequence' END,
    CASE WHEN x.a_revenue <> x.p_revenue THEN 'revenue' END,
    CASE WHEN x.in_a AND x.in_p AND x.other_values THEN 'values' END,
    CASE WHEN x.in_a AND (a.steps, a.newest, a.status, a.reason) IS DISTINCT FROM (x.a_sequence, x.a_sequence, x.a_status, x.a_reason) THEN 'advertiserHistory' END,
    CASE WHEN x.in_p AND (p.steps, p.newest, p.status, p.reason) IS DISTINCT FROM (x.p_sequence, x.p_sequence, x.p_status, x.p_reason)
      OR x.a_sequence = x.p_sequence AND a.trail IS DISTINCT FROM p.trail THEN 'publisherHistory' END,
    CASE WHEN x.in_a AND a.booked <> CASE WHEN x.a_status = 'Success' AND NOT x.a_test THEN jsonb_strip_nulls(jsonb_build_object(
      'advertising_expense', nullif(x.a_revenue, 0), 'publisher_payable', nullif(-x.a_revenue, 0))) ELSE '{}' END THEN 'advertiserLedger' END,
    CASE WHEN x.in_p AND p.booked <> CASE WHEN x.p_status = 'Success' AND NOT x.p_test THEN jsonb_strip_nulls(jsonb_build_object(
      'advertiser_receivable', nullif(x.p_revenue, 0), 'publisher_revenue', nullif(-x.p_revenue, 0),
      'payout_expense', CASE WHEN x.p_partner IS NOT NULL THEN nullif(x.p_payout, 0) END,
      'partner_payable', CASE WHEN x.p_partner IS NOT NULL THEN nullif(-x.p_payout, 0) END,
      'member_points', CASE WHEN x.p_member IS NOT NULL THEN nullif(x.p_reward, 0) END,
      'reward_issued', CASE WHEN x.p_member IS NOT NULL THEN nullif(-x.p_reward, 0) END)) ELSE '{}' END THEN 'publisherLedger' END
  ], NULL) AS what
  FROM compared x CROSS JOIN k
  CROSS JOIN LATERAL book_of(k.advertiser, x.id) a
  CROSS JOIN LATERAL book_of(k.publisher, x.id) p
  WHERE x.id > k.after
), first_differing AS (
  SELECT f.id, f.what FROM differing f WHERE cardinality(f.what) > 0 ORDER BY f.id LIMIT @at_most
)
SELECT
  (SELECT coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'status', d.status,
    'advertiser', jsonb_build_object('count', d.a_count, 'micros', d.a_sum),
    'publisher', jsonb_build_object('count', d.p_count, 'micros', d.p_sum)) ORDER BY d.day, d.status), '[]') FROM days d)::jsonb AS days,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('conversionId', f.id, 'what', f.what) ORDER BY f.id), '[]') FROM first_differing f)::jsonb AS differences,
  (SELECT count(*) FROM looked_at l WHERE l.is_moving) AS moving;

-- name: SystemInsertReconciliation :execrows
-- The same one again changes nothing.
INSERT INTO reconciliations (partnership_id, id, at, from_day, to_day, days, differences, found, repaired)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING;

-- name: SystemReconciliationState :one
-- What was found last and not repaired, and the partnerships that were not compared for too long.
SELECT coalesce(sum(last.unrepaired), 0)::bigint AS unrepaired,
  count(*) FILTER (WHERE coalesce(last.at, p.created_at) < @compared_since::timestamptz AND (p.ended_at IS NULL OR p.ended_at >= @ended_since::timestamptz)) AS overdue
FROM partnerships p LEFT JOIN LATERAL (
  SELECT r.at, sum(r.found - r.repaired) AS unrepaired FROM reconciliations r
  WHERE r.partnership_id = p.id AND r.at = (SELECT max(n.at) FROM reconciliations n WHERE n.partnership_id = p.id) GROUP BY r.at
) last ON true;
