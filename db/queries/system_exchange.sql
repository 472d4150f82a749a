-- The Exchange across tenants, by the system role.

-- name: SystemPartnership :one
SELECT * FROM partnerships WHERE id = $1;

-- name: SystemShareTarget :one
-- Who an offer is to be shared with, and whether the directory names it.
SELECT t.name, t.product, t.currency, t.reward_ratio_micros, coalesce(p.listed, false)::boolean AS listed
FROM tenants t LEFT JOIN exchange_profiles p ON p.tenant_id = t.tenant_id WHERE t.tenant_id = $1;

-- name: InsertPartnership :execrows
-- 0 when it is there already, or the same offer is shared with the same publisher.
INSERT INTO partnerships (id, offer_id, source_offer_id, link_id, advertiser_tenant_id, advertiser_name, publisher_tenant_id, publisher_name, created_at, created_by)
VALUES (@id, @offer_id, @source_offer_id, @link_id, @advertiser_tenant_id, @advertiser_name, @publisher_tenant_id, @publisher_name, @created_at, @created_by)
ON CONFLICT DO NOTHING;
