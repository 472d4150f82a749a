-- name: InsertClicks :exec
-- A whole batch in one statement, of any number of tenants: by the system role. COPY is refused
-- under row-level security. A click that is there already is left as it is. A click on a shared offer
-- is two rows: the publisher's, whole, and the advertiser's without what is the publisher's own or its
-- members' (rule 57).
INSERT INTO clicks (tenant_id, id, clicked_at, link_id, offer_id, offer_version, advertiser_id, partner_id, placement_id,
  creative_order, pub_member_id, pub_click_id, pub_session_id, pub_gender, pub_age, pub_geo_country, pub_geo_state,
  pub_postal_code, pub_device, pub_subs, view_id, ip, user_agent, referer, country, device, os, browser,
  refused_reason, is_test, session_ends_at, source, side, member_key)
SELECT b.tenant, c.id, c."clickedAt", CASE WHEN b.whole THEN c."linkId" ELSE '00000000-0000-0000-0000-000000000000' END, c."offerId", c."offerVersion", c."advertiserId",
  CASE WHEN b.whole THEN c."partnerId" END, CASE WHEN b.whole THEN c."placementId" END, c."creativeOrder",
  CASE WHEN b.whole THEN c."pubMemberId" END, CASE WHEN b.whole THEN coalesce(c."pubClickId", '') ELSE '' END,
  CASE WHEN b.whole THEN coalesce(c."pubSessionId", '') ELSE '' END, CASE WHEN b.whole THEN coalesce(c."pubGender", '') ELSE '' END,
  CASE WHEN b.whole THEN coalesce(c."pubAge", '') ELSE '' END, CASE WHEN b.whole THEN coalesce(c."pubGeoCountry", '') ELSE '' END,
  CASE WHEN b.whole THEN coalesce(c."pubGeoState", '') ELSE '' END, CASE WHEN b.whole THEN coalesce(c."pubPostalCode", '') ELSE '' END,
  CASE WHEN b.whole THEN coalesce(c."pubDevice", '') ELSE '' END, CASE WHEN b.whole THEN coalesce(c."pubSubs", '{}') ELSE '{}' END,
  CASE WHEN b.whole THEN coalesce(c."viewId", '') ELSE '' END, CASE WHEN b.whole THEN coalesce(c.ip, '') ELSE '' END,
  CASE WHEN b.whole THEN coalesce(c."userAgent", '') ELSE '' END, CASE WHEN b.whole THEN coalesce(c.referer, '') ELSE '' END,
  coalesce(c.country, ''), coalesce(c.device, ''), coalesce(c.os, ''), coalesce(c.browser, ''),
  coalesce(c."refusedReason", ''), coalesce(c."isTest", false), c."sessionEndsAt",
  CASE WHEN b.whole THEN coalesce(c.source, '') ELSE '' END,
  CASE WHEN NOT b.whole THEN 'advertiser' WHEN c."advertiserTenantId" IS NOT NULL THEN 'publisher' ELSE 'owner' END,
  CASE WHEN b.whole THEN '' ELSE coalesce(c."memberKey", '') END
FROM jsonb_to_recordset(@clicks::jsonb) AS c("tenantId" uuid, id uuid, "clickedAt" timestamptz, "linkId" uuid, "offerId" uuid,
  "offerVersion" bigint, "advertiserId" uuid, "partnerId" uuid, "placementId" uuid, "creativeOrder" int, "pubMemberId" text,
  "pubClickId" text, "pubSessionId" text, "pubGender" text, "pubAge" text, "pubGeoCountry" text, "pubGeoState" text,
  "pubPostalCode" text, "pubDevice" text, "pubSubs" text[], "viewId" text, ip text, "userAgent" text, referer text, country text,
  device text, os text, browser text, "refusedReason" text, "isTest" boolean, "sessionEndsAt" timestamptz, source text,
  "advertiserTenantId" uuid, "memberKey" text)
CROSS JOIN LATERAL (
  SELECT c."tenantId" AS tenant, true AS whole
  UNION ALL SELECT c."advertiserTenantId", false WHERE c."advertiserTenantId" IS NOT NULL
) b
ON CONFLICT (id, tenant_id) DO NOTHING;

