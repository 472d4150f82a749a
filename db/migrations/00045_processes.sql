-- +goose Up
-- The processes that run. By their rows a process sees at its start, and again while it runs, whether all
-- of them have the secret keys that things are made with. It says every ten seconds that it still runs.
CREATE TABLE running_processes (
  id          uuid PRIMARY KEY,
  role        text NOT NULL,
  host        text NOT NULL,
  pid         bigint NOT NULL,
  release     text NOT NULL,
  -- Short public names of its secret keys, in the order of its setting. Hashes of tokens and sealed
  -- secrets carry the same names.
  secret_keys text[] NOT NULL CHECK (cardinality(secret_keys) > 0),
  started_at  timestamptz NOT NULL DEFAULT now(),
  seen_at     timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON running_processes TO offerflow_system;

-- The name of the secret key that everything new is made with. NULL until a process has started.
ALTER TABLE installation ADD COLUMN secret_key text, ADD COLUMN secret_key_since timestamptz,
  ADD CHECK ((secret_key IS NULL) = (secret_key_since IS NULL));
GRANT UPDATE (secret_key, secret_key_since) ON installation TO offerflow_system;

-- A process that starts looks at which schema it finds.
GRANT SELECT ON goose_db_version TO offerflow_system;

-- +goose Down
REVOKE SELECT ON goose_db_version FROM offerflow_system;
ALTER TABLE installation DROP COLUMN secret_key, DROP COLUMN secret_key_since;
DROP TABLE running_processes;
