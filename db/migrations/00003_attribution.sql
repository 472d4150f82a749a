-- +goose Up
-- From a click to a credited reward.

-- Bulky rows are partitioned by time. The key is a UUIDv7, which is time, so that it stays unique.
CREATE TABLE clicks (
  tenant_id       uuid NOT NULL,
  id              uuid NOT NULL PRIMARY KEY,
  clicked_at      timestamptz NOT NULL,
  link_id         uuid NOT NULL,
  offer_id        uuid NOT NULL,
  offer_version   bigint NOT NULL,
  advertiser_id   uuid NOT NULL,
  partner_id      uuid,
  placement_id    uuid,
  creative_order  int,
  pub_member_id   text,
  pub_click_id    text NOT NULL DEFAULT '',
  pub_session_id  text NOT NULL DEFAULT '',
  pub_gender      text NOT NULL DEFAULT '',
  pub_age         text NOT NULL DEFAULT '',
  pub_geo_country text NOT NULL DEFAULT '',
  pub_geo_state   text NOT NULL DEFAULT '',
  pub_postal_code text NOT NULL DEFAULT '',
  pub_device      text NOT NULL DEFAULT '',
  pub_subs        text[] NOT NULL DEFAULT '{}',
  view_id         text NOT NULL DEFAULT '',
  ip              text NOT NULL DEFAULT '',
  user_agent      text NOT NULL DEFAULT '',
  referer         text NOT NULL DEFAULT '',
  country         text NOT NULL DEFAULT '',
  device          text NOT NULL DEFAULT '',
  os              text NOT NULL DEFAULT '',
  browser         text NOT NULL DEFAULT '',
  -- Why the click cannot convert (rule 46); such a click has no workflow and its id is given to nobody.
  refused_reason  text NOT NULL DEFAULT '',
  is_test         boolean NOT NULL DEFAULT false,
  -- When nothing more can come of it: windows, late proof and grace.
  session_ends_at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE TABLE clicks_default PARTITION OF clicks DEFAULT;
SELECT offerflow_secure('clicks');
CREATE INDEX clicks_member ON clicks (tenant_id, pub_member_id, id) WHERE pub_member_id IS NOT NULL;
CREATE INDEX clicks_offer ON clicks (tenant_id, offer_id, id);

-- Every postback received. tenant_id is NULL when nothing tells whose it is: the operator's log.
CREATE TABLE postbacks (
  tenant_id     uuid,
  id            uuid NOT NULL PRIMARY KEY,
  received_at   timestamptz NOT NULL,
  advertiser_id uuid,
  click_id      uuid,
  method        text NOT NULL,
  path          text NOT NULL,
  source_ip     text NOT NULL,
  -- As sent, secrets replaced.
  params        jsonb NOT NULL,
  outcome       text NOT NULL CHECK (outcome IN ('accepted', 'duplicate', 'rejected', 'held', 'refused')),
  reason        text NOT NULL DEFAULT '',
  conversion_id uuid,
  -- The answer's status and releaseAt, as they were at the decision.
  status        text NOT NULL DEFAULT '',
  release_at    timestamptz,
  authenticated boolean NOT NULL DEFAULT false,
  decided_at    timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE TABLE postbacks_default PARTITION OF postbacks DEFAULT;
SELECT offerflow_secure('postbacks');
CREATE INDEX postbacks_tenant ON postbacks (tenant_id, id);
CREATE INDEX postbacks_click ON postbacks (tenant_id, click_id, id) WHERE click_id IS NOT NULL;

-- Early events in their grace (rule 14): each is decided again until it has an end state.
CREATE TABLE held_postbacks (
  tenant_id   uuid NOT NULL,
  postback_id uuid NOT NULL PRIMARY KEY,
  click_id    uuid NOT NULL,
  event_id    uuid NOT NULL,
  -- The postback as the rules read it.
  message     jsonb NOT NULL,
  decide_by   timestamptz NOT NULL
);
SELECT offerflow_secure('held_postbacks');
CREATE INDEX held_postbacks_click ON held_postbacks (tenant_id, click_id);
CREATE INDEX held_postbacks_due ON held_postbacks (decide_by);

CREATE TABLE nonces (
  tenant_id     uuid NOT NULL,
  advertiser_id uuid NOT NULL,
  nonce         text NOT NULL,
  postback_id   uuid NOT NULL,
  seen_at       timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, advertiser_id, nonce)
);
SELECT offerflow_secure('nonces');
CREATE INDEX nonces_seen ON nonces (seen_at);

CREATE TABLE conversions (
  tenant_id         uuid NOT NULL,
  id                uuid NOT NULL PRIMARY KEY,
  click_id          uuid NOT NULL,
  postback_id       uuid NOT NULL,
  offer_id          uuid NOT NULL,
  -- The version that set money, pending period and review.
  offer_version     bigint NOT NULL,
  event_id          uuid NOT NULL,
  advertiser_id     uuid NOT NULL,
  partner_id        uuid,
  pub_member_id     text,
  status            text NOT NULL CHECK (status IN ('Pending', 'Success', 'Rejected')),
  rejection_reason  text NOT NULL DEFAULT '',
  -- How many transitions it has had: the sequence of its newest news.
  sequence          bigint NOT NULL CHECK (sequence >= 1),
  currency          text NOT NULL,
  amount_micros     bigint,
  revenue_micros    bigint NOT NULL CHECK (revenue_micros >= 0),
  payout_micros     bigint NOT NULL CHECK (payout_micros >= 0),
  reward_micros     bigint NOT NULL CHECK (reward_micros >= 0),
  received_at       timestamptz NOT NULL,
  created_at        timestamptz NOT NULL,
  user_completed_at timestamptz NOT NULL,
  -- Whether user_completed_at is the advertiser's trusted time (rule 19) or the receipt.
  completion_trusted boolean NOT NULL DEFAULT false,
  -- Pending until then; NULL while a person must act (rules 21, 22).
  release_at        timestamptz,
  needs_review      boolean NOT NULL DEFAULT false,
  decided_at        timestamptz,
  -- What the uniqueness of rules 5 to 7 goes by: 'member' also across clicks, 'click', or 'none'.
  unique_per        text NOT NULL CHECK (unique_per IN ('member', 'click', 'none')),
  -- Rule 63: reached the end point of its session.
  closes_session    boolean NOT NULL DEFAULT false,
  -- Whether it holds slots in the caps, and of which periods in the tenant's calendar (rule 28).
  is_counted        boolean NOT NULL,
  counted_day       date NOT NULL,
  counted_week      date NOT NULL,
  counted_month     date NOT NULL,
  -- The advertiser's own fields.
  cnv_conversion_id text NOT NULL DEFAULT '',
  cnv_event_id      text NOT NULL DEFAULT '',
  cnv_amount        text NOT NULL DEFAULT '',
  cnv_subs          text[] NOT NULL DEFAULT '{}',
  is_test           boolean NOT NULL DEFAULT false,
  CHECK ((status = 'Rejected') = (rejection_reason <> '')),
  CHECK (status = 'Pending' OR (release_at IS NULL) OR decided_at IS NOT NULL),
  CHECK (NOT is_counted OR status <> 'Rejected')
);
SELECT offerflow_secure('conversions', 'SELECT, INSERT, UPDATE');
-- Rules 5 and 9: one live conversion per (click, event); rule 6: per (member, event) over clicks.
CREATE UNIQUE INDEX conversions_live_click ON conversions (tenant_id, click_id, event_id)
  WHERE status <> 'Rejected' AND unique_per <> 'none';
CREATE UNIQUE INDEX conversions_live_member ON conversions (tenant_id, pub_member_id, event_id)
  WHERE status <> 'Rejected' AND unique_per = 'member' AND pub_member_id IS NOT NULL;
-- Rule 7: a repeat's own id names it.
CREATE UNIQUE INDEX conversions_live_repeat ON conversions (tenant_id, click_id, event_id, cnv_conversion_id)
  WHERE status <> 'Rejected' AND unique_per = 'none' AND cnv_conversion_id <> '';
CREATE INDEX conversions_click ON conversions (tenant_id, click_id);
CREATE INDEX conversions_completed ON conversions (tenant_id, user_completed_at, id);
CREATE INDEX conversions_member ON conversions (tenant_id, pub_member_id) WHERE pub_member_id IS NOT NULL;
CREATE INDEX conversions_counted ON conversions (tenant_id, event_id, counted_day) WHERE is_counted;
CREATE INDEX conversions_counted_offer ON conversions (tenant_id, offer_id, counted_day) WHERE is_counted;
CREATE INDEX conversions_counted_partner ON conversions (tenant_id, partner_id, counted_day) WHERE is_counted AND partner_id IS NOT NULL;
CREATE INDEX conversions_due ON conversions (release_at) WHERE status = 'Pending' AND release_at IS NOT NULL;

CREATE TABLE transitions (
  tenant_id       uuid NOT NULL,
  conversion_id   uuid NOT NULL REFERENCES conversions,
  sequence        bigint NOT NULL,
  from_status     text NOT NULL DEFAULT '',
  to_status       text NOT NULL,
  reason          text NOT NULL DEFAULT '',
  at              timestamptz NOT NULL,
  -- postback, timer, or the person's token.
  actor           text NOT NULL,
  -- What the person wrote.
  note            text NOT NULL DEFAULT '',
  override_caps   boolean NOT NULL DEFAULT false,
  -- The request that asked for it: asked again, it changes nothing.
  request_id      text NOT NULL,
  PRIMARY KEY (tenant_id, conversion_id, sequence),
  UNIQUE (tenant_id, conversion_id, request_id)
);
SELECT offerflow_secure('transitions', 'SELECT, INSERT');

CREATE TABLE ledger_transactions (
  tenant_id     uuid NOT NULL,
  id            uuid NOT NULL,
  conversion_id uuid NOT NULL,
  sequence      bigint NOT NULL,
  at            timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id),
  -- Rule 42: one per transition.
  UNIQUE (tenant_id, conversion_id, sequence)
);
SELECT offerflow_secure('ledger_transactions', 'SELECT, INSERT');

