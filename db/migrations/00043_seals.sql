-- +goose Up
-- Processes of the release before write messages and arguments that carry no seal. They are believed
-- until this instant: a day after the upgrade, which is more than a rolling one takes. A new
-- installation never believes one.
CREATE TABLE unsealed (until timestamptz NOT NULL);
CREATE UNIQUE INDEX unsealed_once ON unsealed ((true));
GRANT SELECT, INSERT ON unsealed TO offerflow_system;
SET LOCAL ROLE offerflow_system;
INSERT INTO unsealed (until) SELECT CASE WHEN EXISTS (SELECT FROM tenants) THEN now() + interval '24 hours' ELSE 'epoch' END;
RESET ROLE;
REVOKE INSERT ON unsealed FROM offerflow_system;

-- What a message carried that no key of ours had sealed: it is sent again as it came, and never as one of
-- our own. NULL for every other.
ALTER TABLE failed_messages ADD COLUMN seal text;

-- +goose Down
ALTER TABLE failed_messages DROP COLUMN seal;
DROP TABLE unsealed;
