-- name: InsertPartnerTier :exec
INSERT INTO partner_tiers (tenant_id, id, name, created_at) VALUES ($1, $2, $3, $4);

-- name: GetPartnerTier :one
SELECT * FROM partner_tiers WHERE tenant_id = $1 AND id = $2;

-- name: GetPartnerTierForUpdate :one
SELECT * FROM partner_tiers WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: UpdatePartnerTier :exec
UPDATE partner_tiers SET name = @name WHERE tenant_id = @tenant_id AND id = @id;

-- name: PartnerTierExists :one
SELECT EXISTS (SELECT 1 FROM partner_tiers WHERE tenant_id = $1 AND id = $2);

-- name: InsertPayoutStructure :exec
INSERT INTO payout_structures (tenant_id, id, version, name, document, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: GetPayoutStructure :one
SELECT * FROM payout_structures WHERE tenant_id = $1 AND id = $2;

-- name: GetPayoutStructureForUpdate :one
SELECT * FROM payout_structures WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: UpdatePayoutStructure :exec
UPDATE payout_structures SET version = @version, name = @name, document = @document, updated_at = @updated_at
WHERE tenant_id = @tenant_id AND id = @id;

-- name: PayoutStructureExists :one
SELECT EXISTS (SELECT 1 FROM payout_structures WHERE tenant_id = $1 AND id = $2);

-- name: InsertPartnerPayout :exec
INSERT INTO partner_payouts (tenant_id, id, version, partner_id, offer_id, event_id, flat_micros, percent_micros, is_deleted, starts_at, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: PartnerPayoutVersions :many
SELECT * FROM partner_payouts WHERE tenant_id = $1 AND id = $2 ORDER BY version DESC;

-- name: PartnerPayoutsOfEvents :many
-- The newest version of every custom payout for these events.
SELECT DISTINCT ON (id) * FROM partner_payouts WHERE tenant_id = @tenant_id AND event_id = ANY(@event_ids::uuid[]) ORDER BY id, version DESC;

-- name: PartnerPayoutsOfPartner :many
-- All versions of a partner's custom payouts for one offer.
SELECT * FROM partner_payouts WHERE tenant_id = @tenant_id AND partner_id = @partner_id AND offer_id = ANY(@offer_ids::uuid[]) ORDER BY event_id, version;

-- name: PayoutStructuresByIDs :many
SELECT * FROM payout_structures WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]);

-- name: SubsOfClicks :many
SELECT id, pub_click_id, pub_subs FROM clicks WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]);
