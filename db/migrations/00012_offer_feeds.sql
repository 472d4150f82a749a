-- +goose Up
-- Offers that come from another system's feed, and changes of offers that wait for their time.

-- Which offer a feed's own id names.
CREATE TABLE feed_offers (
  tenant_id   uuid NOT NULL,
  external_id text NOT NULL CHECK (external_id <> ''),
  offer_id    uuid NOT NULL,
  PRIMARY KEY (tenant_id, external_id),
  UNIQUE (tenant_id, offer_id),
  FOREIGN KEY (tenant_id, offer_id) REFERENCES offer_access
);
SELECT offerflow_secure('feed_offers', 'SELECT, INSERT');

-- Each import once: the sender's id, what was sent, and what was answered.
CREATE TABLE feed_imports (
  tenant_id  uuid NOT NULL,
  id         uuid NOT NULL,
  hash       bytea NOT NULL,
  answer     jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
SELECT offerflow_secure('feed_imports');
CREATE INDEX feed_imports_created ON feed_imports (created_at);

-- A figure of an offer that changes at a given hour. Its workflow waits; the row is what counts.
CREATE TABLE scheduled_changes (
  tenant_id    uuid NOT NULL,
  id           uuid NOT NULL PRIMARY KEY,
  offer_id     uuid NOT NULL,
  event_id     uuid NOT NULL,
  field        text NOT NULL CHECK (field IN ('revenue', 'reward')),
  value_micros bigint NOT NULL,
  at           timestamptz NOT NULL,
  state        text NOT NULL CHECK (state IN ('pending', 'applied', 'failed', 'cancelled')),
  -- Why it failed.
  error        text NOT NULL DEFAULT '',
  created_at   timestamptz NOT NULL,
  created_by   text NOT NULL,
  finished_at  timestamptz,
  CHECK ((state = 'pending') = (finished_at IS NULL)),
  FOREIGN KEY (tenant_id, offer_id) REFERENCES offer_access
);
SELECT offerflow_secure('scheduled_changes', 'SELECT, INSERT, UPDATE');
CREATE INDEX scheduled_changes_offer ON scheduled_changes (tenant_id, offer_id, at);
CREATE INDEX scheduled_changes_due ON scheduled_changes (at) WHERE state = 'pending';

-- +goose Down
DROP TABLE scheduled_changes, feed_imports, feed_offers;
