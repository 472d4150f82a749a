-- +goose Up
-- Rule 78: whether a postback needs more than a click id. Tenants that are here, and those that a process
-- of the release before makes, stay open, as their senders know them; new ones name their choice.
ALTER TABLE tenants ADD COLUMN postback_security text NOT NULL DEFAULT 'open' CHECK (postback_security IN ('keyed', 'open'));

-- The key of an advertiser's postback address is a secret. It is found by its hash, and kept sealed in
-- order to be shown. The column key holds those from before; a newer row has a text there that is no key.
ALTER TABLE advertisers
  -- SHA-256 of the key in lower case, in hex (domain.AdvertiserKeyHash).
  ADD COLUMN key_hash text,
  ADD COLUMN key_sealed text NOT NULL DEFAULT '',
  -- The key before the last rotation, and until when it counts too.
  ADD COLUMN previous_key_hash text,
  ADD COLUMN previous_key_until timestamptz;

-- Rows of processes of the release before name no hash. To be removed together with the column key.
-- +goose StatementBegin
CREATE FUNCTION advertiser_key_hash() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.key_hash := encode(sha256(convert_to(lower(NEW.key), 'UTF8')), 'hex');
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER key_hash BEFORE INSERT ON advertisers FOR EACH ROW WHEN (NEW.key_hash IS NULL)
  EXECUTE FUNCTION advertiser_key_hash();

SET LOCAL ROLE offerflow_system; -- the owner sees no rows: row-level security is forced
UPDATE advertisers SET key_hash = encode(sha256(convert_to(lower(key), 'UTF8')), 'hex');
RESET ROLE;

CREATE UNIQUE INDEX advertisers_key_hash ON advertisers (key_hash);
CREATE INDEX advertisers_previous_key_hash ON advertisers (previous_key_hash) WHERE previous_key_hash IS NOT NULL;

-- +goose Down
DROP TRIGGER key_hash ON advertisers;
DROP FUNCTION advertiser_key_hash;
ALTER TABLE advertisers DROP COLUMN key_hash, DROP COLUMN key_sealed, DROP COLUMN previous_key_hash, DROP COLUMN previous_key_until;
ALTER TABLE tenants DROP COLUMN postback_security;
