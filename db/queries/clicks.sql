-- name: InsertClicks :exec
-- A whole batch in one statement, of any number of tenants: by the system role. COPY is refused
-- under row-level security. A click that is there already is left as it is.
INSERT INTO clicks (tenant_id, id, clicked_at, link_id, offer_id, offer_version, advertiser_id, partner_id, placement_id,
  creative_order, pub_member_id, pub_click_id, pub_session_id, pub_gender, pub_age, pub_geo_country, pub_geo_state,
  pub_postal_code, pub_device, pub_subs, view_id, ip, user_agent, referer, country, device, os, browser,
  refused_reason, is_test, session_ends_at, source)
SELECT c."tenantId", c.id, c."clickedAt", c."linkId", c."offerId", c."offerVersion", c."advertiserId", c."partnerId", c."placementId",
  c."creativeOrder", c."pubMemberId", coalesce(c."pubClickId", ''), coalesce(c."pubSessionId", ''), coalesce(c."pubGender", ''),
  coalesce(c."pubAge", ''), coalesce(c."pubGeoCountry", ''), coalesce(c."pubGeoState", ''), coalesce(c."pubPostalCode", ''),
  coalesce(c."pubDevice", ''), coalesce(c."pubSubs", '{}'), coalesce(c."viewId", ''), coalesce(c.ip, ''), coalesce(c."userAgent", ''),
  coalesce(c.referer, ''), coalesce(c.country, ''), coalesce(c.device, ''), coalesce(c.os, ''), coalesce(c.browser, ''),
  coalesce(c."refusedReason", ''), coalesce(c."isTest", false), c."sessionEndsAt", coalesce(c.source, '')
FROM jsonb_to_recordset(@clicks::jsonb) AS c("tenantId" uuid, id uuid, "clickedAt" timestamptz, "linkId" uuid, "offerId" uuid,
  "offerVersion" bigint, "advertiserId" uuid, "partnerId" uuid, "placementId" uuid, "creativeOrder" int, "pubMemberId" text,
  "pubClickId" text, "pubSessionId" text, "pubGender" text, "pubAge" text, "pubGeoCountry" text, "pubGeoState" text,
  "pubPostalCode" text, "pubDevice" text, "pubSubs" text[], "viewId" text, ip text, "userAgent" text, referer text, country text,
  device text, os text, browser text, "refusedReason" text, "isTest" boolean, "sessionEndsAt" timestamptz, source text)
ON CONFLICT (id) DO NOTHING;

-- name: LockClick :one
-- Decisions about one click are serialised here, whoever makes them. It also shares the locks of
-- the offer's and the partner's caps, which a change of caps takes alone (OwnCapLock).
SELECT sqlc.embed(clicks),
  pg_advisory_xact_lock_shared(hashtextextended('caps offer ' || offer_id, 0))::text AS offer_lock,
  CASE WHEN partner_id IS NULL THEN '' ELSE pg_advisory_xact_lock_shared(hashtextextended('caps partner ' || partner_id, 0))::text END::text AS partner_lock
FROM clicks WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: DecisionContext :one
-- What a decision about a click goes by besides the click: terms of tenant, advertiser, partner,
-- the offer's version now, and whether anything is held.
SELECT t.currency, t.timezone, t.next_timezone, t.next_timezone_at, t.reward_ratio_micros, t.goals_enabled,
  o.version AS offer_version, o.name AS offer_name,
  a.id AS advertiser_id, a.name AS advertiser_name, a.security_token_hash, a.signing_secret_sealed, a.ip_allowlist,
  p.name AS partner_name, p.daily_cap, p.weekly_cap, p.monthly_cap, p.all_time_cap, p.tier_id, pt.name AS tier_name,
  (CASE WHEN c.partner_id IS NOT NULL THEN (
    SELECT jsonb_agg(jsonb_build_object('id', x.id, 'eventId', x.event_id, 'version', x.version, 'startsAt', x.starts_at,
      'deleted', x.is_deleted, 'flat', x.flat_micros, 'percent', x.percent_micros))
    FROM partner_payouts x WHERE x.tenant_id = c.tenant_id AND x.partner_id = c.partner_id AND x.offer_id = c.offer_id) END)::jsonb AS custom_payouts,
  EXISTS (SELECT 1 FROM held_postbacks h WHERE h.tenant_id = c.tenant_id AND h.click_id = c.id) AS holds
FROM clicks c
JOIN tenants t ON t.tenant_id = c.tenant_id
JOIN offers o ON o.id = c.offer_id
JOIN advertisers a ON a.tenant_id = c.tenant_id AND a.id = c.advertiser_id
LEFT JOIN partners p ON p.tenant_id = c.tenant_id AND p.id = c.partner_id
LEFT JOIN partner_tiers pt ON pt.tenant_id = p.tenant_id AND pt.id = p.tier_id
WHERE c.tenant_id = $1 AND c.id = $2;

-- name: GetClick :one
SELECT * FROM clicks WHERE tenant_id = $1 AND id = $2;

-- name: PreviousClickOfMember :one
-- The member's last click on the same offer before a click.
SELECT clicked_at FROM clicks WHERE tenant_id = @tenant_id AND pub_member_id = @pub_member_id AND offer_id = @offer_id AND id < @id
  AND refused_reason = '' AND NOT is_test ORDER BY id DESC LIMIT 1;
