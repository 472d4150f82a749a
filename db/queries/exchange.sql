-- The Exchange as one of the two tenants sees it.

-- name: GetExchangeProfile :one
SELECT * FROM exchange_profiles WHERE tenant_id = $1;

-- name: PutExchangeProfile :exec
INSERT INTO exchange_profiles (tenant_id, listed, description, contact, updated_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id) DO UPDATE SET listed = excluded.listed, description = excluded.description, contact = excluded.contact,
  updated_at = excluded.updated_at;

-- name: OfferSide :one
SELECT side FROM offer_access WHERE tenant_id = $1 AND offer_id = $2;

-- name: GetPartnership :one
SELECT * FROM partnerships WHERE id = @id AND @tenant_id::uuid IN (advertiser_tenant_id, publisher_tenant_id);

-- name: EndPartnership :execrows
-- The first end stands.
UPDATE partnerships SET ended_at = @ended_at::timestamptz, ended_by = @ended_by, ended_side = @ended_side, end_reason = @end_reason
WHERE id = @id AND @tenant_id::uuid IN (advertiser_tenant_id, publisher_tenant_id) AND ended_at IS NULL;
