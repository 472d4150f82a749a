-- +goose Up
-- The Exchange (rules 55 to 61): an advertiser and a publisher, two tenants, on one live offer.
--
-- A shared offer is one row of offers, the advertiser's, which offer_access opens to both sides. Each
-- side keeps a book of its own: a click on it is a row for the publisher, whole, and one for the
-- advertiser without the publisher's members' data; a conversion is decided in the advertiser's book
-- and copied to the publisher's under the same id. So tables that were keyed by id alone are keyed by
-- tenant besides.

-- How a tenant shows itself in the directory. Others read it through queries of the system role.
CREATE TABLE exchange_profiles (
  tenant_id   uuid PRIMARY KEY REFERENCES tenants,
  listed      boolean NOT NULL,
  description text NOT NULL DEFAULT '',
  -- The address that notices of edits go to; empty: the tenant's own.
  contact     text NOT NULL DEFAULT '',
  updated_at  timestamptz NOT NULL
);
SELECT offerflow_secure('exchange_profiles', 'SELECT, INSERT, UPDATE');

-- A partnership is one shared offer (rule 60). The system makes it, each side may end it.
CREATE TABLE partnerships (
  id                   uuid NOT NULL PRIMARY KEY,
  offer_id             uuid NOT NULL UNIQUE REFERENCES offers,
  -- What the shared offer was copied from.
  source_offer_id      uuid NOT NULL REFERENCES offers,
  -- The publisher's own link of the shared offer, for the advertiser to see.
  link_id              uuid REFERENCES links,
  advertiser_tenant_id uuid NOT NULL REFERENCES tenants,
  advertiser_name      text NOT NULL,
  publisher_tenant_id  uuid NOT NULL REFERENCES tenants,
  publisher_name       text NOT NULL,
  created_at           timestamptz NOT NULL,
  created_by           text NOT NULL,
  ended_at             timestamptz,
  ended_by             text NOT NULL DEFAULT '',
  ended_side           text NOT NULL DEFAULT '' CHECK (ended_side IN ('', 'advertiser', 'publisher')),
  end_reason           text NOT NULL DEFAULT '',
  CHECK (advertiser_tenant_id <> publisher_tenant_id),
  CHECK ((ended_at IS NULL) = (ended_side = ''))
);
-- An offer is shared with a publisher once at a time.
CREATE UNIQUE INDEX partnerships_live ON partnerships (source_offer_id, publisher_tenant_id) WHERE ended_at IS NULL;
CREATE INDEX partnerships_advertiser ON partnerships (advertiser_tenant_id, id);
CREATE INDEX partnerships_publisher ON partnerships (publisher_tenant_id, id);
ALTER TABLE partnerships ENABLE ROW LEVEL SECURITY;
ALTER TABLE partnerships FORCE ROW LEVEL SECURITY;
-- Who ends it ends it as the side that it is.
CREATE POLICY tenant ON partnerships TO offerflow_app USING (current_tenant() IN (advertiser_tenant_id, publisher_tenant_id))
  WITH CHECK (current_tenant() = CASE ended_side WHEN 'advertiser' THEN advertiser_tenant_id WHEN 'publisher' THEN publisher_tenant_id END);
CREATE POLICY system ON partnerships TO offerflow_system USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (ended_at, ended_by, ended_side, end_reason) ON partnerships TO offerflow_app;
GRANT SELECT, INSERT, UPDATE ON partnerships TO offerflow_system;

-- One entry per changed field of an edit, the same for both sides (rule 56). Nothing changes it.
CREATE TABLE offer_changes (
  offer_id uuid NOT NULL REFERENCES offers,
  -- The version that the edit made.
  version  bigint NOT NULL,
  -- As the offer document names it; an event's is offerEvents[<event's id>].<name>.
  field    text NOT NULL,
  -- NULL where there was nothing, or is nothing any more.
  old      jsonb,
  new      jsonb,
  at       timestamptz NOT NULL,
  by       text NOT NULL,
  side     text NOT NULL CHECK (side IN ('advertiser', 'publisher')),
  PRIMARY KEY (offer_id, version, field)
);
ALTER TABLE offer_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE offer_changes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON offer_changes TO offerflow_app
  USING (EXISTS (SELECT 1 FROM offer_access a WHERE a.tenant_id = current_tenant() AND a.offer_id = offer_changes.offer_id))
  WITH CHECK (EXISTS (SELECT 1 FROM offer_access a WHERE a.tenant_id = current_tenant() AND a.offer_id = offer_changes.offer_id AND a.side = offer_changes.side));
