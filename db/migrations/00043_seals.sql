-- +goose Up
-- Processes of the release before write messages and arguments that carry no seal. They are believed
-- until this instant: a day after the upgrade, which is more than a rolling one takes. A new
-- installation never believes one.
ALTER TABLE installation ADD COLUMN unsealed_until timestamptz NOT NULL DEFAULT 'epoch';
-- +goose StatementBegin
DO $$
DECLARE
  is_used boolean;
BEGIN
  SET LOCAL ROLE offerflow_system; -- the owner sees no rows: row-level security is forced
  SELECT EXISTS (SELECT 1 FROM tenants) INTO is_used;
  RESET ROLE;
  IF is_used THEN
    UPDATE installation SET unsealed_until = now() + interval '24 hours';
  END IF;
END $$;
-- +goose StatementEnd

-- What a message carried that no key of ours had sealed: it is sent again as it came, and never as one of
-- our own. NULL for every other.
ALTER TABLE failed_messages ADD COLUMN seal text;

-- +goose Down
ALTER TABLE failed_messages DROP COLUMN seal;
ALTER TABLE installation DROP COLUMN unsealed_until;
