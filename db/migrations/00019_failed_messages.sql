-- +goose Up
-- Messages and items of work that no retry mends: they wait here, visible, until a person has them
-- sent again.
CREATE TABLE failed_messages (
  -- NULL: of several tenants, or nobody can tell whose; the operator's.
  tenant_id       uuid,
  id              uuid NOT NULL PRIMARY KEY,
  -- What gave up: the name of a consumer, or outbox, held, release.
  source          text NOT NULL,
  -- Where it is sent again; '': it is no message, and the sweep takes it up again.
  subject         text NOT NULL,
  payload         bytea NOT NULL,
  -- What the payload is about: a postback's or a conversion's id.
  about           uuid,
  error           text NOT NULL,
  attempts        bigint NOT NULL DEFAULT 1,
  state           text NOT NULL DEFAULT 'failed' CHECK (state IN ('failed', 'resent')),
  first_failed_at timestamptz NOT NULL,
  failed_at       timestamptz NOT NULL,
  resent_at       timestamptz,
  resent_by       text NOT NULL DEFAULT ''
);
-- The application reads them and marks what is sent again; it neither makes nor removes any.
SELECT offerflow_secure('failed_messages', 'SELECT, UPDATE');
GRANT INSERT, DELETE ON failed_messages TO offerflow_system;
-- The same message that fails again is the same row.
CREATE UNIQUE INDEX failed_messages_once ON failed_messages (source, sha256(payload));
CREATE INDEX failed_messages_tenant ON failed_messages (tenant_id, id);
CREATE INDEX failed_messages_failed ON failed_messages (source, about) WHERE state = 'failed';
CREATE INDEX failed_messages_resent ON failed_messages (resent_at) WHERE state = 'resent';

-- A held postback whose decision failed for good is left alone until it is sent again.
ALTER TABLE held_postbacks ADD COLUMN failed_at timestamptz;

-- The sweep goes on from where it was: in order of time and id.
CREATE INDEX held_postbacks_overdue ON held_postbacks (decide_by, postback_id) WHERE failed_at IS NULL;

-- Makes one month's partition of one table, so that one that cannot be made keeps no other.
-- +goose StatementBegin
CREATE FUNCTION offerflow_ensure_partition(parent text, months_ahead int) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
  first timestamptz := date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + make_interval(months => months_ahead);
  name  text := parent || to_char(first AT TIME ZONE 'UTC', '_YYYY_MM');
BEGIN
  IF parent NOT IN ('clicks', 'postbacks') THEN
    RAISE EXCEPTION 'not a partitioned table: %', parent;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('offerflow partitions'));
  IF to_regclass(format('%I', name)) IS NOT NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
    name, parent, uuid_v7_floor(first), uuid_v7_floor(first + interval '1 month'));
  RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION offerflow_ensure_partition;
DROP INDEX held_postbacks_overdue;
ALTER TABLE held_postbacks DROP COLUMN failed_at;
DROP TABLE failed_messages;
