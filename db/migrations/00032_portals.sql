-- +goose Up
-- What partners and advertisers see of a tenant.

-- An advertiser's conversions by completion and its postbacks by receipt, as lists order them.
CREATE INDEX conversions_advertiser ON conversions (tenant_id, advertiser_id, user_completed_at, id);
CREATE INDEX postbacks_advertiser ON postbacks (tenant_id, advertiser_id, id) WHERE advertiser_id IS NOT NULL;

-- A partner's conversions of goals that were private at the decision (rule 66), by receipt.
CREATE INDEX conversions_private ON conversions (tenant_id, partner_id, received_at) WHERE payout_rule->>'kind' = 'private';

-- The same as before, and whether the goal was private when its conversion was decided.
DROP FUNCTION reported_conversions(uuid, uuid, timestamptz, timestamptz);
CREATE FUNCTION reported_conversions(tenant uuid, offer uuid, since timestamptz, until timestamptz)
RETURNS TABLE (offer_id uuid, bucket timestamptz, advertiser_id uuid, partner_id uuid, placement_id uuid, creative_order int,
  country text, device text, pub_subs text[], event_id uuid, currency text, status text, revenue_micros bigint, payout_micros bigint, reward_micros bigint, expected boolean,
  is_private boolean)
LANGUAGE sql STABLE AS $$
  SELECT v.offer_id, rollup_bucket(v.received_at), v.advertiser_id, v.partner_id, c.placement_id, c.creative_order,
    coalesce(country_code(c.country), country_code(c.pub_geo_country), ''),
    coalesce(c.device, ''), coalesce(c.pub_subs, '{}'), v.event_id, v.currency, v.status, v.revenue_micros, v.payout_micros, v.reward_micros,
    v.status = 'Pending' AND coalesce(v.is_expected, NOT v.needs_review),
    v.payout_rule->>'kind' IS NOT DISTINCT FROM 'private'
  FROM conversions v LEFT JOIN clicks c ON c.tenant_id = v.tenant_id AND c.id = v.click_id
  WHERE v.tenant_id = tenant AND v.offer_id = offer AND v.received_at >= since AND v.received_at < until AND NOT v.is_test
    AND NOT ((v.status = 'Pending' OR v.rejection_reason = 'manual') AND EXISTS (
      SELECT 1 FROM offer_versions o, jsonb_array_elements(o.document->'events') e
      WHERE o.offer_id = v.offer_id AND o.version = v.offer_version AND e->>'id' = v.event_id::text AND (e->>'requiresApproval')::boolean))
  OFFSET 0
$$;

-- +goose Down
DROP FUNCTION reported_conversions(uuid, uuid, timestamptz, timestamptz);
CREATE FUNCTION reported_conversions(tenant uuid, offer uuid, since timestamptz, until timestamptz)
RETURNS TABLE (offer_id uuid, bucket timestamptz, advertiser_id uuid, partner_id uuid, placement_id uuid, creative_order int,
  country text, device text, pub_subs text[], event_id uuid, currency text, status text, revenue_micros bigint, payout_micros bigint, reward_micros bigint, expected boolean)
LANGUAGE sql STABLE AS $$
  SELECT v.offer_id, rollup_bucket(v.received_at), v.advertiser_id, v.partner_id, c.placement_id, c.creative_order,
    coalesce(country_code(c.country), country_code(c.pub_geo_country), ''),
    coalesce(c.device, ''), coalesce(c.pub_subs, '{}'), v.event_id, v.currency, v.status, v.revenue_micros, v.payout_micros, v.reward_micros,
    v.status = 'Pending' AND coalesce(v.is_expected, NOT v.needs_review)
  FROM conversions v LEFT JOIN clicks c ON c.tenant_id = v.tenant_id AND c.id = v.click_id
  WHERE v.tenant_id = tenant AND v.offer_id = offer AND v.received_at >= since AND v.received_at < until AND NOT v.is_test
    AND NOT ((v.status = 'Pending' OR v.rejection_reason = 'manual') AND EXISTS (
      SELECT 1 FROM offer_versions o, jsonb_array_elements(o.document->'events') e
      WHERE o.offer_id = v.offer_id AND o.version = v.offer_version AND e->>'id' = v.event_id::text AND (e->>'requiresApproval')::boolean))
  OFFSET 0
$$;
DROP INDEX conversions_private, postbacks_advertiser, conversions_advertiser;
