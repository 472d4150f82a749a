-- +goose Up
-- The foundation: two roles that own nothing, tenants, and row-level security that fails closed.
-- Every table with a tenant_id goes through offerflow_secure(), which forces row-level security;
-- TestEveryTenantTableIsForced fails for a table that was forgotten.

CREATE EXTENSION IF NOT EXISTS btree_gin;

-- +goose StatementBegin
DO $$
BEGIN
  -- Roles belong to the whole server: several databases may be migrated at the same time.
  PERFORM pg_advisory_xact_lock(hashtext('offerflow roles'));
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'offerflow_app') THEN
    CREATE ROLE offerflow_app NOLOGIN NOBYPASSRLS;
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'offerflow_system') THEN
    CREATE ROLE offerflow_system NOLOGIN NOBYPASSRLS;
  END IF;
  EXECUTE format('GRANT offerflow_app, offerflow_system TO %I', current_user);
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
-- +goose StatementEnd

GRANT USAGE ON SCHEMA public TO offerflow_app, offerflow_system;

-- After one set_config(…, true) an unset setting reads '' and not NULL, hence NULLIF.
CREATE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
  $$ SELECT NULLIF(current_setting('offerflow.tenant', true), '')::uuid $$;

-- +goose StatementBegin
CREATE FUNCTION offerflow_secure(target regclass, writes text DEFAULT 'SELECT, INSERT, UPDATE, DELETE') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
  EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
  EXECUTE format('CREATE POLICY tenant ON %s TO offerflow_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', target);
  EXECUTE format('CREATE POLICY system ON %s TO offerflow_system USING (true) WITH CHECK (true)', target);
  EXECUTE format('GRANT %s ON %s TO offerflow_app, offerflow_system', writes, target);
END $$;
-- +goose StatementEnd

-- The smallest UUIDv7 of an instant: the bound of a time partition whose key is a UUIDv7.
CREATE FUNCTION uuid_v7_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid $$;

-- Makes the monthly partitions of one table, keyed by UUIDv7, from this month on. Rows outside
-- them go to the default partition, so that a late schedule loses nothing.
-- +goose StatementBegin
CREATE FUNCTION offerflow_ensure_partitions(parent text, months int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
  first timestamptz;
  made int := 0;
BEGIN
  IF parent NOT IN ('clicks', 'postbacks') THEN
    RAISE EXCEPTION 'not a partitioned table: %', parent;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('offerflow partitions'));
  FOR i IN 0..months LOOP
    first := date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + make_interval(months => i);
    IF to_regclass(format('%I', parent || to_char(first AT TIME ZONE 'UTC', '_YYYY_MM'))) IS NULL THEN
      EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
        parent || to_char(first AT TIME ZONE 'UTC', '_YYYY_MM'), parent,
        uuid_v7_floor(first), uuid_v7_floor(first + interval '1 month'));
      made := made + 1;
    END IF;
  END LOOP;
  RETURN made;
END $$;
-- +goose StatementEnd

CREATE TABLE tenants (
  tenant_id           uuid PRIMARY KEY,
  name                text NOT NULL CHECK (name <> ''),
  product             text NOT NULL CHECK (product IN ('publisher', 'aff-network', 'advertiser')),
  email               text NOT NULL,
  currency            text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  timezone            text NOT NULL,
  -- A new zone starts at its next local midnight; until then the old one counts.
  next_timezone       text,
  next_timezone_at    timestamptz,
  -- Points per currency unit, for useDefaultRatio (rule 36).
  reward_ratio_micros bigint CHECK (reward_ratio_micros >= 0),
  fallback_url        text NOT NULL DEFAULT '',
  goals_enabled       boolean NOT NULL DEFAULT true,
  fraud_checks        jsonb NOT NULL DEFAULT '{}',
  version             bigint NOT NULL DEFAULT 1,
  created_at          timestamptz NOT NULL
);
SELECT offerflow_secure('tenants');

