-- Across tenants, by the system role: the log of refused postbacks.

-- name: SystemLogRefused :exec
-- Packed refusals (domain.Postback) in one statement. One with an advertiser's key, be it the one before
-- the last rotation, or an offer's opaque code is in that tenant's log, any other in the operator's,
-- which has no tenant. A publisher's entry for an advertiser of the Exchange has no address: the
-- advertiser posts under its own.
INSERT INTO postbacks (tenant_id, id, received_at, advertiser_id, click_id, method, path, source_ip, params, outcome, reason,
  decided_at, detail, warnings)
SELECT DISTINCT ON (r.id) coalesce(o.tenant_id, a.tenant_id), r.id, r."receivedAt", coalesce(o.advertiser_id, a.id), r."clickId",
  r.method, r.path, r."sourceIp", coalesce(r.params, '{}'), 'refused', r.refused, @decided_at, coalesce(r.detail, ''), coalesce(r.warnings, '[]')
FROM jsonb_to_recordset(@refused::jsonb) AS r(id uuid, "receivedAt" timestamptz, method text, path text, "sourceIp" text, params jsonb,
  "advertiserKey" text, refused text, detail text, warnings jsonb, "clickId" uuid, address jsonb)
CROSS JOIN LATERAL (SELECT CASE WHEN r."advertiserKey" LIKE 'sha256:%' THEN substr(r."advertiserKey", 8)
  ELSE encode(sha256(convert_to(lower(r."advertiserKey"), 'UTF8')), 'hex') END AS hash) k -- the release before sent keys as they are
LEFT JOIN LATERAL (SELECT x.tenant_id, x.id FROM advertisers x
  WHERE (x.key_hash = k.hash OR x.previous_key_hash = k.hash) AND x.exchange_tenant_id IS NULL LIMIT 1) a ON true
LEFT JOIN offers o ON (r.address->>'opaque')::boolean AND o.id = (r.address->>'offerId')::uuid
ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason, decided_at = excluded.decided_at,
  detail = excluded.detail, hint = '', warnings = excluded.warnings
WHERE postbacks.outcome = 'held' AND postbacks.tenant_id IS NOT DISTINCT FROM excluded.tenant_id;

-- name: SystemUnclaimedBeyond :one
-- The newest row of the operator's log behind so many newer ones.
SELECT id FROM postbacks WHERE tenant_id IS NULL ORDER BY id DESC OFFSET @newer LIMIT 1;

-- name: SystemRefusedBeyond :many
-- The newest refused postback of each tenant behind so many newer ones.
SELECT t.tenant_id, beyond.id FROM tenants t CROSS JOIN LATERAL (
  SELECT p.id FROM postbacks p WHERE p.tenant_id = t.tenant_id AND p.outcome = 'refused' ORDER BY p.id DESC OFFSET @newer LIMIT 1) beyond;

-- name: SystemRefusedClicksBeyond :many
-- The newest refused click of each tenant behind so many newer ones.
SELECT t.tenant_id, beyond.id FROM tenants t CROSS JOIN LATERAL (
  SELECT c.id FROM clicks c WHERE c.tenant_id = t.tenant_id AND c.refused_reason <> '' ORDER BY c.id DESC OFFSET @newer LIMIT 1) beyond;

-- name: SystemRefusedClicksBefore :many
-- Tenants that have refused clicks up to one of them.
SELECT t.tenant_id FROM tenants t WHERE EXISTS (
  SELECT 1 FROM clicks c WHERE c.tenant_id = t.tenant_id AND c.refused_reason <> '' AND c.id <= @up_to::uuid);

-- name: SystemForgetRefusedClicks :execrows
-- The oldest refused clicks of a tenant, up to one of them, but for those that reports have not summed up.
DELETE FROM clicks c USING (
  SELECT o.id FROM clicks o WHERE o.tenant_id = @tenant_id AND o.refused_reason <> '' AND o.id <= @up_to
    AND NOT EXISTS (SELECT 1 FROM rollup_marks m
      WHERE m.tenant_id = o.tenant_id AND m.clicks AND m.bucket = rollup_bucket(o.id) AND m.offer_id = o.offer_id)
  ORDER BY o.id LIMIT @at_most) old
WHERE c.tenant_id = @tenant_id AND c.refused_reason <> '' AND c.id <= @up_to AND c.id = old.id;

-- name: SystemForgetUnclaimed :execrows
-- The oldest rows of the operator's log, up to one of them. Ids of postbacks are their times.
DELETE FROM postbacks p USING (
  SELECT o.id FROM postbacks o WHERE o.tenant_id IS NULL AND o.id <= @up_to ORDER BY o.id LIMIT @at_most) old
WHERE p.tenant_id IS NULL AND p.id <= @up_to AND p.id = old.id;

-- name: SystemForgetRefused :execrows
-- The oldest refused postbacks of a tenant, up to one of them.
DELETE FROM postbacks p USING (
  SELECT o.id FROM postbacks o WHERE o.tenant_id = @tenant_id AND o.outcome = 'refused' AND o.id <= @up_to ORDER BY o.id LIMIT @at_most) old
WHERE p.tenant_id = @tenant_id AND p.outcome = 'refused' AND p.id <= @up_to AND p.id = old.id;
