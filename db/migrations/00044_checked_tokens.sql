-- +goose Up
-- Advertisers' tokens have a least length from now on. Of those that are stored only a hash is known:
-- they keep working, and whoever looks at the advertiser is told to set a longer one.
ALTER TABLE advertisers ADD COLUMN security_token_checked boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE advertisers DROP COLUMN security_token_checked;
