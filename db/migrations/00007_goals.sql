-- +goose Up
-- Postbacks of goals that are recorded as a click only (rule 70): counted, never a conversion. One
-- row for each postback, whose key keeps it from being counted twice.
CREATE TABLE goal_clicks (
  tenant_id   uuid NOT NULL,
  postback_id uuid NOT NULL,
  click_id    uuid NOT NULL,
  offer_id    uuid NOT NULL,
  event_id    uuid NOT NULL,
  -- When the postback was received.
  recorded_at timestamptz NOT NULL,
  is_test     boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant_id, postback_id)
);
SELECT offerflow_secure('goal_clicks', 'SELECT, INSERT');
CREATE INDEX goal_clicks_event ON goal_clicks (tenant_id, event_id, click_id) WHERE NOT is_test;
CREATE INDEX goal_clicks_click ON goal_clicks (tenant_id, click_id);

-- What the postback named its goal by, besides cnv_event_id (rule 62).
ALTER TABLE conversions ADD COLUMN cnv_goal_id text NOT NULL DEFAULT '', ADD COLUMN cnv_goal_name text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE conversions DROP COLUMN cnv_goal_name, DROP COLUMN cnv_goal_id;
DROP TABLE goal_clicks;
