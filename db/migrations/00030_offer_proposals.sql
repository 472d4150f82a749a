-- +goose Up
-- An edit of a shared offer that the other side is asked to make (rule 57): it accepts or declines it as it
-- stands. What it would change is kept as it was shown, beside what was asked.
CREATE TABLE offer_proposals (
  id             uuid NOT NULL PRIMARY KEY,
  partnership_id uuid NOT NULL REFERENCES partnerships,
  offer_id       uuid NOT NULL REFERENCES offers,
  side           text NOT NULL CHECK (side IN ('advertiser', 'publisher')),
  by             text NOT NULL,
  at             timestamptz NOT NULL,
  -- The version that it was made from.
  version        bigint NOT NULL,
  -- The patch byte for byte, and the ids that its new events get.
  patch          text NOT NULL,
  event_ids      uuid[] NOT NULL,
  -- A list of {field, old, new}. As json: what is compared with it later is compared as it was.
  changes        json NOT NULL,
  -- Tells the same proposal, sent again, from another.
  fingerprint    bytea NOT NULL,
  state          text NOT NULL CHECK (state IN ('open', 'accepted', 'declined', 'withdrawn')),
  decided_at     timestamptz,
  decided_by     text NOT NULL DEFAULT '',
  decided_side   text NOT NULL DEFAULT '' CHECK (decided_side IN ('', 'advertiser', 'publisher')),
  reason         text NOT NULL DEFAULT '',
  -- The version that accepting it made.
  made_version   bigint,
  CHECK ((state = 'open') = (decided_at IS NULL)),
  CHECK ((state = 'accepted') = (made_version IS NOT NULL)),
  -- The other side decides; the one that proposed takes back.
  CHECK (state = 'open' OR (state = 'withdrawn') = (decided_side = side))
);
CREATE INDEX offer_proposals_offer ON offer_proposals (offer_id, at, id);
CREATE UNIQUE INDEX offer_proposals_open ON offer_proposals (offer_id, side, fingerprint) WHERE state = 'open';
ALTER TABLE offer_proposals ENABLE ROW LEVEL SECURITY;
ALTER TABLE offer_proposals FORCE ROW LEVEL SECURITY;
-- Both sides read; each proposes and decides as the side that it is.
CREATE POLICY tenant ON offer_proposals TO offerflow_app
  USING (EXISTS (SELECT 1 FROM partnerships p WHERE p.id = offer_proposals.partnership_id AND p.offer_id = offer_proposals.offer_id
    AND current_tenant() IN (p.advertiser_tenant_id, p.publisher_tenant_id)))
  WITH CHECK (EXISTS (SELECT 1 FROM partnerships p WHERE p.id = offer_proposals.partnership_id AND p.offer_id = offer_proposals.offer_id
    AND current_tenant() = CASE coalesce(nullif(offer_proposals.decided_side, ''), offer_proposals.side)
      WHEN 'advertiser' THEN p.advertiser_tenant_id ELSE p.publisher_tenant_id END));
CREATE POLICY system ON offer_proposals TO offerflow_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (state, decided_at, decided_by, decided_side, reason, made_version) ON offer_proposals TO offerflow_app;
GRANT SELECT ON offer_proposals TO offerflow_system;

-- +goose Down
DROP TABLE offer_proposals;
