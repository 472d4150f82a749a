-- What reports read: the rollups of whole buckets without a mark, and the raw rows of all others. One
-- statement is one snapshot, in which a bucket without a mark equals its raw rows.

-- name: Performance :many
-- Clicks and conversions of [since, until), by any of the dimensions named in group_by, and once more
-- in all (is_total). Periods are numbered from 1 by their starts. With by_sub nothing but raw rows is
-- read: rollups know no subs. An empty list of a filter admits everything. What an offer's advertiser
-- owes for it, where it is shared, is cost and no revenue (rule 57). For a partner, what is hidden from
-- partners is left out: conversions of goals that are hidden now, and private ones by their payout rule
-- at the decision (rule 66), which rollups do not tell apart, so that their buckets are read raw.
WITH k AS NOT MATERIALIZED (
  SELECT @tenant_id::uuid AS tenant, @since::timestamptz AS since, @until::timestamptz AS until,
    @group_by::text[] AS dimensions, @subs::int[] AS subs, @starts::timestamptz[] AS starts, @currency::text AS currency,
    @offers::uuid[] AS offers, @partners::uuid[] AS partners, @for_partner::boolean AS for_partner, @advertisers::uuid[] AS advertisers, @countries::text[] AS countries
), raw_clicks AS MATERIALIZED (
  SELECT b.offer_id, b.bucket, uuid_v7_floor(greatest(b.bucket, k.since)) AS since, uuid_v7_floor(least(b.bucket + interval '15 minutes', k.until)) AS until
  FROM k, (
    SELECT m.offer_id, m.bucket FROM rollup_marks m, k
    WHERE m.tenant_id = k.tenant AND m.clicks AND m.bucket > k.since - interval '15 minutes' AND m.bucket < k.until
    UNION
    SELECT r.offer_id, r.bucket FROM click_rollups r, k
    WHERE r.tenant_id = k.tenant AND r.bucket > k.since - interval '15 minutes' AND r.bucket < k.until
      AND (cardinality(k.subs) > 0 OR r.bucket < k.since OR r.bucket > k.until - interval '15 minutes')
  ) b
), raw_conversions AS MATERIALIZED (
  SELECT b.offer_id, b.bucket, greatest(b.bucket, k.since) AS since, least(b.bucket + interval '15 minutes', k.until) AS until
  FROM k, (
    SELECT m.offer_id, m.bucket FROM rollup_marks m, k
    WHERE m.tenant_id = k.tenant AND NOT m.clicks AND m.bucket > k.since - interval '15 minutes' AND m.bucket < k.until
    UNION
    SELECT r.offer_id, r.bucket FROM conversion_rollups r, k
    WHERE r.tenant_id = k.tenant AND r.bucket > k.since - interval '15 minutes' AND r.bucket < k.until
      AND (cardinality(k.subs) > 0 OR r.bucket < k.since OR r.bucket > k.until - interval '15 minutes')
    UNION
    SELECT c.offer_id, rollup_bucket(c.received_at) FROM conversions c, k
    WHERE k.for_partner AND c.tenant_id = k.tenant AND c.partner_id = ANY(k.partners) AND c.received_at >= k.since AND c.received_at < k.until
      AND c.payout_rule->>'kind' = 'private'
  ) b
), click_rows AS (
  SELECT r.offer_id, r.bucket, r.advertiser_id, r.partner_id, r.placement_id, r.creative_order, CASE WHEN r.country = 'UK' THEN 'GB' ELSE r.country END AS country, r.device,
    '{}'::text[] AS pub_subs, r.clicks, r.refused, r.refused_reason, r.visitors
  FROM click_rollups r, k
  WHERE r.tenant_id = k.tenant AND r.bucket >= k.since AND r.bucket < k.until
    AND NOT EXISTS (SELECT 1 FROM raw_clicks w WHERE w.offer_id = r.offer_id AND w.bucket = r.bucket)
  UNION ALL
  SELECT c.offer_id, c.bucket, c.advertiser_id, c.partner_id, c.placement_id, c.creative_order, c.country, c.device,
    c.pub_subs, c.clicks, c.refused, c.refused_reason, array_remove(ARRAY[c.visitor], NULL)
  FROM raw_clicks w CROSS JOIN k
  CROSS JOIN LATERAL reported_clicks(k.tenant, w.offer_id, w.since, w.until) c
), conversion_rows AS (
  SELECT r.offer_id, r.bucket, r.advertiser_id, r.partner_id, r.placement_id, r.creative_order, CASE WHEN r.country = 'UK' THEN 'GB' ELSE r.country END AS country, r.device,
    '{}'::text[] AS pub_subs, r.event_id, r.currency, r.pending, r.success, r.rejected, r.revenue_micros, r.payout_micros, r.reward_micros,
    r.pending_revenue_micros, r.pending_payout_micros, r.pending_reward_micros
  FROM conversion_rollups r, k
  WHERE r.tenant_id = k.tenant AND r.bucket >= k.since AND r.bucket < k.until
    AND NOT EXISTS (SELECT 1 FROM raw_conversions w WHERE w.offer_id = r.offer_id AND w.bucket = r.bucket)
  UNION ALL
  SELECT v.offer_id, v.bucket, v.advertiser_id, v.partner_id, v.placement_id, v.creative_order, v.country, v.device, v.pub_subs, v.event_id, v.currency,
    (v.status = 'Pending')::int, (v.status = 'Success')::int, (v.status = 'Rejected')::int,
    CASE WHEN v.status = 'Success' THEN v.revenue_micros ELSE 0 END, CASE WHEN v.status = 'Success' THEN v.payout_micros ELSE 0 END,
    CASE WHEN v.status = 'Success' THEN v.reward_micros ELSE 0 END, CASE WHEN v.status = 'Pending' THEN v.revenue_micros ELSE 0 END,
    CASE WHEN v.status = 'Pending' THEN v.payout_micros ELSE 0 END, CASE WHEN v.status = 'Pending' THEN v.reward_micros ELSE 0 END
  FROM raw_conversions w CROSS JOIN k
  CROSS JOIN LATERAL reported_conversions(k.tenant, w.offer_id, w.since, w.until) v
  WHERE NOT (k.for_partner AND v.is_private)
), hidden AS MATERIALIZED (
  SELECT h.event_id FROM k CROSS JOIN LATERAL goals_hidden_from_partners(k.tenant) AS h(event_id) WHERE k.for_partner
), facts AS (
  SELECT offer_id, bucket, advertiser_id, partner_id, placement_id, creative_order, country, device, pub_subs, NULL::uuid AS event_id, NULL::text AS currency,
    clicks, refused, refused_reason, visitors, 0::bigint AS pending, 0::bigint AS success, 0::bigint AS rejected, 0::bigint AS revenue, 0::bigint AS payout, 0::bigint AS reward,
    0::bigint AS pending_revenue, 0::bigint AS pending_payout, 0::bigint AS pending_reward
  FROM click_rows
  UNION ALL
  SELECT offer_id, bucket, advertiser_id, partner_id, placement_id, creative_order, country, device, pub_subs, event_id, currency,
    0, 0, '', '{}', pending, success, rejected, revenue_micros, payout_micros, reward_micros,
    pending_revenue_micros, pending_payout_micros, pending_reward_micros
  FROM conversion_rows WHERE event_id NOT IN (SELECT event_id FROM hidden)
), keyed AS (
  SELECT ARRAY[
      CASE WHEN 'period' = ANY(k.dimensions) THEN greatest(width_bucket(f.bucket, k.starts), 1)::text END,
      CASE WHEN 'offer' = ANY(k.dimensions) THEN f.offer_id::text END,
      CASE WHEN 'advertiser' = ANY(k.dimensions) THEN f.advertiser_id::text END,
      CASE WHEN 'partner' = ANY(k.dimensions) THEN f.partner_id::text END,
      CASE WHEN 'placement' = ANY(k.dimensions) THEN f.placement_id::text END,
      CASE WHEN 'creative' = ANY(k.dimensions) THEN f.creative_order::text END,
      CASE WHEN 'country' = ANY(k.dimensions) THEN f.country END,
      CASE WHEN 'device' = ANY(k.dimensions) THEN f.device END,
      CASE WHEN 'event' = ANY(k.dimensions) THEN f.event_id::text END
    ] || CASE WHEN cardinality(k.subs) > 0 THEN ARRAY(SELECT f.pub_subs[n] FROM unnest(k.subs) n) ELSE '{}' END AS keys,
    coalesce(f.currency, k.currency) AS paid_in, f.clicks, f.refused, f.refused_reason, f.visitors, f.pending, f.success, f.rejected,
    CASE WHEN x.side IS NULL THEN f.revenue ELSE 0 END AS revenue, CASE WHEN x.side IS NULL THEN 0 ELSE f.revenue END AS cost, f.payout, f.reward,
    CASE WHEN x.side IS NULL THEN f.pending_revenue ELSE 0 END AS pending_revenue, CASE WHEN x.side IS NULL THEN 0 ELSE f.pending_revenue END AS pending_cost,
    f.pending_payout, f.pending_reward
  FROM facts f CROSS JOIN k LEFT JOIN offer_access x ON x.tenant_id = k.tenant AND x.offer_id = f.offer_id AND x.side = 'advertiser'
  WHERE (cardinality(k.offers) = 0 OR f.offer_id = ANY(k.offers)) AND (cardinality(k.partners) = 0 OR f.partner_id = ANY(k.partners))
    AND (cardinality(k.advertisers) = 0 OR f.advertiser_id = ANY(k.advertisers)) AND (cardinality(k.countries) = 0 OR f.country = ANY(k.countries))
), sums AS (
  SELECT grouping(keys) = 1 AS is_total, coalesce(array_replace(keys, NULL, ''), '{}') AS keys, paid_in,
    sum(clicks) AS clicks, sum(refused) AS refused, sum(pending) AS pending, sum(success) AS success, sum(rejected) AS rejected,
    sum(revenue) AS revenue, sum(cost) AS cost, sum(pending_cost) AS pending_cost, sum(payout) AS payout, sum(reward) AS reward,
    sum(pending_revenue) AS pending_revenue, sum(pending_payout) AS pending_payout, sum(pending_reward) AS pending_reward
  FROM keyed GROUP BY GROUPING SETS ((keys, paid_in), (paid_in))
), uniques AS (
  SELECT grouping(keys) = 1 AS is_total, coalesce(array_replace(keys, NULL, ''), '{}') AS keys, paid_in, count(DISTINCT visitor) AS visitors
  FROM keyed CROSS JOIN unnest(visitors) AS visitor GROUP BY GROUPING SETS ((keys, paid_in), (paid_in))
), refusals AS (
  SELECT is_total, keys, paid_in, jsonb_object_agg(refused_reason, refused) AS by_reason FROM (
    SELECT grouping(keys) = 1 AS is_total, coalesce(array_replace(keys, NULL, ''), '{}') AS keys, paid_in, refused_reason, sum(refused) AS refused
    FROM keyed WHERE refused_reason <> '' GROUP BY GROUPING SETS ((keys, paid_in, refused_reason), (paid_in, refused_reason))
  ) r GROUP BY is_total, keys, paid_in
)
SELECT s.is_total::boolean AS is_total, s.keys::text[] AS keys, s.paid_in::text AS currency, s.clicks::bigint AS clicks, coalesce(u.visitors, 0)::bigint AS unique_clicks,
  s.refused::bigint AS refused, coalesce(r.by_reason, '{}')::jsonb AS refused_by_reason, s.pending::bigint AS pending, s.success::bigint AS success, s.rejected::bigint AS rejected,
  s.revenue::bigint AS revenue_micros, s.cost::bigint AS cost_micros, s.pending_cost::bigint AS pending_cost_micros, s.payout::bigint AS payout_micros, s.reward::bigint AS reward_micros,
  s.pending_revenue::bigint AS pending_revenue_micros, s.pending_payout::bigint AS pending_payout_micros, s.pending_reward::bigint AS pending_reward_micros
