-- +goose Up
-- Reports. Rollups are sums of the raw rows of one quarter of an hour: every zone's day begins at one.
--
-- Whatever changes raw rows leaves a mark in the same transaction. Whoever recomputes a bucket takes
-- its marks and replaces its rollups in one transaction too. So in every snapshot a bucket without a
-- mark equals its raw rows, and a report reads the marked ones raw: no delay, crash or redelivery
-- makes it wrong (invariant 9). Marks are only ever added beside each other, never merged, so that
-- two decisions do not wait for each other.

CREATE TABLE rollup_marks (
  tenant_id uuid NOT NULL,
  offer_id  uuid NOT NULL,
  bucket    timestamptz NOT NULL,
  -- Whether the bucket's clicks changed, or its conversions.
  clicks    boolean NOT NULL
);
SELECT offerflow_secure('rollup_marks');
CREATE INDEX rollup_marks_bucket ON rollup_marks (tenant_id, clicks, bucket, offer_id);

CREATE TABLE click_rollups (
  tenant_id      uuid NOT NULL,
  offer_id       uuid NOT NULL,
  bucket         timestamptz NOT NULL,
  advertiser_id  uuid NOT NULL,
  partner_id     uuid,
  placement_id   uuid,
  creative_order int,
  country        text NOT NULL,
  device         text NOT NULL,
  clicks         bigint NOT NULL,
  refused        bigint NOT NULL,
  -- Who clicked, each once: a visitor of several buckets is one in their report.
  visitors       bigint[] NOT NULL,
  UNIQUE NULLS NOT DISTINCT (tenant_id, bucket, offer_id, advertiser_id, partner_id, placement_id, creative_order, country, device)
);
SELECT offerflow_secure('click_rollups');

CREATE TABLE conversion_rollups (
  tenant_id              uuid NOT NULL,
  offer_id               uuid NOT NULL,
  bucket                 timestamptz NOT NULL,
  advertiser_id          uuid NOT NULL,
  partner_id             uuid,
  placement_id           uuid,
  creative_order         int,
  country                text NOT NULL,
  device                 text NOT NULL,
  event_id               uuid NOT NULL,
  currency               text NOT NULL,
  pending                bigint NOT NULL,
  success                bigint NOT NULL,
  rejected               bigint NOT NULL,
  revenue_micros         bigint NOT NULL,
  payout_micros          bigint NOT NULL,
  reward_micros          bigint NOT NULL,
  pending_revenue_micros bigint NOT NULL,
  pending_payout_micros  bigint NOT NULL,
  pending_reward_micros  bigint NOT NULL,
  UNIQUE NULLS NOT DISTINCT (tenant_id, bucket, offer_id, advertiser_id, partner_id, placement_id, creative_order, country, device, event_id, currency)
);
SELECT offerflow_secure('conversion_rollups');

-- A bucket is read by tenant, offer and time of receipt; clicks by clicks_offer.
CREATE INDEX conversions_received ON conversions (tenant_id, offer_id, received_at);