-- name: LockClick :one
-- Decisions about one click are serialised here, whoever makes them. It also shares the locks of
-- the offer's and the partner's caps, which a change of caps takes alone (OwnCapLock).
SELECT sqlc.embed(clicks),
  pg_advisory_xact_lock_shared(hashtextextended('caps offer ' || offer_id, 0))::text AS offer_lock,
  CASE WHEN partner_id IS NULL THEN '' ELSE pg_advisory_xact_lock_shared(hashtextextended('caps partner ' || partner_id, 0))::text END::text AS partner_lock
FROM clicks WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: DecisionContext :one
-- What a decision about a click goes by besides the click: terms of tenant, advertiser, partner,
-- the offer's version now, and how many postbacks are held. The click is read first, so that no plan begins
-- with all advertisers of the tenant.
WITH c AS MATERIALIZED (
  SELECT k.tenant_id, k.id, k.offer_id, k.advertiser_id, k.partner_id FROM clicks k WHERE k.tenant_id = $1 AND k.id = $2
)
SELECT t.currency, t.timezone, t.next_timezone, t.next_timezone_at, t.reward_ratio_micros, t.goals_enabled, t.postback_security,
  o.version AS offer_version, o.name AS offer_name,
  a.id AS advertiser_id, a.name AS advertiser_name, a.security_token_hash, a.signing_secret_sealed, a.ip_allowlist,
  a.previous_secret_sealed, a.previous_secret_until, a.key_hash, a.previous_key_hash, a.previous_key_until,
  p.name AS partner_name, p.daily_cap, p.weekly_cap, p.monthly_cap, p.all_time_cap, p.tier_id, pt.name AS tier_name,
  (CASE WHEN c.partner_id IS NOT NULL THEN (
    SELECT jsonb_agg(jsonb_build_object('id', y.id, 'eventId', y.event_id, 'version', y.version, 'startsAt', y.starts_at,
      'deleted', y.is_deleted, 'flat', y.flat_micros, 'percent', y.percent_micros))
    FROM partner_payouts y WHERE y.tenant_id = c.tenant_id AND y.partner_id = c.partner_id AND y.offer_id = c.offer_id) END)::jsonb AS custom_payouts,
  x.id AS partnership_id, x.publisher_tenant_id,
  (SELECT count(*) FROM held_postbacks h WHERE h.tenant_id = c.tenant_id AND h.click_id = c.id)::int AS held
FROM c
JOIN tenants t ON t.tenant_id = c.tenant_id
JOIN offers o ON o.id = c.offer_id
JOIN advertisers a ON a.tenant_id = c.tenant_id AND a.id = c.advertiser_id
LEFT JOIN partners p ON p.tenant_id = c.tenant_id AND p.id = c.partner_id
LEFT JOIN partnerships x ON x.offer_id = c.offer_id
LEFT JOIN partner_tiers pt ON pt.tenant_id = p.tenant_id AND pt.id = p.tier_id;

-- name: GetClick :one
SELECT * FROM clicks WHERE tenant_id = $1 AND id = $2;

-- name: PreviousClickOfMember :one
-- The member's last click on the same offer before a click.
SELECT clicked_at FROM clicks WHERE tenant_id = @tenant_id AND pub_member_id = @pub_member_id AND offer_id = @offer_id AND id < @id
  AND refused_reason = '' AND NOT is_test ORDER BY id DESC LIMIT 1;

-- name: PreviousClickOfMemberKey :one
-- The same in the book of a shared offer's advertiser.
SELECT clicked_at FROM clicks WHERE tenant_id = @tenant_id AND member_key = @member_key AND member_key <> '' AND offer_id = @offer_id AND id < @id
  AND refused_reason = '' AND NOT is_test ORDER BY id DESC LIMIT 1;

-- name: ClicksOfUpload :many
-- What says of the lines of an upload whether they can be decided.
SELECT id, clicked_at, offer_id, side, refused_reason FROM clicks WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]);
