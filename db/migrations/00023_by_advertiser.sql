-- +goose Up
-- Whether the last move was the advertiser's verdict: only then does its later approval revive what is
-- Rejected as reversed (rule 77).
ALTER TABLE conversions ADD COLUMN by_advertiser boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE conversions DROP COLUMN by_advertiser;
