-- +goose Up
-- What the log of postbacks says to the tenant besides what the sender was told: names of events, whose cap
-- it was.
ALTER TABLE postbacks ADD COLUMN hint text NOT NULL DEFAULT '';

-- Reports count refused clicks by reason: in the rollups each reason has a row of its own, without clicks.
-- Rows of before, and of processes of the release before, have refused clicks and no reason.
ALTER TABLE click_rollups ADD COLUMN refused_reason text NOT NULL DEFAULT '';

-- As before, with the reason of a refused click.
DROP FUNCTION reported_clicks(uuid, uuid, uuid, uuid);
CREATE FUNCTION reported_clicks(tenant uuid, offer uuid, since uuid, until uuid)
RETURNS TABLE (offer_id uuid, bucket timestamptz, advertiser_id uuid, partner_id uuid, placement_id uuid, creative_order int,
  country text, device text, pub_subs text[], clicks bigint, refused bigint, visitor bigint, refused_reason text)
LANGUAGE sql STABLE AS $$
  SELECT c.offer_id, rollup_bucket(c.id), c.advertiser_id, c.partner_id, c.placement_id, c.creative_order,
    coalesce(country_code(c.country), country_code(c.pub_geo_country), ''),
    c.device, c.pub_subs,
    CASE WHEN c.refused_reason = '' THEN 1 ELSE 0 END::bigint, CASE WHEN c.refused_reason = '' THEN 0 ELSE 1 END::bigint,
    CASE WHEN c.refused_reason = '' THEN hashtextextended(c.offer_id::text || coalesce(nullif(c.member_key, ''), 'm' || c.pub_member_id, 'a' || c.ip || ' ' || c.user_agent), 0) END,
    c.refused_reason
  FROM clicks c
  WHERE c.tenant_id = tenant AND c.offer_id = offer AND c.id >= since AND c.id < until AND NOT c.is_test
  OFFSET 0
$$;

-- +goose Down
DROP FUNCTION reported_clicks(uuid, uuid, uuid, uuid);
CREATE FUNCTION reported_clicks(tenant uuid, offer uuid, since uuid, until uuid)
RETURNS TABLE (offer_id uuid, bucket timestamptz, advertiser_id uuid, partner_id uuid, placement_id uuid, creative_order int,
  country text, device text, pub_subs text[], clicks bigint, refused bigint, visitor bigint)
LANGUAGE sql STABLE AS $$
  SELECT c.offer_id, rollup_bucket(c.id), c.advertiser_id, c.partner_id, c.placement_id, c.creative_order,
    coalesce(country_code(c.country), country_code(c.pub_geo_country), ''),
    c.device, c.pub_subs,
    CASE WHEN c.refused_reason = '' THEN 1 ELSE 0 END::bigint, CASE WHEN c.refused_reason = '' THEN 0 ELSE 1 END::bigint,
    CASE WHEN c.refused_reason = '' THEN hashtextextended(c.offer_id::text || coalesce(nullif(c.member_key, ''), 'm' || c.pub_member_id, 'a' || c.ip || ' ' || c.user_agent), 0) END
  FROM clicks c
  WHERE c.tenant_id = tenant AND c.offer_id = offer AND c.id >= since AND c.id < until AND NOT c.is_test
  OFFSET 0
$$;
ALTER TABLE click_rollups DROP COLUMN refused_reason;
ALTER TABLE postbacks DROP COLUMN hint;