CREATE POLICY system ON offer_changes TO offerflow_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON offer_changes TO offerflow_app, offerflow_system;

-- What a comparison of both books found (rule 61). The system writes it, both sides read it.
CREATE TABLE reconciliations (
  partnership_id uuid NOT NULL REFERENCES partnerships,
  id             uuid NOT NULL,
  at             timestamptz NOT NULL,
  -- The days that were compared, inclusive, in the advertiser's time zone.
  from_day       date NOT NULL,
  to_day         date NOT NULL,
  -- Counts and sums by day and status, of both books, as found.
  days           jsonb NOT NULL,
  -- The conversions that differed, how, and whether replaying the sync mended them.
  differences    jsonb NOT NULL,
  found          int NOT NULL,
  repaired       int NOT NULL,
  PRIMARY KEY (partnership_id, id),
  CHECK (repaired <= found)
);
ALTER TABLE reconciliations ENABLE ROW LEVEL SECURITY;
ALTER TABLE reconciliations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON reconciliations TO offerflow_app USING (EXISTS (SELECT 1 FROM partnerships p
  WHERE p.id = reconciliations.partnership_id AND current_tenant() IN (p.advertiser_tenant_id, p.publisher_tenant_id)));
CREATE POLICY system ON reconciliations TO offerflow_system USING (true) WITH CHECK (true);
GRANT SELECT ON reconciliations TO offerflow_app;
GRANT SELECT, INSERT ON reconciliations TO offerflow_system;
CREATE INDEX reconciliations_at ON reconciliations (partnership_id, at);

-- What a book says of a conversion besides its row: where its transitions lead, all of them as one
-- text, and what is booked of it by account.
CREATE FUNCTION book_of(tenant uuid, conversion uuid)
RETURNS TABLE (steps bigint, newest bigint, status text, reason text, trail text, booked jsonb) LANGUAGE sql STABLE AS $$
  SELECT count(*), max(t.sequence), (array_agg(t.to_status ORDER BY t.sequence DESC))[1], (array_agg(t.reason ORDER BY t.sequence DESC))[1],
    string_agg(concat_ws(' ', t.sequence, t.from_status, t.to_status, t.reason, t.at, t.note, t.figures_before->>'revenue', t.figures_after->>'revenue'), ', ' ORDER BY t.sequence),
    (SELECT coalesce(jsonb_object_agg(b.account, b.total), '{}') FROM (
      SELECT e.account, sum(e.amount_micros) AS total FROM ledger_transactions l
      JOIN ledger_entries e ON e.tenant_id = l.tenant_id AND e.transaction_id = l.id
      WHERE l.tenant_id = tenant AND l.conversion_id = conversion GROUP BY e.account HAVING sum(e.amount_micros) <> 0) b)
  FROM transitions t WHERE t.tenant_id = tenant AND t.conversion_id = conversion
$$;

-- The publisher's entry for an advertiser that shares with it: the same id in the other tenant. It has
-- no address of its own to post to: the advertiser posts under its own.
ALTER TABLE advertisers ADD COLUMN exchange_tenant_id uuid REFERENCES tenants;
-- An edit may give the shared offer another advertiser of its owner's: the publisher gets an entry for
-- that one too, in the same transaction.
CREATE POLICY exchange ON advertisers FOR INSERT TO offerflow_app
  WITH CHECK (exchange_tenant_id = current_tenant() AND EXISTS (SELECT 1 FROM partnerships p
    WHERE p.advertiser_tenant_id = current_tenant() AND p.publisher_tenant_id = advertisers.tenant_id));

