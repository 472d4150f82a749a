-- +goose NO TRANSACTION
-- +goose Up
-- Conversions are asked for by receipt and by decision too: all of a tenant's, a partner's, an advertiser's. The
-- table may be large, and nobody waits for these indexes: each statement stands alone, and an attempt that was
-- cut short leaves an invalid index behind.
DROP INDEX CONCURRENTLY IF EXISTS conversions_created;
CREATE INDEX CONCURRENTLY conversions_created ON conversions (tenant_id, created_at, id);
DROP INDEX CONCURRENTLY IF EXISTS conversions_decided;
CREATE INDEX CONCURRENTLY conversions_decided ON conversions (tenant_id, decided_at, id) WHERE decided_at IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS conversions_partner_created;
CREATE INDEX CONCURRENTLY conversions_partner_created ON conversions (tenant_id, partner_id, created_at, id) WHERE partner_id IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS conversions_partner_decided;
CREATE INDEX CONCURRENTLY conversions_partner_decided ON conversions (tenant_id, partner_id, decided_at, id) WHERE partner_id IS NOT NULL AND decided_at IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS conversions_advertiser_created;
CREATE INDEX CONCURRENTLY conversions_advertiser_created ON conversions (tenant_id, advertiser_id, created_at, id);
DROP INDEX CONCURRENTLY IF EXISTS conversions_advertiser_decided;
CREATE INDEX CONCURRENTLY conversions_advertiser_decided ON conversions (tenant_id, advertiser_id, decided_at, id) WHERE decided_at IS NOT NULL;

-- +goose Down
DROP INDEX conversions_advertiser_decided, conversions_advertiser_created, conversions_partner_decided, conversions_partner_created,
  conversions_decided, conversions_created;
