-- +goose Up
-- Rule 43: an offer that pays late earns as much as one that pays at once. What is Pending counts in its
-- EPC where it will succeed in the ordinary way.

-- NULL in rows from before: those that wait for their timer are expected.
ALTER TABLE conversions ADD COLUMN is_expected boolean;
-- NULL where a bucket was summed up before they were counted: earnings read its raw rows.
ALTER TABLE conversion_rollups ADD COLUMN expected bigint, ADD COLUMN expected_revenue_micros bigint;
-- When an offer last brought anything, however long ago; conversion_rollups_revenue knows a part of it.
CREATE INDEX conversion_rollups_earned ON conversion_rollups (tenant_id, offer_id, bucket) WHERE revenue_micros > 0 OR expected_revenue_micros > 0;

-- The same as before, and whether a conversion is expected.
DROP FUNCTION reported_conversions;
CREATE FUNCTION reported_conversions(tenant uuid, offer uuid, since timestamptz, until timestamptz)
RETURNS TABLE (offer_id uuid, bucket timestamptz, advertiser_id uuid, partner_id uuid, placement_id uuid, creative_order int,
  country text, device text, pub_subs text[], event_id uuid, currency text, status text, revenue_micros bigint, payout_micros bigint, reward_micros bigint, expected boolean)
LANGUAGE sql STABLE AS $$
  SELECT v.offer_id, rollup_bucket(v.received_at), v.advertiser_id, v.partner_id, c.placement_id, c.creative_order,
    CASE WHEN c.country <> '' THEN c.country WHEN c.pub_geo_country ~ '^[A-Za-z]{2}$' THEN upper(c.pub_geo_country) ELSE '' END,
    coalesce(c.device, ''), coalesce(c.pub_subs, '{}'), v.event_id, v.currency, v.status, v.revenue_micros, v.payout_micros, v.reward_micros,
    v.status = 'Pending' AND coalesce(v.is_expected, NOT v.needs_review)
  FROM conversions v LEFT JOIN clicks c ON c.tenant_id = v.tenant_id AND c.id = v.click_id
  WHERE v.tenant_id = tenant AND v.offer_id = offer AND v.received_at >= since AND v.received_at < until AND NOT v.is_test
    AND NOT ((v.status = 'Pending' OR v.rejection_reason = 'manual') AND EXISTS (
      SELECT 1 FROM offer_versions o, jsonb_array_elements(o.document->'events') e
      WHERE o.offer_id = v.offer_id AND o.version = v.offer_version AND e->>'id' = v.event_id::text AND (e->>'requiresApproval')::boolean))
  OFFSET 0
$$;

-- Buckets of late are summed up again.
SET LOCAL ROLE offerflow_system;
INSERT INTO rollup_marks SELECT DISTINCT tenant_id, offer_id, bucket, false FROM conversion_rollups WHERE pending > 0 AND bucket > now() - interval '31 days';
RESET ROLE;

-- +goose Down
DROP FUNCTION reported_conversions;
CREATE FUNCTION reported_conversions(tenant uuid, offer uuid, since timestamptz, until timestamptz)
RETURNS TABLE (offer_id uuid, bucket timestamptz, advertiser_id uuid, partner_id uuid, placement_id uuid, creative_order int,
  country text, device text, pub_subs text[], event_id uuid, currency text, status text, revenue_micros bigint, payout_micros bigint, reward_micros bigint)
LANGUAGE sql STABLE AS $$
  SELECT v.offer_id, rollup_bucket(v.received_at), v.advertiser_id, v.partner_id, c.placement_id, c.creative_order,
    CASE WHEN c.country <> '' THEN c.country WHEN c.pub_geo_country ~ '^[A-Za-z]{2}$' THEN upper(c.pub_geo_country) ELSE '' END,
    coalesce(c.device, ''), coalesce(c.pub_subs, '{}'), v.event_id, v.currency, v.status, v.revenue_micros, v.payout_micros, v.reward_micros
  FROM conversions v LEFT JOIN clicks c ON c.tenant_id = v.tenant_id AND c.id = v.click_id
  WHERE v.tenant_id = tenant AND v.offer_id = offer AND v.received_at >= since AND v.received_at < until AND NOT v.is_test
    AND NOT ((v.status = 'Pending' OR v.rejection_reason = 'manual') AND EXISTS (
      SELECT 1 FROM offer_versions o, jsonb_array_elements(o.document->'events') e
      WHERE o.offer_id = v.offer_id AND o.version = v.offer_version AND e->>'id' = v.event_id::text AND (e->>'requiresApproval')::boolean))
  OFFSET 0
$$;
DROP INDEX conversion_rollups_earned;
ALTER TABLE conversion_rollups DROP COLUMN expected, DROP COLUMN expected_revenue_micros;
ALTER TABLE conversions DROP COLUMN is_expected;