FROM sums s LEFT JOIN uniques u ON u.is_total = s.is_total AND u.keys = s.keys AND u.paid_in = s.paid_in
LEFT JOIN refusals r ON r.is_total = s.is_total AND r.keys = s.keys AND r.paid_in = s.paid_in
ORDER BY s.is_total DESC, s.paid_in, s.keys LIMIT @at_most;

-- name: NamesOfReport :many
-- What the ids in a report's keys are called now. An event is called as in the newest version that has it.
SELECT 'offer' AS kind, o.id::text AS id, o.name, '' AS advertisers_name FROM offer_access a JOIN offers o ON o.id = a.offer_id
  WHERE a.offer_id = ANY(@ids::uuid[]) AND a.tenant_id = @tenant_id
UNION ALL SELECT 'advertiser', a.id::text, a.name, '' FROM advertisers a WHERE a.tenant_id = @tenant_id AND a.id = ANY(@ids::uuid[])
UNION ALL SELECT 'partner', p.id::text, p.name, '' FROM partners p WHERE p.tenant_id = @tenant_id AND p.id = ANY(@ids::uuid[])
UNION ALL SELECT 'placement', l.id::text, l.name, '' FROM placements l WHERE l.tenant_id = @tenant_id AND l.id = ANY(@ids::uuid[])
UNION ALL SELECT 'tier', t.id::text, t.name, '' FROM partner_tiers t WHERE t.tenant_id = @tenant_id AND t.id = ANY(@ids::uuid[])
UNION ALL SELECT event.kind, event.id, event.name, event.advertisers_name FROM (
  SELECT DISTINCT ON (x.id) 'event', x.id::text, coalesce(e->>'name', ''), coalesce(e->>'eventId', '')
  FROM offer_events x JOIN offer_versions v ON v.offer_id = x.offer_id CROSS JOIN LATERAL jsonb_array_elements(v.document->'events') AS e
  WHERE x.tenant_id = @tenant_id AND x.id = ANY(@ids::uuid[]) AND e->>'id' = x.id::text
  ORDER BY x.id, v.version DESC) AS event (kind, id, name, advertisers_name);

-- name: OffersWithCostData :many
-- Rule 57: the offers whose cost goes to an attribution provider, as they are now; with an advertiser
-- only its own. Of a shared one it is the advertiser's to tell: told twice, it would count twice.
SELECT v.document FROM offer_access a
JOIN offers o ON o.id = a.offer_id
JOIN offer_versions v ON v.offer_id = o.id AND v.version = o.version
WHERE a.tenant_id = @tenant_id AND a.side <> 'publisher' AND v.document->>'trackingSystem' = @tracking_system::text AND (v.document->>'shouldSendCostData')::boolean
  AND (sqlc.narg('advertiser_id')::uuid IS NULL OR o.advertiser_id = sqlc.narg('advertiser_id')::uuid);