-- The quarter of an hour that begins at or before an instant.
CREATE FUNCTION rollup_bucket(at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT date_bin('15 minutes', at, '2000-01-01 00:00:00+00') $$;

-- That of a click: its id is the millisecond at which it was minted.
CREATE FUNCTION rollup_bucket(click uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT to_timestamp(('x' || left(replace(click::text, '-', ''), 12))::bit(48)::bigint / 900000 * 900) $$;

-- The clicks that reports count, of one offer from one id (inclusive, of uuid_v7_floor) to another: the
-- one place that says which and under what. Test clicks are left out. The country is the address's,
-- else the publisher's claim. A visitor is one per offer: the member, else address and browser.
-- Both functions are inlined. Their bounds must be columns or parameters: under row-level security an
-- expression that could fail is no bound of an index. OFFSET 0 keeps the planner to one scan of the
-- index per bucket: a join by ranges of ids it takes for a small one, and is quadratic.
CREATE FUNCTION reported_clicks(tenant uuid, offer uuid, since uuid, until uuid)
RETURNS TABLE (offer_id uuid, bucket timestamptz, advertiser_id uuid, partner_id uuid, placement_id uuid, creative_order int,
  country text, device text, pub_subs text[], clicks bigint, refused bigint, visitor bigint)
LANGUAGE sql STABLE AS $$
  SELECT c.offer_id, rollup_bucket(c.id), c.advertiser_id, c.partner_id, c.placement_id, c.creative_order,
    CASE WHEN c.country <> '' THEN c.country WHEN c.pub_geo_country ~ '^[A-Za-z]{2}$' THEN upper(c.pub_geo_country) ELSE '' END,
    c.device, c.pub_subs,
    CASE WHEN c.refused_reason = '' THEN 1 ELSE 0 END::bigint, CASE WHEN c.refused_reason = '' THEN 0 ELSE 1 END::bigint,
    CASE WHEN c.refused_reason = '' THEN hashtextextended(c.offer_id::text || coalesce('m' || c.pub_member_id, 'a' || c.ip || ' ' || c.user_agent), 0) END
  FROM clicks c
  WHERE c.tenant_id = tenant AND c.offer_id = offer AND c.id >= since AND c.id < until AND NOT c.is_test
  OFFSET 0
$$;

-- The conversions that reports count, of one offer by their time of receipt, each under its click's
-- circumstances: the one place that says which. Tests are left out. What requires approval is outside
-- until a person approves it (rule 64), by the offer's version that decided it.
CREATE FUNCTION reported_conversions(tenant uuid, offer uuid, since timestamptz, until timestamptz)
RETURNS TABLE (offer_id uuid, bucket timestamptz, advertiser_id uuid, partner_id uuid, placement_id uuid, creative_order int,
  country text, device text, pub_subs text[], event_id uuid, currency text, status text, revenue_micros bigint, payout_micros bigint, reward_micros bigint)
LANGUAGE sql STABLE AS $$
  SELECT v.offer_id, rollup_bucket(v.received_at), v.advertiser_id, v.partner_id, c.placement_id, c.creative_order,
    CASE WHEN c.country <> '' THEN c.country WHEN c.pub_geo_country ~ '^[A-Za-z]{2}$' THEN upper(c.pub_geo_country) ELSE '' END,
    coalesce(c.device, ''), coalesce(c.pub_subs, '{}'), v.event_id, v.currency, v.status, v.revenue_micros, v.payout_micros, v.reward_micros
  FROM conversions v LEFT JOIN clicks c ON c.tenant_id = v.tenant_id AND c.id = v.click_id
  WHERE v.tenant_id = tenant AND v.offer_id = offer AND v.received_at >= since AND v.received_at < until AND NOT v.is_test
    AND NOT ((v.status = 'Pending' OR v.rejection_reason = 'manual') AND EXISTS (
      SELECT 1 FROM offer_versions o, jsonb_array_elements(o.document->'events') e
      WHERE o.offer_id = v.offer_id AND o.version = v.offer_version AND e->>'id' = v.event_id::text AND (e->>'requiresApproval')::boolean))
  OFFSET 0
$$;

-- A click's row never changes. Old clicks may be let go of, without a mark: their rollups stay.
-- +goose StatementBegin
CREATE FUNCTION rollup_mark_clicks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO rollup_marks (tenant_id, offer_id, bucket, clicks)
    SELECT DISTINCT c.tenant_id, c.offer_id, rollup_bucket(c.id), true FROM added c;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER rollup_mark AFTER INSERT ON clicks REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION rollup_mark_clicks();

-- A conversion's offer and time of receipt never change.
-- +goose StatementBegin
CREATE FUNCTION rollup_mark_conversion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO rollup_marks (tenant_id, offer_id, bucket, clicks) VALUES (NEW.tenant_id, NEW.offer_id, rollup_bucket(NEW.received_at), false);
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER rollup_mark AFTER INSERT OR UPDATE ON conversions FOR EACH ROW EXECUTE FUNCTION rollup_mark_conversion();

-- What was there before: by a role that row-level security shows all tenants.
SET LOCAL ROLE offerflow_system;
INSERT INTO rollup_marks SELECT DISTINCT tenant_id, offer_id, rollup_bucket(id), true FROM clicks;
INSERT INTO rollup_marks SELECT DISTINCT tenant_id, offer_id, rollup_bucket(received_at), false FROM conversions;
RESET ROLE;

-- +goose Down
DROP TRIGGER rollup_mark ON conversions;
DROP TRIGGER rollup_mark ON clicks;
DROP INDEX conversions_received;
DROP FUNCTION rollup_mark_conversion, rollup_mark_clicks, reported_conversions, reported_clicks, rollup_bucket(uuid), rollup_bucket(timestamptz);
DROP TABLE conversion_rollups, click_rollups, rollup_marks;
