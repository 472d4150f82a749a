-- +goose Up
-- Refused clicks have an age and a number: strangers make them. Each tenant's, in order of receipt.
CREATE INDEX clicks_refused ON clicks (tenant_id, id) WHERE refused_reason <> '';
-- The database itself refuses to delete any other click.
CREATE POLICY only_refused ON clicks AS RESTRICTIVE FOR DELETE TO offerflow_system USING (refused_reason <> '');

-- Callback endpoints and partners' URLs that fail, or whose news failed for good: what the tenant is told
-- (rule 51). An endpoint that never failed has no row.
CREATE TABLE endpoint_failures (
  tenant_id        uuid NOT NULL,
  endpoint_id      uuid NOT NULL,
  kind             text NOT NULL CHECK (kind IN ('callback', 'partner')),
  -- The first failed attempt since the last one that was delivered, and how many there are; NULL and 0
  -- while it works.
  failing_since    timestamptz,
  failures         bigint NOT NULL DEFAULT 0,
  last_failed_at   timestamptz,
  -- 0 when there was no answer.
  last_status_code int NOT NULL DEFAULT 0,
  last_error       text NOT NULL DEFAULT '',
  -- When the tenant was last told by mail that it fails.
  told_failing_at  timestamptz,
  -- News that failed for good: ever, and since the tenant was last told of some by mail.
  lost             bigint NOT NULL DEFAULT 0,
  last_lost_at     timestamptz,
  lost_untold      bigint NOT NULL DEFAULT 0,
  untold_since     timestamptz,
  told_lost_at     timestamptz,
  PRIMARY KEY (tenant_id, endpoint_id)
);
SELECT offerflow_secure('endpoint_failures', 'SELECT, INSERT, UPDATE');
-- What is to be told, which is little: looked at every few seconds.
CREATE INDEX endpoint_failures_failing ON endpoint_failures (failing_since) WHERE failing_since IS NOT NULL;
CREATE INDEX endpoint_failures_lost ON endpoint_failures (last_lost_at) WHERE last_lost_at IS NOT NULL;
CREATE INDEX endpoint_failures_untold ON endpoint_failures (untold_since) WHERE lost_untold > 0;

-- +goose Down
DROP TABLE endpoint_failures;
DROP POLICY only_refused ON clicks;
DROP INDEX clicks_refused;
