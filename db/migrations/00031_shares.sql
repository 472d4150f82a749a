-- +goose Up
-- A job that applies fields of an offer to all of its shares (rule 56): each share is an item.
ALTER TABLE jobs DROP CONSTRAINT jobs_action_check,
  ADD CONSTRAINT jobs_action_check CHECK (action IN ('approve', 'reject', 'reverse', 'upload', 'apply'));
-- What is applied: the patch that each share gets.
ALTER TABLE jobs ADD COLUMN fields json;
-- The shared offer that an item is about.
ALTER TABLE job_items ADD COLUMN offer_id uuid;

-- What of the publisher's a destination of a shared offer may be told (rule 59). NULL: the publisher has not
-- said, and what holds is what its partnerships were granted; whoever is new was granted nothing.
ALTER TABLE tenants ADD COLUMN pass_macros text[];
ALTER TABLE partnerships ADD COLUMN pass_macros text[] NOT NULL DEFAULT '{}';
-- Partnerships from before keep what their offer's addresses use.
SET LOCAL ROLE offerflow_system;
UPDATE partnerships p SET pass_macros = used.names FROM (
  SELECT s.id, array_agg(DISTINCT CASE WHEN lower(m[1]) = 'aff_sub' THEN 'pub_sub_1' ELSE regexp_replace(lower(m[1]), '^aff_sub', 'pub_sub_') END) AS names
  FROM partnerships s
  JOIN offers o ON o.id = s.offer_id
  JOIN offer_versions v ON v.offer_id = o.id AND v.version = o.version,
  regexp_matches(concat_ws(' ', v.document->>'trackingSystemLink', v.document->>'fallbackUrl'), '(?:\{|%7B)([a-z0-9_]+)(?:\}|%7D)', 'gi') AS m
  WHERE lower(m[1]) ~ '^(pub_click_id|pub_session_id|source|pub_sub_([1-9]|1[0-5])|aff_sub[2-5]?)$'
  GROUP BY s.id) used
WHERE used.id = p.id;
RESET ROLE;

-- +goose Down
ALTER TABLE partnerships DROP COLUMN pass_macros;
ALTER TABLE tenants DROP COLUMN pass_macros;
ALTER TABLE job_items DROP COLUMN offer_id;
ALTER TABLE jobs DROP COLUMN fields;
DELETE FROM job_items i USING jobs j WHERE j.tenant_id = i.tenant_id AND j.id = i.job_id AND j.action = 'apply';
DELETE FROM jobs WHERE action = 'apply';
ALTER TABLE jobs DROP CONSTRAINT jobs_action_check,
  ADD CONSTRAINT jobs_action_check CHECK (action IN ('approve', 'reject', 'reverse', 'upload'));
