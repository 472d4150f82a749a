-- +goose Up
-- The offer wall: what members were shown, and what orders it.

-- A member looked at an offer's details. A click names its view, so that views and clicks can be put
-- side by side; who looked is the publisher's alone.
CREATE TABLE offer_views (
  tenant_id     uuid NOT NULL,
  -- A UUIDv7 that we minted.
  id            uuid NOT NULL UNIQUE,
  offer_id      uuid NOT NULL,
  pub_member_id text NOT NULL,
  placement_id  uuid,
  -- What the publisher said of the member that targeting judges, as the query of an address (rule 45).
  params        text NOT NULL DEFAULT '',
  created_at    timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, offer_id) REFERENCES offer_access,
  FOREIGN KEY (tenant_id, placement_id) REFERENCES placements
);
CREATE INDEX offer_views_created_at ON offer_views (created_at);
SELECT offerflow_secure('offer_views', 'SELECT, INSERT');
GRANT DELETE ON offer_views TO offerflow_system;
CREATE POLICY only_old ON offer_views AS RESTRICTIVE FOR DELETE TO offerflow_system USING (created_at < now() - interval '60 days');

-- What an offer brought its tenant of late, from which its EPC is (rule 43); of a shared one the
-- publisher, since the advertiser pays for it. It is derived: a schedule computes it from what reports read.
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
-- When an offer last brought anything, however long ago.
CREATE INDEX conversion_rollups_revenue ON conversion_rollups (tenant_id, offer_id, bucket) WHERE revenue_micros > 0;

-- Comparisons that found both books equal say nothing any more once they are old (rule 61).
CREATE INDEX reconciliations_equal ON reconciliations (at) WHERE found = 0;
GRANT DELETE ON reconciliations TO offerflow_system;
CREATE POLICY only_old ON reconciliations AS RESTRICTIVE FOR DELETE TO offerflow_system USING (found = 0 AND at < now() - interval '60 days');

-- An ask stands until the conversion moves, and is made once (rule 58). Those from before say nothing of it.
ALTER TABLE conversion_requests ADD COLUMN sequence bigint NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX conversion_requests_once ON conversion_requests (partnership_id, conversion_id, action, sequence) WHERE sequence > 0;

-- +goose Down
DROP INDEX conversion_requests_once;
ALTER TABLE conversion_requests DROP COLUMN sequence;
DROP POLICY only_old ON reconciliations;
REVOKE DELETE ON reconciliations FROM offerflow_system;
DROP INDEX reconciliations_equal;
DROP INDEX conversion_rollups_revenue;
DROP TABLE offer_earnings;
DROP TABLE offer_views;
