-- +goose Up
-- Partners' own URLs (rule 54), sent like callbacks and logged with them.

CREATE TABLE partner_postbacks (
  tenant_id       uuid NOT NULL REFERENCES tenants,
  id              uuid NOT NULL,
  partner_id      uuid NOT NULL,
  -- Our id of an event; NULL is global: every event of every offer.
  event_id        uuid,
  -- A template: the macros stand in it as they were saved.
  url             text NOT NULL,
  method          text NOT NULL CHECK (method IN ('GET', 'POST')),
  -- What the partner is told of: subset of success, pending, rejected, reversed.
  events          text[] NOT NULL CHECK (events <> '{}'),
  -- paused: nothing new is made for it, and what waits is failed, to be sent again by a person.
  status          text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused')),
  -- Set by a 410 (rule 51); a PUT enables it again.
  disabled_at     timestamptz,
  disabled_reason text NOT NULL DEFAULT '',
  created_at      timestamptz NOT NULL,
  updated_at      timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, partner_id) REFERENCES partners
);
SELECT offerflow_secure('partner_postbacks', 'SELECT, INSERT, UPDATE');
CREATE INDEX partner_postbacks_partner ON partner_postbacks (tenant_id, partner_id);

-- deliveries.endpoint_id is a callback endpoint's or, for kind 'partner', a partner postback's id.
-- The body of a partner's delivery is what its macros stand for: a template that is corrected
-- serves what is sent again.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_kind_check;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_kind_check CHECK (kind IN ('callback', 'test', 'partner', 'email'));
-- News of a test conversion, and an endpoint's own test: tried once.
ALTER TABLE deliveries ADD COLUMN is_test boolean NOT NULL DEFAULT false;
-- The owner is no exception to forced row-level security: without this it would see no row.
ALTER TABLE deliveries NO FORCE ROW LEVEL SECURITY;
UPDATE deliveries SET is_test = true WHERE kind = 'test';
ALTER TABLE deliveries FORCE ROW LEVEL SECURITY;
-- The address that an attempt called where it is made anew for each message: a partner's.
ALTER TABLE delivery_attempts ADD COLUMN url text NOT NULL DEFAULT '';

-- One index serves the lane's uniqueness, its order and the look-up by conversion.
DROP INDEX deliveries_lane;
CREATE UNIQUE INDEX deliveries_lane ON deliveries (tenant_id, conversion_id, endpoint_id, sequence, kind) WHERE conversion_id IS NOT NULL;
DROP INDEX deliveries_conversion;
-- Counts and pages of filtered lists, in the order in which lists come; most rows are delivered, and
-- what is not is what people look for.
DROP INDEX deliveries_tenant;
CREATE INDEX deliveries_tenant ON deliveries (tenant_id, id DESC NULLS LAST);
CREATE INDEX deliveries_endpoint ON deliveries (tenant_id, endpoint_id, id DESC NULLS LAST);
CREATE INDEX deliveries_undelivered ON deliveries (tenant_id, state, id DESC NULLS LAST) WHERE state <> 'delivered';

-- +goose Down
DROP INDEX deliveries_undelivered, deliveries_endpoint, deliveries_tenant, deliveries_lane;
CREATE UNIQUE INDEX deliveries_lane ON deliveries (tenant_id, endpoint_id, conversion_id, sequence, kind) WHERE conversion_id IS NOT NULL;
CREATE INDEX deliveries_conversion ON deliveries (tenant_id, conversion_id) WHERE conversion_id IS NOT NULL;
CREATE INDEX deliveries_tenant ON deliveries (tenant_id, id);
ALTER TABLE delivery_attempts DROP COLUMN url;
ALTER TABLE deliveries DROP COLUMN is_test;
ALTER TABLE deliveries NO FORCE ROW LEVEL SECURITY;
ALTER TABLE delivery_attempts NO FORCE ROW LEVEL SECURITY;
DELETE FROM delivery_attempts WHERE delivery_id IN (SELECT id FROM deliveries WHERE kind = 'partner');
DELETE FROM deliveries WHERE kind = 'partner';
ALTER TABLE deliveries FORCE ROW LEVEL SECURITY;
ALTER TABLE delivery_attempts FORCE ROW LEVEL SECURITY;
ALTER TABLE deliveries DROP CONSTRAINT deliveries_kind_check;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_kind_check CHECK (kind IN ('callback', 'test', 'partner_postback', 'email'));
DROP TABLE partner_postbacks;
