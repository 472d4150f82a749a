-- +goose Up
-- Bulk work and corrections: reviews of many, uploads (rule 27), adjustments (rules 24, 42).

CREATE TABLE jobs (
  tenant_id      uuid NOT NULL REFERENCES tenants,
  id             uuid NOT NULL PRIMARY KEY,
  action         text NOT NULL CHECK (action IN ('approve', 'reject', 'reverse', 'upload')),
  -- receiving: an upload whose body is still on its way; it becomes running with its last line.
  state          text NOT NULL CHECK (state IN ('receiving', 'running', 'paused', 'done')),
  -- The person's token, and what it wrote.
  actor          text NOT NULL,
  note           text NOT NULL DEFAULT '',
  override_caps  boolean NOT NULL DEFAULT false,
  -- The filter as it was asked for, where there was one: what it found is in job_items.
  filter         jsonb,
  -- An upload's columns in the order of its first line.
  columns        text[] NOT NULL DEFAULT '{}',
  -- Items by how they ended; each is counted in the transaction that ends it.
  total          bigint NOT NULL,
  changed        bigint NOT NULL DEFAULT 0,
  unchanged      bigint NOT NULL DEFAULT 0,
  failed         bigint NOT NULL DEFAULT 0,
  -- Sums over what changed, test conversions left out.
  revenue_micros bigint NOT NULL DEFAULT 0,
  payout_micros  bigint NOT NULL DEFAULT 0,
  reward_micros  bigint NOT NULL DEFAULT 0,
  created_at     timestamptz NOT NULL,
  finished_at    timestamptz,
  CHECK (changed + unchanged + failed <= total OR state = 'receiving')
);
SELECT offerflow_secure('jobs');
CREATE INDEX jobs_tenant ON jobs (tenant_id, id);
CREATE INDEX jobs_receiving ON jobs (created_at) WHERE state = 'receiving';

-- What a job is about, one row for each: taken when the job is made, so that nothing that comes
-- later is swept in. No index holds the state, so that ending an item rewrites no index.
CREATE TABLE job_items (
  tenant_id     uuid NOT NULL,
  job_id        uuid NOT NULL,
  -- The place in the job; of an upload the line in its file, whose first is the names of columns.
  number        bigint NOT NULL,
  -- An upload's line as it came.
  line          text NOT NULL DEFAULT '',
  -- What a review is about, or what an upload's line led to.
  conversion_id uuid,
  -- The postback that an upload's line was decided as.
  postback_id   uuid,
  state         text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'changed', 'unchanged', 'failed')),
  -- Why it failed: the reason, and of a line that could not be read its column.
  field         text NOT NULL DEFAULT '',
  error         text NOT NULL DEFAULT '',
  PRIMARY KEY (tenant_id, job_id, number)
) WITH (fillfactor = 75);
SELECT offerflow_secure('job_items');

-- Rule 24: an adjustment is a transition from a status to itself; these are the figures that it
-- found and left, as the history shows them. NULL for every other transition.
ALTER TABLE transitions ADD COLUMN figures_before jsonb, ADD COLUMN figures_after jsonb;

-- +goose Down
ALTER TABLE transitions DROP COLUMN figures_before, DROP COLUMN figures_after;
DROP TABLE job_items, jobs;