CREATE TABLE ledger_entries (
  tenant_id      uuid NOT NULL,
  transaction_id uuid NOT NULL,
  line           smallint NOT NULL,
  account        text NOT NULL CHECK (account IN ('advertiser_receivable', 'publisher_revenue', 'payout_expense', 'partner_payable', 'reward_issued', 'member_points')),
  -- The advertiser, partner or member it concerns.
  party          text NOT NULL DEFAULT '',
  -- ISO 4217, or PTS for points.
  currency       text NOT NULL,
  amount_micros  bigint NOT NULL CHECK (amount_micros <> 0),
  PRIMARY KEY (tenant_id, transaction_id, line),
  FOREIGN KEY (tenant_id, transaction_id) REFERENCES ledger_transactions
);
SELECT offerflow_secure('ledger_entries', 'SELECT, INSERT');
CREATE INDEX ledger_entries_party ON ledger_entries (tenant_id, account, party);

-- Rule 41: every transaction sums to zero per currency. All its lines come in one statement; a
-- statement that does not balance is refused, so that a fold over any of them balances too.
-- +goose StatementBegin
CREATE FUNCTION ledger_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM added GROUP BY transaction_id, currency HAVING sum(amount_micros) <> 0) THEN
    RAISE EXCEPTION 'ledger transaction does not sum to zero' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_balanced AFTER INSERT ON ledger_entries
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger_balanced();

CREATE TABLE member_balances (
  tenant_id     uuid NOT NULL,
  pub_member_id text NOT NULL,
  points_micros bigint NOT NULL,
  PRIMARY KEY (tenant_id, pub_member_id)
);
SELECT offerflow_secure('member_balances', 'SELECT, INSERT, UPDATE');

-- News of a committed transaction, relayed with the row's id as message id.
CREATE TABLE outbox (
  tenant_id  uuid NOT NULL,
  id         uuid NOT NULL PRIMARY KEY,
  subject    text NOT NULL,
  payload    jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
SELECT offerflow_secure('outbox');

-- +goose Down
DROP TABLE outbox, member_balances, ledger_entries, ledger_transactions, transitions, conversions, nonces, held_postbacks, postbacks, clicks;
DROP FUNCTION ledger_balanced;
