-- The Exchange across tenants, by the system role.

-- name: SystemPartnership :one
SELECT * FROM partnerships WHERE id = $1;

-- name: SystemShareTarget :one
-- Who an offer is to be shared with, and whether the directory names it.
SELECT t.name, t.product, t.currency, t.reward_ratio_micros, coalesce(p.listed, false)::boolean AS listed
FROM tenants t LEFT JOIN exchange_profiles p ON p.tenant_id = t.tenant_id WHERE t.tenant_id = $1;

-- name: InsertPartnership :execrows
-- 0 when it is there already, or the same offer is shared with the same publisher. Both names are read
-- under a lock: whoever changes one at the same time finds the partnership, or is waited for.
INSERT INTO partnerships (id, offer_id, source_offer_id, link_id, advertiser_tenant_id, advertiser_name, publisher_tenant_id, publisher_name, created_at, created_by)
SELECT @id::uuid, @offer_id::uuid, @source_offer_id::uuid, @link_id::uuid, a.tenant_id, a.name, p.tenant_id, p.name, @created_at::timestamptz, @created_by::text
FROM tenants a, tenants p WHERE a.tenant_id = @advertiser_tenant_id::uuid AND p.tenant_id = @publisher_tenant_id::uuid
FOR SHARE
ON CONFLICT DO NOTHING;
