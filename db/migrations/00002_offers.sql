-- +goose Up
-- Offers. The document is kept whole, as the domain reads it; only what is filtered or joined on
-- has a column of its own. Each version is kept: order and timing rules are those of the version
-- at the click.

CREATE TABLE offers (
  tenant_id     uuid NOT NULL REFERENCES tenants,
  id            uuid NOT NULL PRIMARY KEY,
  advertiser_id uuid NOT NULL,
  version       bigint NOT NULL CHECK (version >= 1),
  name          text NOT NULL,
  offer_type    text NOT NULL,
  is_paused     boolean NOT NULL,
  launch_at     timestamptz NOT NULL,
  expires_at    timestamptz,
  created_at    timestamptz NOT NULL,
  updated_at    timestamptz NOT NULL,
  FOREIGN KEY (tenant_id, advertiser_id) REFERENCES advertisers,
  UNIQUE (id, tenant_id)
);

-- The key by which a tenant reaches an offer: its owner's, and later each side's of a shared one.
CREATE TABLE offer_access (
  tenant_id  uuid NOT NULL REFERENCES tenants,
  offer_id   uuid NOT NULL REFERENCES offers,
  side       text NOT NULL CHECK (side IN ('owner', 'advertiser', 'publisher')),
  created_at timestamptz NOT NULL,
  -- An owner's key fits its own offer only; foreign keys are checked whatever a role may see.
  owner_id   uuid GENERATED ALWAYS AS (CASE WHEN side = 'owner' THEN tenant_id END) STORED,
  PRIMARY KEY (tenant_id, offer_id),
  FOREIGN KEY (offer_id, owner_id) REFERENCES offers (id, tenant_id)
);
ALTER TABLE offer_access ENABLE ROW LEVEL SECURITY;
ALTER TABLE offer_access FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON offer_access TO offerflow_app USING (tenant_id = current_tenant())
  WITH CHECK (tenant_id = current_tenant() AND side = 'owner');
CREATE POLICY system ON offer_access TO offerflow_system USING (true) WITH CHECK (true);
-- A tenant makes a key to what it owns; the other keys are the system's to make.
GRANT SELECT, INSERT ON offer_access TO offerflow_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON offer_access TO offerflow_system;

ALTER TABLE offers ENABLE ROW LEVEL SECURITY;
ALTER TABLE offers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON offers TO offerflow_app
  USING (EXISTS (SELECT 1 FROM offer_access a WHERE a.tenant_id = current_tenant() AND a.offer_id = offers.id))
  WITH CHECK (tenant_id = current_tenant() OR EXISTS (SELECT 1 FROM offer_access a WHERE a.tenant_id = current_tenant() AND a.offer_id = offers.id));
CREATE POLICY system ON offers TO offerflow_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON offers TO offerflow_app, offerflow_system;
-- All but its identity: an offer never changes hands.
GRANT UPDATE (advertiser_id, version, name, offer_type, is_paused, launch_at, expires_at, updated_at) ON offers TO offerflow_app, offerflow_system;

CREATE TABLE offer_versions (
  tenant_id  uuid NOT NULL,
  offer_id   uuid NOT NULL REFERENCES offers,
  version    bigint NOT NULL,
  document   jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  created_by text NOT NULL,
  PRIMARY KEY (offer_id, version)
);
ALTER TABLE offer_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE offer_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON offer_versions TO offerflow_app
  USING (EXISTS (SELECT 1 FROM offer_access a WHERE a.tenant_id = current_tenant() AND a.offer_id = offer_versions.offer_id))
  WITH CHECK (EXISTS (SELECT 1 FROM offer_access a WHERE a.tenant_id = current_tenant() AND a.offer_id = offer_versions.offer_id));
CREATE POLICY system ON offer_versions TO offerflow_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON offer_versions TO offerflow_app, offerflow_system;

-- Which offer an event belongs to: counters and the uniqueness of conversions go by the event's id,
-- which clients may choose.
CREATE TABLE offer_events (
  tenant_id uuid NOT NULL REFERENCES tenants,
  id        uuid NOT NULL,
  offer_id  uuid NOT NULL REFERENCES offers,
  PRIMARY KEY (tenant_id, id)
);
SELECT offerflow_secure('offer_events', 'SELECT, INSERT');

CREATE TABLE links (
  tenant_id      uuid NOT NULL,
  id             uuid NOT NULL PRIMARY KEY,
  offer_id       uuid NOT NULL,
  partner_id     uuid,
  placement_id   uuid,
  creative_order int,
  -- The offer's own link, made with the offer.
  is_default     boolean NOT NULL DEFAULT false,
  created_at     timestamptz NOT NULL,
  FOREIGN KEY (tenant_id, offer_id) REFERENCES offer_access,
  FOREIGN KEY (tenant_id, partner_id) REFERENCES partners,
  FOREIGN KEY (tenant_id, placement_id) REFERENCES placements
);
SELECT offerflow_secure('links', 'SELECT, INSERT');
CREATE UNIQUE INDEX links_default ON links (tenant_id, offer_id) WHERE is_default;
-- The same link is not made twice: equal requests get the same one.
CREATE UNIQUE INDEX links_same ON links (tenant_id, offer_id,
  coalesce(partner_id, '00000000-0000-0000-0000-000000000000'),
  coalesce(placement_id, '00000000-0000-0000-0000-000000000000'), coalesce(creative_order, -1)) WHERE NOT is_default;

-- Exact counters of caps and budgets (rules 28 to 34): only those that are set have rows. value is
-- a number of live conversions, or for the budget their revenue in micros.
CREATE TABLE cap_counters (
  tenant_id    uuid NOT NULL,
  scope        text NOT NULL CHECK (scope IN ('event', 'partner', 'budget')),
  scope_id     uuid NOT NULL,
  period       text NOT NULL CHECK (period IN ('day', 'week', 'month', 'total')),
  -- First day of the period in the tenant's calendar; the epoch for total.
  period_start date NOT NULL,
  value        bigint NOT NULL CHECK (value >= 0),
  PRIMARY KEY (tenant_id, scope, scope_id, period, period_start)
) WITH (fillfactor = 50);
SELECT offerflow_secure('cap_counters');

-- +goose Down
DROP TABLE cap_counters, links, offer_events, offer_versions, offer_access, offers;
