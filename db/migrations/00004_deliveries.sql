-- +goose Up
-- Outbound messages (rules 49 to 54).

CREATE TABLE callback_endpoints (
  tenant_id              uuid NOT NULL REFERENCES tenants,
  id                     uuid NOT NULL,
  url                    text NOT NULL,
  -- Which statuses besides the always-sent ones: subset of success, pending, rejected.
  events                 text[] NOT NULL,
  header_name            text NOT NULL DEFAULT '',
  header_value_sealed    text NOT NULL DEFAULT '',
  signature              text NOT NULL CHECK (signature IN ('v1', 'v1a')),
  secret_sealed          text NOT NULL,
  -- Both secrets live for 24 h after a rotation.
  previous_secret_sealed text NOT NULL DEFAULT '',
  previous_expires_at    timestamptz,
  -- Set by a 410 (rule 51); a PUT of the endpoint enables it again.
  disabled_at            timestamptz,
  disabled_reason        text NOT NULL DEFAULT '',
  created_at             timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id)
);
SELECT offerflow_secure('callback_endpoints');

CREATE TABLE deliveries (
  tenant_id        uuid NOT NULL,
  -- The message id: the same on every retry.
  id               uuid NOT NULL PRIMARY KEY,
  kind             text NOT NULL CHECK (kind IN ('callback', 'test', 'partner_postback', 'email')),
  endpoint_id      uuid NOT NULL,
  conversion_id    uuid,
  sequence         bigint NOT NULL DEFAULT 0,
  -- The conversion's status in this news, for superseding (rule 49).
  status           text NOT NULL DEFAULT '',
  state            text NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed', 'superseded')),
  body             text NOT NULL,
  attempts         int NOT NULL DEFAULT 0,
  next_attempt_at  timestamptz,
  last_status_code int,
  last_error       text NOT NULL DEFAULT '',
  created_at       timestamptz NOT NULL,
  finished_at      timestamptz
);
SELECT offerflow_secure('deliveries', 'SELECT, INSERT, UPDATE');
CREATE UNIQUE INDEX deliveries_lane ON deliveries (tenant_id, endpoint_id, conversion_id, sequence, kind) WHERE conversion_id IS NOT NULL;
CREATE INDEX deliveries_conversion ON deliveries (tenant_id, conversion_id) WHERE conversion_id IS NOT NULL;
CREATE INDEX deliveries_tenant ON deliveries (tenant_id, id);
CREATE INDEX deliveries_overdue ON deliveries (next_attempt_at) WHERE state = 'waiting';

CREATE TABLE delivery_attempts (
  tenant_id   uuid NOT NULL,
  delivery_id uuid NOT NULL REFERENCES deliveries,
  number      int NOT NULL,
  at          timestamptz NOT NULL,
  -- 0 when there was no answer.
  status_code int NOT NULL,
  latency_ms  int NOT NULL,
  error       text NOT NULL DEFAULT '',
  -- At most 64 KiB (rule 53).
  answer      text NOT NULL DEFAULT '',
  PRIMARY KEY (tenant_id, delivery_id, number)
);
SELECT offerflow_secure('delivery_attempts', 'SELECT, INSERT');

-- The next three months' partitions; a schedule keeps making them.
SELECT offerflow_ensure_partitions('clicks', 3), offerflow_ensure_partitions('postbacks', 3);

-- +goose Down
DROP TABLE delivery_attempts, deliveries, callback_endpoints;
