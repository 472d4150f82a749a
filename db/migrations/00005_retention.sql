-- +goose Up
-- What is bulky and old may go: OFFERFLOW_RETENTION_DAYS. Conversions with their clicks and postbacks,
-- transitions and the ledger are kept for ever. The database itself refuses to let go of anything younger than 60 days.

CREATE INDEX delivery_attempts_at ON delivery_attempts USING brin (at);
CREATE INDEX audit_log_at ON audit_log USING brin (at);
GRANT DELETE ON delivery_attempts, audit_log TO offerflow_system;
CREATE POLICY only_old ON delivery_attempts AS RESTRICTIVE FOR DELETE TO offerflow_system USING (at < now() - interval '60 days');
CREATE POLICY only_old ON audit_log AS RESTRICTIVE FOR DELETE TO offerflow_system USING (at < now() - interval '60 days');

-- The months of clicks or postbacks that ended before an instant, oldest first. What was kept of a
-- month is no month any more.
CREATE FUNCTION offerflow_old_months(parent text, before timestamptz) RETURNS SETOF text LANGUAGE sql STABLE SET search_path = public AS
  $$ SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = parent::regclass AND c.relname ~ ('^' || parent || '_\d{4}_\d{2}$')
       AND (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= before
     ORDER BY 1 $$;

-- The first instant after a month's partition, clicks_2026_01. It fails for what is none, or is too young.
-- +goose StatementBegin
CREATE FUNCTION offerflow_month_end(parent text, month text) RETURNS timestamptz LANGUAGE plpgsql STABLE SET search_path = public AS $$
DECLARE
  ending timestamptz;
BEGIN
  IF parent NOT IN ('clicks', 'postbacks') OR month !~ ('^' || parent || '_\d{4}_\d{2}$')
    OR NOT EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = parent::regclass AND inhrelid = to_regclass(month)) THEN
    RAISE EXCEPTION 'not a month of %: %', parent, month;
  END IF;
  ending := (to_date(right(month, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC';
  IF ending > now() - interval '60 days' THEN
    RAISE EXCEPTION 'too young to be let go of: %', month;
  END IF;
  RETURN ending;
END $$;
-- +goose StatementEnd

-- Makes an empty table for those rows of a month that stay. The system role fills it: the owner sees no
-- rows of tables with forced row-level security, conversions among them.
-- +goose StatementBegin
CREATE FUNCTION offerflow_open_kept(parent text, month text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
  PERFORM offerflow_month_end(parent, month);
  EXECUTE format('DROP TABLE IF EXISTS %I', month || '_kept'); -- left by an attempt that was cut short
  EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', month || '_kept', parent);
  EXECUTE format('GRANT SELECT, INSERT ON %I TO offerflow_system', month || '_kept');
END $$;
-- +goose StatementEnd

-- Puts the rows that stay in the place of the whole month.
-- +goose StatementBegin
CREATE FUNCTION offerflow_let_go(parent text, month text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
  ending timestamptz := offerflow_month_end(parent, month);
BEGIN
  EXECUTE format('REVOKE ALL ON %I FROM offerflow_system', month || '_kept');
  EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, month);
  EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, month || '_kept',
    uuid_v7_floor((ending AT TIME ZONE 'UTC' - interval '1 month') AT TIME ZONE 'UTC'), uuid_v7_floor(ending));
  EXECUTE format('DROP TABLE %I', month);
END $$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION offerflow_open_kept, offerflow_let_go FROM PUBLIC;
GRANT EXECUTE ON FUNCTION offerflow_open_kept, offerflow_let_go TO offerflow_system;

-- +goose Down
DROP FUNCTION offerflow_let_go, offerflow_open_kept, offerflow_month_end, offerflow_old_months;
DROP POLICY only_old ON audit_log;
DROP POLICY only_old ON delivery_attempts;
REVOKE DELETE ON delivery_attempts, audit_log FROM offerflow_system;
DROP INDEX audit_log_at, delivery_attempts_at;
