-- +goose Up
-- An advertiser's signing secret before the last rotation, and until when it counts too.
ALTER TABLE advertisers
  ADD COLUMN previous_secret_sealed text,
  ADD COLUMN previous_secret_until timestamptz;

-- SHA-256 of what was signed, in hex: the same signed request again is told from another one with its
-- nonce. Empty for nonces of the release before.
ALTER TABLE nonces ADD COLUMN content_hash text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE nonces DROP COLUMN content_hash;
ALTER TABLE advertisers DROP COLUMN previous_secret_sealed, DROP COLUMN previous_secret_until;
