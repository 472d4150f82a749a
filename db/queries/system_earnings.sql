-- Earnings are computed tenant by tenant, by the system role, from what reports read: the rollups of
-- buckets without a mark, and the raw rows of all others.

-- name: SystemTenantIDs :many
-- A page of all tenants.
SELECT tenant_id FROM tenants WHERE tenant_id > @after ORDER BY tenant_id LIMIT @at_most;

-- name: SystemRefreshEarnings :execrows
-- One statement is one snapshot, in which a bucket without a mark equals its raw rows: the earnings are
-- those of its instant. since is the start of a bucket. The advertiser of a shared offer pays for it
-- and earns nothing (rule 57). An offer that has nothing any more keeps a row that says so. What a
-- slower run computed before changes nothing.
WITH k AS NOT MATERIALIZED (
  SELECT @tenant_id::uuid AS tenant, @since::timestamptz AS since
), raw_clicks AS MATERIALIZED (
  SELECT DISTINCT m.offer_id, m.bucket, uuid_v7_floor(m.bucket) AS since, uuid_v7_floor(m.bucket + interval '15 minutes') AS until
  FROM rollup_marks m, k WHERE m.tenant_id = k.tenant AND m.clicks AND m.bucket >= k.since
), raw_conversions AS MATERIALIZED (
  -- A rollup from before what is expected was counted says nothing of it.
  SELECT b.offer_id, b.bucket, b.bucket + interval '15 minutes' AS until FROM (
    SELECT m.offer_id, m.bucket FROM rollup_marks m, k WHERE m.tenant_id = k.tenant AND NOT m.clicks
    UNION SELECT r.offer_id, r.bucket FROM conversion_rollups r, k
    WHERE r.tenant_id = k.tenant AND r.bucket >= k.since AND r.pending > 0 AND r.expected IS NULL) b
), facts AS (
  SELECT r.offer_id, r.bucket, r.clicks, 0::bigint AS success, 0::bigint AS revenue FROM click_rollups r, k
  WHERE r.tenant_id = k.tenant AND r.bucket >= k.since
    AND NOT EXISTS (SELECT 1 FROM raw_clicks w WHERE w.offer_id = r.offer_id AND w.bucket = r.bucket)
  UNION ALL
  SELECT w.offer_id, w.bucket, c.clicks, 0, 0
  FROM raw_clicks w CROSS JOIN k CROSS JOIN LATERAL reported_clicks(k.tenant, w.offer_id, w.since, w.until) c
  UNION ALL
  SELECT r.offer_id, r.bucket, 0, r.success + coalesce(r.expected, 0), r.revenue_micros + coalesce(r.expected_revenue_micros, 0) FROM conversion_rollups r, k
  WHERE r.tenant_id = k.tenant AND r.bucket >= k.since
    AND NOT EXISTS (SELECT 1 FROM raw_conversions w WHERE w.offer_id = r.offer_id AND w.bucket = r.bucket)
  UNION ALL
  SELECT w.offer_id, w.bucket, 0, 1, v.revenue_micros
  FROM raw_conversions w CROSS JOIN k CROSS JOIN LATERAL reported_conversions(k.tenant, w.offer_id, w.bucket, w.until) v
  WHERE v.status = 'Success' OR v.expected
), sums AS (
  SELECT f.offer_id, sum(f.clicks) FILTER (WHERE f.bucket >= k.since) AS clicks, sum(f.success) FILTER (WHERE f.bucket >= k.since) AS conversions,
    sum(f.revenue) FILTER (WHERE f.bucket >= k.since) AS revenue, max(f.bucket) FILTER (WHERE f.revenue > 0) AS last_revenue_at
  FROM facts f CROSS JOIN k GROUP BY f.offer_id
), earnings AS MATERIALIZED (
  SELECT a.offer_id, coalesce(s.clicks, 0)::bigint AS clicks, coalesce(s.conversions, 0)::bigint AS conversions, coalesce(s.revenue, 0)::bigint AS revenue,
    -- A bucket before the window is looked for only where none in it brought anything.
    greatest(s.last_revenue_at, CASE WHEN s.last_revenue_at >= k.since THEN NULL ELSE (
      SELECT r.bucket FROM conversion_rollups r WHERE r.tenant_id = k.tenant AND r.offer_id = a.offer_id 
        AND r.bucket < k.since AND (r.revenue_micros > 0 OR r.expected_revenue_micros > 0)
        AND NOT EXISTS (SELECT 1 FROM raw_conversions w WHERE w.offer_id = r.offer_id AND w.bucket = r.bucket)
      ORDER BY r.bucket DESC LIMIT 1) END) AS last_revenue_at
  FROM offer_access a CROSS JOIN k LEFT JOIN sums s ON s.offer_id = a.offer_id
  WHERE a.tenant_id = k.tenant AND a.side <> 'advertiser'
)
INSERT INTO offer_earnings AS e (tenant_id, offer_id, clicks, conversions, revenue_micros, last_revenue_at, refreshed_at)
SELECT k.tenant, n.offer_id, n.clicks, n.conversions, n.revenue, n.last_revenue_at, @refreshed_at::timestamptz
FROM earnings n CROSS JOIN k
WHERE n.clicks > 0 OR n.conversions > 0 OR n.last_revenue_at IS NOT NULL
  OR EXISTS (SELECT 1 FROM offer_earnings o WHERE o.tenant_id = k.tenant AND o.offer_id = n.offer_id)
ON CONFLICT (tenant_id, offer_id) DO UPDATE SET clicks = excluded.clicks, conversions = excluded.conversions,
  revenue_micros = excluded.revenue_micros, last_revenue_at = excluded.last_revenue_at, refreshed_at = excluded.refreshed_at
WHERE e.refreshed_at <= excluded.refreshed_at;