-- Either side may add an event to the shared offer; its id is taken for both.
DROP POLICY tenant ON offer_events;
CREATE POLICY tenant ON offer_events TO offerflow_app USING (tenant_id = current_tenant())
  WITH CHECK (tenant_id = current_tenant() OR EXISTS (SELECT 1 FROM partnerships p WHERE p.offer_id = offer_events.offer_id
    AND offer_events.tenant_id IN (p.advertiser_tenant_id, p.publisher_tenant_id)
    AND current_tenant() IN (p.advertiser_tenant_id, p.publisher_tenant_id)));

-- Whose row it is: 'owner' of an offer that is not shared; 'publisher' the copy of what the
-- 'advertiser' decides. Only owner's and advertiser's rows are decided, counted and reviewed.
ALTER TABLE clicks ADD COLUMN side text NOT NULL DEFAULT 'owner' CHECK (side IN ('owner', 'advertiser', 'publisher'));
-- In the advertiser's row: a keyed hash that tells the publisher's members apart (rule 6) and
-- visitors in reports, and says nothing else about them. m: a member, a: an address and browser.
ALTER TABLE clicks ADD COLUMN member_key text NOT NULL DEFAULT '';
ALTER TABLE clicks DROP CONSTRAINT clicks_pkey;
ALTER TABLE clicks ADD PRIMARY KEY (id, tenant_id);

CREATE INDEX clicks_member_key ON clicks (tenant_id, member_key, id) WHERE member_key <> '';

ALTER TABLE conversions ADD COLUMN side text NOT NULL DEFAULT 'owner' CHECK (side IN ('owner', 'advertiser', 'publisher'));
-- NULL where no member is known; never a visitor's.
ALTER TABLE conversions ADD COLUMN member_key text;
ALTER TABLE conversions ADD CHECK (side <> 'publisher' OR NOT is_counted);
ALTER TABLE transitions DROP CONSTRAINT transitions_conversion_id_fkey;
ALTER TABLE conversions DROP CONSTRAINT conversions_pkey;
ALTER TABLE conversions ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE transitions ADD FOREIGN KEY (tenant_id, conversion_id) REFERENCES conversions;
-- Rule 6, also over members whom only the publisher knows by name.
DROP INDEX conversions_live_member;
CREATE UNIQUE INDEX conversions_live_member ON conversions (tenant_id, (coalesce(member_key, pub_member_id)), event_id)
  WHERE status <> 'Rejected' AND unique_per = 'member' AND coalesce(member_key, pub_member_id) IS NOT NULL;
-- What reconciliation reads, of both books.
CREATE INDEX conversions_shared ON conversions (offer_id, side, id) WHERE side <> 'owner';

-- What a review or upload moved of the advertiser's cost, which is never added to revenue.
ALTER TABLE jobs ADD COLUMN cost_micros bigint NOT NULL DEFAULT 0;

-- The visitors of a shared offer that an advertiser counts are told apart by the publisher's key, so
-- that both count as many.
CREATE OR REPLACE FUNCTION reported_clicks(tenant uuid, offer uuid, since uuid, until uuid)
RETURNS TABLE (offer_id uuid, bucket timestamptz, advertiser_id uuid, partner_id uuid, placement_id uuid, creative_order int,
  country text, device text, pub_subs text[], clicks bigint, refused bigint, visitor bigint)
LANGUAGE sql STABLE AS $$
  SELECT c.offer_id, rollup_bucket(c.id), c.advertiser_id, c.partner_id, c.placement_id, c.creative_order,
    CASE WHEN c.country <> '' THEN c.country WHEN c.pub_geo_country ~ '^[A-Za-z]{2}$' THEN upper(c.pub_geo_country) ELSE '' END,
    c.device, c.pub_subs,
    CASE WHEN c.refused_reason = '' THEN 1 ELSE 0 END::bigint, CASE WHEN c.refused_reason = '' THEN 0 ELSE 1 END::bigint,
    CASE WHEN c.refused_reason = '' THEN hashtextextended(c.offer_id::text || coalesce(nullif(c.member_key, ''), 'm' || c.pub_member_id, 'a' || c.ip || ' ' || c.user_agent), 0) END
  FROM clicks c
  WHERE c.tenant_id = tenant AND c.offer_id = offer AND c.id >= since AND c.id < until AND NOT c.is_test
  OFFSET 0
