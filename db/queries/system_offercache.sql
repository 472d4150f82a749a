-- What the redirect keeps in memory, and the answer of a postback: across tenants, by the system
-- role. Lists are read in pages by id, so that no table is ever held twice.

-- name: SystemCachedTenants :many
SELECT * FROM tenants WHERE tenant_id > @after ORDER BY tenant_id LIMIT @page;

-- name: SystemCachedTenant :one
SELECT * FROM tenants WHERE tenant_id = $1;

-- name: SystemCachedPartners :many
SELECT * FROM partners WHERE (tenant_id, id) > (@after_tenant::uuid, @after_id::uuid) ORDER BY tenant_id, id LIMIT @page;

-- name: SystemCachedPartnersOf :many
SELECT * FROM partners WHERE tenant_id = $1;

-- name: SystemCachedOffers :many
SELECT o.tenant_id, o.id, o.version, v.document, coalesce(p.pass_macros, '{}')::text[] AS pass_macros
FROM offers o JOIN offer_versions v ON v.offer_id = o.id AND v.version = o.version LEFT JOIN partnerships p ON p.offer_id = o.id
WHERE o.id > @after ORDER BY o.id LIMIT @page;

-- name: SystemCachedOffer :one
SELECT o.tenant_id, o.id, o.version, v.document, coalesce(p.pass_macros, '{}')::text[] AS pass_macros
FROM offers o JOIN offer_versions v ON v.offer_id = o.id AND v.version = o.version LEFT JOIN partnerships p ON p.offer_id = o.id
WHERE o.id = $1;

-- name: SystemCachedLinks :many
SELECT * FROM links WHERE id > @after ORDER BY id LIMIT @page;

-- name: SystemCachedLink :one
SELECT * FROM links WHERE id = $1;

-- name: SystemCachedDefaultLink :one
-- The publisher's where an offer is shared, for it is the publisher who sends members.
SELECT l.* FROM offer_access a JOIN links l ON l.tenant_id = a.tenant_id AND l.offer_id = a.offer_id AND l.is_default
WHERE a.offer_id = $1 ORDER BY a.side DESC LIMIT 1;

-- name: SystemCapCounters :many
SELECT * FROM cap_counters WHERE tenant_id = @tenant_id AND scope_id = ANY(@scope_ids::uuid[]);

-- name: SystemCapCountersOn :many
SELECT * FROM cap_counters WHERE period_start = ANY(@period_starts::date[]);

-- name: SystemPostbackAnswer :one
SELECT id, click_id, outcome, reason, conversion_id, status, release_at, detail, warnings FROM postbacks WHERE id = $1;

-- name: SystemCachedPairLink :one
-- The link of an offer and a partner who may have it: the partner's own, else the offer's in the
-- partner's tenant.
SELECT l.* FROM partners p
JOIN offer_access a ON a.tenant_id = p.tenant_id
JOIN links l ON l.tenant_id = a.tenant_id AND l.offer_id = a.offer_id
WHERE a.offer_id = @offer_id AND p.id = @partner_id
  AND (l.is_default OR l.partner_id = p.id AND l.placement_id IS NULL AND l.creative_order IS NULL)
ORDER BY l.is_default LIMIT 1;
