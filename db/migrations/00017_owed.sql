-- +goose Up
-- What is owed to the workflow engine while it is slow or away. A worker makes up for it once the
-- engine answers again.

-- Clicks whose workflows are still to be started: one row for all the clicks of one statement, with
-- nothing but their ids, so that a day of clicks takes some 16 bytes each.
CREATE TABLE owed_starts (
  id          uuid NOT NULL PRIMARY KEY, -- UUIDv7: the oldest comes first
  clicks      uuid[] NOT NULL,
  owed_at     timestamptz NOT NULL DEFAULT now(),
  -- Whoever makes up for it has it until then.
  taken_until timestamptz NOT NULL DEFAULT now()
);
-- Rows belong to several tenants at once: for the system role alone.
GRANT SELECT, INSERT, UPDATE, DELETE ON owed_starts TO offerflow_system;

-- Postbacks that were decided without their click's workflow and left something to wait for: a
-- Pending conversion, a held event. Written by the transaction of the decision.
CREATE TABLE owed_waits (
  tenant_id   uuid NOT NULL,
  postback_id uuid NOT NULL PRIMARY KEY,
  click_id    uuid NOT NULL,
  owed_at     timestamptz NOT NULL DEFAULT now(),
  taken_until timestamptz NOT NULL DEFAULT now()
);
SELECT offerflow_secure('owed_waits');
CREATE INDEX owed_waits_due ON owed_waits (taken_until);

-- +goose Down
DROP TABLE owed_waits, owed_starts;