$$;

-- The advertiser's cost is an expense against what it owes the publisher (rule 58).
ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_account_check;
ALTER TABLE ledger_entries ADD CONSTRAINT ledger_entries_account_check CHECK (account IN ('advertiser_receivable', 'publisher_revenue',
  'payout_expense', 'partner_payable', 'reward_issued', 'member_points', 'advertising_expense', 'publisher_payable'));

-- What a publisher asks of the advertiser about a conversion (rule 58). It decides nothing.
CREATE TABLE conversion_requests (
  partnership_id uuid NOT NULL REFERENCES partnerships,
  id             uuid NOT NULL PRIMARY KEY,
  conversion_id  uuid NOT NULL,
  action         text NOT NULL CHECK (action IN ('approve', 'reject', 'reverse')),
  reason         text NOT NULL,
  at             timestamptz NOT NULL,
  by             text NOT NULL
);
CREATE INDEX conversion_requests_conversion ON conversion_requests (partnership_id, conversion_id, id);
ALTER TABLE conversion_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE conversion_requests FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON conversion_requests TO offerflow_app
  USING (EXISTS (SELECT 1 FROM partnerships p WHERE p.id = conversion_requests.partnership_id
    AND current_tenant() IN (p.advertiser_tenant_id, p.publisher_tenant_id)))
  WITH CHECK (EXISTS (SELECT 1 FROM partnerships p WHERE p.id = conversion_requests.partnership_id
    AND current_tenant() = p.publisher_tenant_id));
CREATE POLICY system ON conversion_requests TO offerflow_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON conversion_requests TO offerflow_app;
GRANT SELECT ON conversion_requests TO offerflow_system;

-- One email per edit of a partnership's offer: endpoint_id is the partnership, sequence the version;
-- and one per request: endpoint_id is the request, sequence 0.
CREATE UNIQUE INDEX deliveries_notice ON deliveries (tenant_id, endpoint_id, sequence) WHERE kind = 'email';

-- +goose Down
-- Only where nothing is shared: with two rows of one click or conversion the old keys cannot be made.
DROP INDEX deliveries_notice;
CREATE OR REPLACE FUNCTION reported_clicks(tenant uuid, offer uuid, since uuid, until uuid)
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
ALTER TABLE jobs DROP COLUMN cost_micros;
ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_account_check;
ALTER TABLE ledger_entries ADD CONSTRAINT ledger_entries_account_check CHECK (account IN ('advertiser_receivable', 'publisher_revenue',
  'payout_expense', 'partner_payable', 'reward_issued', 'member_points'));
DROP INDEX conversions_shared, conversions_live_member;
CREATE UNIQUE INDEX conversions_live_member ON conversions (tenant_id, pub_member_id, event_id)
  WHERE status <> 'Rejected' AND unique_per = 'member' AND pub_member_id IS NOT NULL;
ALTER TABLE transitions DROP CONSTRAINT transitions_tenant_id_conversion_id_fkey;
ALTER TABLE conversions DROP CONSTRAINT conversions_pkey;
ALTER TABLE conversions ADD PRIMARY KEY (id);
ALTER TABLE transitions ADD FOREIGN KEY (conversion_id) REFERENCES conversions;
ALTER TABLE conversions DROP COLUMN side, DROP COLUMN member_key;
ALTER TABLE clicks DROP CONSTRAINT clicks_pkey;
ALTER TABLE clicks ADD PRIMARY KEY (id);
DROP INDEX clicks_member_key;
ALTER TABLE clicks DROP COLUMN side, DROP COLUMN member_key;
DROP POLICY tenant ON offer_events;
CREATE POLICY tenant ON offer_events TO offerflow_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
DROP POLICY exchange ON advertisers;
ALTER TABLE advertisers DROP COLUMN exchange_tenant_id;
DROP FUNCTION book_of;
DROP TABLE conversion_requests, reconciliations, offer_changes, partnerships, exchange_profiles;
