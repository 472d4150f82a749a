-- +goose Up
-- A publisher may accept shares before they are live, and may block tenants (rule 55).
ALTER TABLE exchange_profiles ADD COLUMN accept_shares_first boolean NOT NULL DEFAULT false;
ALTER TABLE exchange_profiles ADD COLUMN blocked_tenant_ids uuid[] NOT NULL DEFAULT '{}';
-- A share that its publisher has not accepted. Its offer's document says so too: redirects and walls read that.
ALTER TABLE offers ADD COLUMN is_requested boolean NOT NULL DEFAULT false;
GRANT UPDATE (is_requested) ON offers TO offerflow_app, offerflow_system;

-- +goose Down
ALTER TABLE offers DROP COLUMN is_requested;
ALTER TABLE exchange_profiles DROP COLUMN blocked_tenant_ids;
ALTER TABLE exchange_profiles DROP COLUMN accept_shares_first;
