-- name: GetOffer :one
SELECT * FROM offers WHERE id = $1;

-- name: LockOffer :one
SELECT * FROM offers WHERE id = $1 FOR UPDATE;

-- name: GetOfferVersion :one
SELECT * FROM offer_versions WHERE offer_id = $1 AND version = $2;

-- name: InsertOffer :exec
INSERT INTO offers (tenant_id, id, advertiser_id, version, name, offer_type, is_paused, launch_at, expires_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: UpdateOffer :execrows
UPDATE offers SET advertiser_id = @advertiser_id, version = @version, name = @name, offer_type = @offer_type, is_paused = @is_paused,
  launch_at = @launch_at, expires_at = @expires_at, updated_at = @updated_at
WHERE id = @id AND version = @was_version;

-- name: InsertOfferAccess :exec
INSERT INTO offer_access (tenant_id, offer_id, side, created_at) VALUES ($1, $2, $3, $4);

-- name: InsertOfferVersion :exec
INSERT INTO offer_versions (tenant_id, offer_id, version, document, created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6);

-- name: InsertLink :exec
INSERT INTO links (tenant_id, id, offer_id, partner_id, placement_id, creative_order, is_default, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: DefaultLink :one
SELECT * FROM links WHERE tenant_id = $1 AND offer_id = $2 AND is_default;

-- name: InsertLinkOnce :execrows
-- Equal requests get the same link (links_same): 0 when it is there already.
INSERT INTO links (tenant_id, id, offer_id, partner_id, placement_id, creative_order, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING;

-- name: SameLink :one
SELECT * FROM links WHERE tenant_id = @tenant_id AND offer_id = @offer_id AND NOT is_default
  AND partner_id IS NOT DISTINCT FROM sqlc.narg('partner_id') AND placement_id IS NOT DISTINCT FROM sqlc.narg('placement_id')
  AND creative_order IS NOT DISTINCT FROM sqlc.narg('creative_order');

-- name: OfferAgeRange :one
SELECT min_age, max_age FROM ages WHERE tenant_id = $1 AND id = $2;

-- name: OfferCategoryExists :one
SELECT EXISTS (SELECT 1 FROM categories WHERE tenant_id = $1 AND id = $2);

-- name: OfferAdvertiserExists :one
SELECT EXISTS (SELECT 1 FROM advertisers WHERE tenant_id = $1 AND id = $2);

-- name: OfferPlacementExists :one
SELECT EXISTS (SELECT 1 FROM placements WHERE tenant_id = $1 AND id = $2);

-- name: OfferPartnerExists :one
SELECT EXISTS (SELECT 1 FROM partners WHERE tenant_id = $1 AND id = $2);

-- name: ClaimOfferEvents :exec
INSERT INTO offer_events (tenant_id, id, offer_id) SELECT @tenant_id, unnest(@ids::uuid[]), @offer_id ON CONFLICT DO NOTHING;

-- name: ForeignOfferEvents :many
-- Which of these events belong to another offer of the tenant.
SELECT id FROM offer_events WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]) AND offer_id <> @offer_id;
