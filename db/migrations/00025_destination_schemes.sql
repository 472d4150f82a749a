-- +goose Up
-- The apps' schemes that a tenant's destinations may have beside those that everybody knows (rule 73).
ALTER TABLE tenants ADD COLUMN destination_schemes text[] NOT NULL DEFAULT '{}';

-- +goose Down
ALTER TABLE tenants DROP COLUMN destination_schemes;