CREATE TABLE advertisers (
  tenant_id              uuid NOT NULL REFERENCES tenants,
  id                     uuid NOT NULL,
  -- The public part of the advertiser's postback address, /track/{key}.
  key                    text NOT NULL UNIQUE,
  name                   text NOT NULL CHECK (name <> ''),
  email                  text NOT NULL DEFAULT '',
  -- Keyed hash of the token; the token itself is never stored (rule 67).
  security_token_hash    text,
  signing_secret_sealed  text,
  ip_allowlist           text[] NOT NULL DEFAULT '{}',
  created_at             timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
SELECT offerflow_secure('advertisers');

CREATE TABLE partners (
  tenant_id    uuid NOT NULL REFERENCES tenants,
  id           uuid NOT NULL,
  name         text NOT NULL CHECK (name <> ''),
  email        text NOT NULL DEFAULT '',
  status       text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'blocked')),
  daily_cap    bigint CHECK (daily_cap >= 1),
  weekly_cap   bigint CHECK (weekly_cap >= 1),
  monthly_cap  bigint CHECK (monthly_cap >= 1),
  all_time_cap bigint CHECK (all_time_cap >= 1),
  fallback_url text NOT NULL DEFAULT '',
  tier_id      uuid,
  created_at   timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
SELECT offerflow_secure('partners');

CREATE TABLE placements (
  tenant_id  uuid NOT NULL REFERENCES tenants,
  id         uuid NOT NULL,
  name       text NOT NULL CHECK (name <> ''),
  theme      jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
SELECT offerflow_secure('placements');

-- What a tenant adds to the built-in age ranges and categories.
CREATE TABLE ages (
  tenant_id uuid NOT NULL REFERENCES tenants,
  id        uuid NOT NULL,
  name      text NOT NULL,
  min_age   int CHECK (min_age BETWEEN 0 AND 150),
  max_age   int CHECK (max_age BETWEEN 0 AND 150),
  PRIMARY KEY (tenant_id, id),
  CHECK (min_age <= max_age)
);
SELECT offerflow_secure('ages');

CREATE TABLE categories (
  tenant_id uuid NOT NULL REFERENCES tenants,
  id        uuid NOT NULL,
  name      text NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
SELECT offerflow_secure('categories');

CREATE TABLE api_tokens (
  tenant_id     uuid NOT NULL REFERENCES tenants,
  id            uuid NOT NULL,
  name          text NOT NULL,
  scope         text NOT NULL CHECK (scope IN ('management', 'finance', 'readonly', 'partner', 'advertiser')),
  -- Keyed hash; the token is shown once and never stored.
  token_hash    text NOT NULL UNIQUE,
  partner_id    uuid,
  advertiser_id uuid,
  expires_at    timestamptz,
  created_at    timestamptz NOT NULL,
  revoked_at    timestamptz,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, partner_id) REFERENCES partners,
  FOREIGN KEY (tenant_id, advertiser_id) REFERENCES advertisers,
  CHECK ((scope = 'partner') = (partner_id IS NOT NULL)),
  CHECK ((scope = 'advertiser') = (advertiser_id IS NOT NULL))
);
SELECT offerflow_secure('api_tokens');

-- Answers of POSTs that carried an Idempotency-Key. The operator's live under the zero tenant.
CREATE TABLE idempotency_keys (
  tenant_id    uuid NOT NULL,
  key          text NOT NULL,
  route        text NOT NULL,
  request_hash bytea NOT NULL,
  -- NULL while the first request is still being answered.
  status_code  int,
  -- Sealed: an answer may show a secret once.
  answer       text,
  created_at   timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, key, route)
);
SELECT offerflow_secure('idempotency_keys');
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

CREATE TABLE audit_log (
  tenant_id uuid NOT NULL,
  id        uuid NOT NULL,
  at        timestamptz NOT NULL,
  actor     text NOT NULL,
  action    text NOT NULL,
  noun      text NOT NULL,
  noun_id   text NOT NULL,
  before    jsonb,
  after     jsonb,
  PRIMARY KEY (tenant_id, id)
);
SELECT offerflow_secure('audit_log', 'SELECT, INSERT');
CREATE INDEX audit_log_noun ON audit_log (tenant_id, noun, noun_id, id);

-- +goose Down
DROP TABLE audit_log, idempotency_keys, api_tokens, categories, ages, placements, partners, advertisers, tenants;
DROP FUNCTION offerflow_ensure_partitions, uuid_v7_floor, offerflow_secure, current_tenant;
