-- +goose NO TRANSACTION
-- +goose Up
-- Default lists come in the order of an index. These tables may be large, and nobody waits for these
-- indexes: each statement stands alone, and an attempt that was cut short leaves an invalid index behind.

-- Deliveries as they were made: their ids tell the time of the postback that they follow from.
DROP INDEX CONCURRENTLY IF EXISTS deliveries_created;
CREATE INDEX CONCURRENTLY deliveries_created ON deliveries (tenant_id, created_at, id);
-- The links of an offer.
DROP INDEX CONCURRENTLY IF EXISTS links_offer;
CREATE INDEX CONCURRENTLY links_offer ON links (tenant_id, offer_id, id);
-- A partner's custom payouts.
DROP INDEX CONCURRENTLY IF EXISTS partner_payouts_partner;
CREATE INDEX CONCURRENTLY partner_payouts_partner ON partner_payouts (tenant_id, partner_id, id);
-- The Exchange's directory.
DROP INDEX CONCURRENTLY IF EXISTS exchange_profiles_listed;
CREATE INDEX CONCURRENTLY exchange_profiles_listed ON exchange_profiles (updated_at, tenant_id) WHERE listed;

-- +goose Down
DROP INDEX exchange_profiles_listed, partner_payouts_partner, links_offer, deliveries_created;
