-- +goose NO TRANSACTION
-- +goose Up
-- Default lists come in the order of an index. These tables may be large, and nobody waits for these
-- indexes: each statement stands alone, and an attempt that was cut short leaves an invalid index behind.

-- A member's ledger, newest first; ledger_entries_party is a part of it.
DROP INDEX CONCURRENTLY IF EXISTS ledger_entries_account;
CREATE INDEX CONCURRENTLY ledger_entries_account ON ledger_entries (tenant_id, account, party, transaction_id);
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
DROP INDEX exchange_profiles_listed, partner_payouts_partner, links_offer, ledger_entries_account;
