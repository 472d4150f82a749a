-- +goose Up
-- What partners are paid (rules 39, 40, 68), and why a conversion paid what it did (rule 24).

-- A tier's figures stand on the offers' events, by its id.
CREATE TABLE partner_tiers (
  tenant_id  uuid NOT NULL REFERENCES tenants,
  id         uuid NOT NULL,
  name       text NOT NULL CHECK (name <> ''),
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
SELECT offerflow_secure('partner_tiers', 'SELECT, INSERT, UPDATE');
ALTER TABLE partners ADD FOREIGN KEY (tenant_id, tier_id) REFERENCES partner_tiers;

CREATE TABLE payout_structures (
  tenant_id  uuid NOT NULL REFERENCES tenants,
  id         uuid NOT NULL,
  version    bigint NOT NULL CHECK (version >= 1),
  name       text NOT NULL CHECK (name <> ''),
  -- Rules and default, as the domain reads them.
  document   jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
SELECT offerflow_secure('payout_structures', 'SELECT, INSERT, UPDATE');

-- What one partner gets for one event. Each change is a row of its own with its own start: what was
-- received before the start goes by the version before (rule 68).
CREATE TABLE partner_payouts (
  tenant_id      uuid NOT NULL,
  id             uuid NOT NULL,
  version        bigint NOT NULL CHECK (version >= 1),
  partner_id     uuid NOT NULL,
  offer_id       uuid NOT NULL,
  event_id       uuid NOT NULL,
  flat_micros    bigint CHECK (flat_micros >= 0),
  percent_micros bigint CHECK (percent_micros BETWEEN 0 AND 100000000),
  -- From its start on there is no custom payout.
  is_deleted     boolean NOT NULL DEFAULT false,
  starts_at      timestamptz NOT NULL,
  created_at     timestamptz NOT NULL,
  created_by     text NOT NULL,
  PRIMARY KEY (tenant_id, id, version),
  -- One chain of versions for each partner and event.
  UNIQUE (tenant_id, partner_id, event_id, version),
  FOREIGN KEY (tenant_id, partner_id) REFERENCES partners,
  CHECK (is_deleted OR flat_micros IS NOT NULL OR percent_micros IS NOT NULL),
  CHECK (starts_at >= created_at)
);
SELECT offerflow_secure('partner_payouts', 'SELECT, INSERT');
CREATE INDEX partner_payouts_offer ON partner_payouts (tenant_id, partner_id, offer_id);
CREATE INDEX partner_payouts_event ON partner_payouts (tenant_id, event_id);

-- The rules that gave revenue and payout, frozen; NULL where the click has no partner.
ALTER TABLE conversions ADD COLUMN revenue_rule jsonb, ADD COLUMN payout_rule jsonb;
-- Before there were such rules the event's own figures were paid, and nothing for a private goal. Row-level
-- security holds for a table's owner too, hence the role.
SET LOCAL ROLE offerflow_system;
UPDATE conversions c SET
  revenue_rule = jsonb_strip_nulls(jsonb_build_object('kind', 'event', 'id', c.event_id, 'name', e->>'name', 'version', c.offer_version,
    CASE v.document->>'conversionType' WHEN 'FlatRate' THEN 'flat' ELSE 'percent' END, CASE WHEN (e->>'hasRevenue')::boolean THEN e->'revenue' END)),
  payout_rule = jsonb_strip_nulls(jsonb_build_object('kind', CASE WHEN (e->>'isPrivate')::boolean THEN 'private' ELSE 'event' END,
    'id', c.event_id, 'name', e->>'name', 'version', c.offer_version,
    CASE v.document->>'conversionType' WHEN 'FlatRate' THEN 'flat' ELSE 'percent' END,
    CASE WHEN NOT (e->>'isPrivate')::boolean THEN e->'payout' END))
FROM offer_versions v, jsonb_array_elements(v.document->'events') e
WHERE c.partner_id IS NOT NULL AND v.offer_id = c.offer_id AND v.version = c.offer_version AND (e->>'id')::uuid = c.event_id;
RESET ROLE;
-- What a partner's own list reads.
CREATE INDEX conversions_partner ON conversions (tenant_id, partner_id, user_completed_at, id) WHERE partner_id IS NOT NULL;
CREATE INDEX links_partner ON links (tenant_id, partner_id, offer_id) WHERE partner_id IS NOT NULL;

-- +goose Down
DROP INDEX links_partner, conversions_partner;
ALTER TABLE conversions DROP COLUMN revenue_rule, DROP COLUMN payout_rule;
DROP TABLE partner_payouts, payout_structures;
ALTER TABLE partners DROP CONSTRAINT partners_tenant_id_tier_id_fkey;
DROP TABLE partner_tiers;
