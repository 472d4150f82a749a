-- The Exchange as one of the two tenants sees it.

-- name: GetExchangeProfile :one
SELECT * FROM exchange_profiles WHERE tenant_id = $1;

-- name: PutExchangeProfile :exec
INSERT INTO exchange_profiles (tenant_id, listed, description, contact, accept_shares_first, blocked_tenant_ids, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id) DO UPDATE SET listed = excluded.listed, description = excluded.description, contact = excluded.contact,
  accept_shares_first = excluded.accept_shares_first, blocked_tenant_ids = excluded.blocked_tenant_ids, updated_at = excluded.updated_at;

-- name: SetPassMacros :exec
UPDATE tenants SET pass_macros = @pass_macros::text[] WHERE tenant_id = @tenant_id;

-- name: OfferSide :one
SELECT side FROM offer_access WHERE tenant_id = $1 AND offer_id = $2;

-- name: GetPartnership :one
SELECT * FROM partnerships WHERE id = @id AND @tenant_id::uuid IN (advertiser_tenant_id, publisher_tenant_id);

-- name: EndPartnership :execrows
-- The first end stands.
UPDATE partnerships SET ended_at = @ended_at::timestamptz, ended_by = @ended_by, ended_side = @ended_side, end_reason = @end_reason
WHERE id = @id AND @tenant_id::uuid IN (advertiser_tenant_id, publisher_tenant_id) AND ended_at IS NULL;

-- name: ReconciliationIsDue :one
-- Whether conversions have come since the books were compared last, or they never were. A comparison
-- of less than a minute ago is new enough.
SELECT (newest.at IS NULL OR newest.at < @recently::timestamptz AND EXISTS (
  SELECT 1 FROM conversions c WHERE c.tenant_id = @tenant_id AND c.offer_id = p.offer_id AND c.received_at > newest.at))::boolean AS is_due
FROM partnerships p CROSS JOIN LATERAL (SELECT max(r.at) AS at FROM reconciliations r WHERE r.partnership_id = p.id) newest
WHERE p.id = @id AND @tenant_id::uuid IN (p.advertiser_tenant_id, p.publisher_tenant_id);
