-- The Exchange across tenants, by the system role.

-- name: SystemPartnership :one
SELECT * FROM partnerships WHERE id = $1;

-- name: SystemShareTarget :one
-- Who an offer is to be shared with, whether the directory names it to the tenant that shares, and
-- whether shares wait to be accepted.
SELECT t.name, t.product, t.currency, t.reward_ratio_micros,
  coalesce(p.listed AND NOT @for_tenant_id::uuid = ANY(p.blocked_tenant_ids), false)::boolean AS listed,
  coalesce(p.accept_shares_first, false)::boolean AS accept_shares_first
FROM tenants t LEFT JOIN exchange_profiles p ON p.tenant_id = t.tenant_id WHERE t.tenant_id = @tenant_id;

-- name: SystemShareEnded :one
-- Whether an offer was shared with a publisher before, and that has ended (rule 55).
SELECT EXISTS (SELECT 1 FROM partnerships WHERE publisher_tenant_id = @publisher_tenant_id AND source_offer_id = @source_offer_id AND ended_at IS NOT NULL);

-- name: InsertPartnership :execrows
-- 0 when it is there already, or the same offer is shared with the same publisher. Both names are read
-- under a lock: whoever changes one at the same time finds the partnership, or is waited for.
INSERT INTO partnerships (id, offer_id, source_offer_id, link_id, advertiser_tenant_id, advertiser_name, publisher_tenant_id, publisher_name, created_at, created_by)
SELECT @id::uuid, @offer_id::uuid, @source_offer_id::uuid, @link_id::uuid, a.tenant_id, a.name, p.tenant_id, p.name, @created_at::timestamptz, @created_by::text
FROM tenants a, tenants p WHERE a.tenant_id = @advertiser_tenant_id::uuid AND p.tenant_id = @publisher_tenant_id::uuid
FOR SHARE
ON CONFLICT DO NOTHING;
