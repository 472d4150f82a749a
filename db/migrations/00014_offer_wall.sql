-- +goose Up
-- The offer wall: what members were shown, and what orders it.

-- A member looked at an offer's details. A click names its view, so that views and clicks can be put
-- side by side; who looked is the publisher's alone.
CREATE TABLE offer_views (
  tenant_id     uuid NOT NULL REFERENCES tenants,
  -- A UUIDv7 that we minted.
  id            uuid NOT NULL UNIQUE,
  offer_id      uuid NOT NULL REFERENCES offers,
  pub_member_id text NOT NULL,
  placement_id  uuid,
  created_at    timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX offer_views_created_at ON offer_views (created_at);
SELECT offerflow_secure('offer_views', 'SELECT, INSERT');
GRANT DELETE ON offer_views TO offerflow_system;

-- What an offer brought each side of late, from which its EPC is (rule 43). It is derived: a schedule
-- computes it from what reports read.
CREATE TABLE offer_earnings (
  tenant_id       uuid NOT NULL REFERENCES tenants,
  offer_id        uuid NOT NULL REFERENCES offers,
  -- Of the last 30 days: clicks that were not refused, conversions that succeeded, and their revenue.
  clicks          bigint NOT NULL,
  conversions     bigint NOT NULL,
  revenue_micros  bigint NOT NULL,
  -- When it last brought revenue, to a quarter of an hour; null: never.
  last_revenue_at timestamptz,
  refreshed_at    timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, offer_id)
);
SELECT offerflow_secure('offer_earnings', 'SELECT');
GRANT INSERT, UPDATE ON offer_earnings TO offerflow_system;

-- +goose Down
DROP TABLE offer_earnings;
DROP TABLE offer_views;
