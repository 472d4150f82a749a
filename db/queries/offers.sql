-- name: GetOffer :one
-- An offer is reached through the tenant's access row: the query asks for it, and the policy besides.
SELECT o.* FROM offers o JOIN offer_access a ON a.tenant_id = current_tenant() AND a.offer_id = o.id WHERE o.id = $1;

-- name: LockOffer :one
SELECT o.* FROM offers o JOIN offer_access a ON a.tenant_id = current_tenant() AND a.offer_id = o.id WHERE o.id = $1 FOR UPDATE OF o;

-- name: GetOfferVersion :one
SELECT v.* FROM offer_versions v JOIN offer_access a ON a.tenant_id = current_tenant() AND a.offer_id = v.offer_id
WHERE v.offer_id = $1 AND v.version = $2;

-- name: InsertOffer :exec
INSERT INTO offers (tenant_id, id, advertiser_id, version, name, offer_type, is_paused, launch_at, expires_at, created_at, updated_at, is_requested)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: UpdateOffer :execrows
UPDATE offers SET advertiser_id = @advertiser_id, version = @version, name = @name, offer_type = @offer_type, is_paused = @is_paused,
  launch_at = @launch_at, expires_at = @expires_at, updated_at = @updated_at, is_requested = @is_requested
WHERE id = @id AND version = @was_version
  AND EXISTS (SELECT 1 FROM offer_access a WHERE a.tenant_id = current_tenant() AND a.offer_id = offers.id);

-- name: InsertOfferAccess :exec
INSERT INTO offer_access (tenant_id, offer_id, side, created_at) VALUES ($1, $2, $3, $4);

-- name: InsertOfferVersion :exec
INSERT INTO offer_versions (tenant_id, offer_id, version, document, created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6);

-- name: InsertLink :exec
INSERT INTO links (tenant_id, id, offer_id, partner_id, placement_id, creative_order, is_default, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: DefaultLink :one
SELECT * FROM links WHERE tenant_id = $1 AND offer_id = $2 AND is_default;

-- name: ShownLink :one
-- The offer's own link; of a shared offer the publisher's, for the advertiser to see.
SELECT id FROM links WHERE links.tenant_id = @tenant_id AND links.offer_id = @offer_id AND is_default
UNION ALL SELECT link_id FROM partnerships WHERE advertiser_tenant_id = @tenant_id AND partnerships.offer_id = @offer_id AND link_id IS NOT NULL;

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
-- An entry for an advertiser of the Exchange is for what that one shares.
SELECT EXISTS (SELECT 1 FROM advertisers WHERE tenant_id = $1 AND id = $2 AND exchange_tenant_id IS NULL);

-- name: OfferPlacementExists :one
SELECT EXISTS (SELECT 1 FROM placements WHERE tenant_id = $1 AND id = $2);

-- name: OfferPartnerExists :one
SELECT EXISTS (SELECT 1 FROM partners WHERE tenant_id = $1 AND id = $2);

-- name: ClaimOfferEvents :exec
-- For the tenant, and for both sides of a shared offer.
INSERT INTO offer_events (tenant_id, id, offer_id)
SELECT t.tenant_id, e.id, @offer_id FROM unnest(@ids::uuid[]) AS e(id), (SELECT @tenant_id::uuid AS tenant_id
  UNION SELECT a.tenant_id FROM offer_access a WHERE a.offer_id = @offer_id
  UNION SELECT unnest(ARRAY[p.advertiser_tenant_id, p.publisher_tenant_id]) FROM partnerships p WHERE p.offer_id = @offer_id) AS t
ON CONFLICT DO NOTHING;

-- name: ForeignOfferEvents :many
-- Which of these events belong to another offer of the tenant.
SELECT id FROM offer_events WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]) AND offer_id <> @offer_id;

-- name: OfferIsOfAdvertiser :one
SELECT EXISTS (SELECT 1 FROM offer_access a JOIN offers o ON o.id = a.offer_id
  WHERE a.tenant_id = @tenant_id AND a.offer_id = @id AND o.advertiser_id = @advertiser_id)::boolean;
