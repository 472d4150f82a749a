-- Rollups are recomputed across tenants, by the system role: take the bucket's lock, its marks, and
-- then replace its rows, in one transaction. Each statement sees what was committed before it, so that
-- no mark is taken whose rows are not read.

-- name: SystemMarkedBuckets :many
-- Buckets to recompute that begin at an instant at the latest. Each page goes on behind the last one of
-- the page before, so that none stays at the head.
SELECT DISTINCT tenant_id, offer_id, bucket, clicks FROM rollup_marks
WHERE bucket <= @latest AND (bucket, tenant_id, offer_id, clicks) > (@after_bucket::timestamptz, @after_tenant::uuid, @after_offer::uuid, @after_clicks::boolean)
ORDER BY bucket, tenant_id, offer_id, clicks LIMIT @at_most;

-- name: SystemLockBucket :exec
-- Two that recompute one bucket take turns; nobody else waits for them.
SELECT pg_advisory_xact_lock(hashtextextended('rollup ' || @bucket::text, 0));

-- name: SystemTakeMarks :execrows
DELETE FROM rollup_marks WHERE tenant_id = @tenant_id AND offer_id = @offer_id AND bucket = @bucket AND clicks = @clicks;

-- name: SystemDeleteClickRollups :exec
DELETE FROM click_rollups WHERE tenant_id = @tenant_id AND offer_id = @offer_id AND bucket = @bucket;

-- name: SystemInsertClickRollups :exec
INSERT INTO click_rollups (tenant_id, offer_id, bucket, advertiser_id, partner_id, placement_id, creative_order, country, device,
  clicks, refused, visitors, refused_reason)
SELECT k.tenant, c.offer_id, c.bucket, c.advertiser_id, c.partner_id, c.placement_id, c.creative_order, c.country, c.device,
  sum(c.clicks)::bigint, sum(c.refused)::bigint, coalesce(array_agg(DISTINCT c.visitor) FILTER (WHERE c.visitor IS NOT NULL), '{}'), c.refused_reason
FROM (SELECT @tenant_id::uuid AS tenant, @offer_id::uuid AS offer, @bucket::timestamptz AS bucket) k
CROSS JOIN LATERAL reported_clicks(k.tenant, k.offer, uuid_v7_floor(k.bucket), uuid_v7_floor(k.bucket + interval '15 minutes')) c
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, c.refused_reason;

-- name: SystemDeleteConversionRollups :exec
DELETE FROM conversion_rollups WHERE tenant_id = @tenant_id AND offer_id = @offer_id AND bucket = @bucket;

-- name: SystemInsertConversionRollups :exec
INSERT INTO conversion_rollups (tenant_id, offer_id, bucket, advertiser_id, partner_id, placement_id, creative_order, country, device,
  event_id, currency, pending, success, rejected, revenue_micros, payout_micros, reward_micros,
  pending_revenue_micros, pending_payout_micros, pending_reward_micros, expected, expected_revenue_micros)
SELECT k.tenant, v.offer_id, v.bucket, v.advertiser_id, v.partner_id, v.placement_id, v.creative_order, v.country, v.device,
  v.event_id, v.currency,
  count(*) FILTER (WHERE v.status = 'Pending'), count(*) FILTER (WHERE v.status = 'Success'), count(*) FILTER (WHERE v.status = 'Rejected'),
  coalesce(sum(v.revenue_micros) FILTER (WHERE v.status = 'Success'), 0)::bigint,
  coalesce(sum(v.payout_micros) FILTER (WHERE v.status = 'Success'), 0)::bigint,
  coalesce(sum(v.reward_micros) FILTER (WHERE v.status = 'Success'), 0)::bigint,
  coalesce(sum(v.revenue_micros) FILTER (WHERE v.status = 'Pending'), 0)::bigint,
  coalesce(sum(v.payout_micros) FILTER (WHERE v.status = 'Pending'), 0)::bigint,
  coalesce(sum(v.reward_micros) FILTER (WHERE v.status = 'Pending'), 0)::bigint,
  count(*) FILTER (WHERE v.expected), coalesce(sum(v.revenue_micros) FILTER (WHERE v.expected), 0)::bigint
FROM (SELECT @tenant_id::uuid AS tenant, @offer_id::uuid AS offer, @bucket::timestamptz AS bucket) k
CROSS JOIN LATERAL reported_conversions(k.tenant, k.offer, k.bucket, k.bucket + interval '15 minutes') v
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;
