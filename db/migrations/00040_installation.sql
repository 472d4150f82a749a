-- +goose Up
-- What is true of the whole installation: one row.
CREATE TABLE installation (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  -- Ids of this time and later carry their kind (docs/decisions/029-ids-know-their-kind.md).
  id_kinds_from timestamptz NOT NULL
);
GRANT SELECT ON installation TO offerflow_system;

-- An installation that is in use goes on minting ids of the old form for a day: until then processes
-- of the release before may still run, and the upgrade may be taken back. A new one has no such ids.
-- +goose StatementBegin
DO $$
DECLARE
  is_used boolean;
BEGIN
  SET LOCAL ROLE offerflow_system; -- the owner sees no rows: row-level security is forced
  SELECT EXISTS (SELECT 1 FROM tenants) INTO is_used;
  RESET ROLE;
  INSERT INTO installation (id_kinds_from) VALUES (CASE WHEN is_used THEN now() + interval '24 hours' ELSE 'epoch' END);
END $$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE installation;
