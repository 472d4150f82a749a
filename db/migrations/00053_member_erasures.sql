-- +goose Up
-- Erasures of members' data: docs/members-data.md. The job with the same id does the work.
CREATE TABLE member_erasures (
  tenant_id     uuid NOT NULL REFERENCES tenants,
  job_id        uuid NOT NULL,
  -- What stands in the member's place.
  pseudonym     text NOT NULL CHECK (pseudonym <> ''),
  -- What was made before this instant was the erased member's. Later rows are those of a new member.
  erased_before timestamptz NOT NULL,
  -- The member's id: a keyed hash, so that asking twice makes one job, and the id itself sealed, so that what
  -- was still on its way can be found. Both are emptied after the last pass.
  member_hash   text NOT NULL,
  member_sealed text NOT NULL,
  -- When the job was through. Then passes follow for what arrived late; no next one once all are done.
  finished_at   timestamptz,
  passes        int NOT NULL DEFAULT 0,
  next_pass_at  timestamptz,
  PRIMARY KEY (tenant_id, job_id),
  CHECK (next_pass_at IS NULL OR member_sealed <> '')
);
SELECT offerflow_secure('member_erasures', 'SELECT, INSERT');
GRANT UPDATE (member_hash, member_sealed, finished_at, passes, next_pass_at) ON member_erasures TO offerflow_system;
CREATE INDEX member_erasures_member ON member_erasures (tenant_id, member_hash, job_id) WHERE member_hash <> '';
CREATE INDEX member_erasures_due ON member_erasures (next_pass_at) WHERE next_pass_at IS NOT NULL;

ALTER TABLE jobs DROP CONSTRAINT jobs_action_check,
  ADD CONSTRAINT jobs_action_check CHECK (action IN ('approve', 'reject', 'reverse', 'upload', 'apply', 'erase'));

-- What an erasure may change of rows that are otherwise only added: whose they are, never a figure. The
-- application's role may not.
GRANT UPDATE (party) ON ledger_entries TO offerflow_system;
CREATE POLICY only_members ON ledger_entries AS RESTRICTIVE FOR UPDATE TO offerflow_system
  USING (account = 'member_points') WITH CHECK (account = 'member_points');
GRANT DELETE ON member_balances TO offerflow_system;
CREATE POLICY only_empty ON member_balances AS RESTRICTIVE FOR DELETE TO offerflow_system USING (points_micros = 0);
GRANT UPDATE (pub_member_id, params) ON offer_views TO offerflow_system;
GRANT UPDATE (note) ON transitions TO offerflow_system;
GRANT UPDATE (url, answer) ON delivery_attempts TO offerflow_system;
GRANT UPDATE (noun_id, before, after) ON audit_log TO offerflow_system;
GRANT UPDATE (reason) ON conversion_requests TO offerflow_system;

-- +goose Down
REVOKE UPDATE (reason) ON conversion_requests FROM offerflow_system;
REVOKE UPDATE (noun_id, before, after) ON audit_log FROM offerflow_system;
REVOKE UPDATE (url, answer) ON delivery_attempts FROM offerflow_system;
REVOKE UPDATE (note) ON transitions FROM offerflow_system;
REVOKE UPDATE (pub_member_id, params) ON offer_views FROM offerflow_system;
DROP POLICY only_empty ON member_balances;
REVOKE DELETE ON member_balances FROM offerflow_system;
DROP POLICY only_members ON ledger_entries;
REVOKE UPDATE (party) ON ledger_entries FROM offerflow_system;
DELETE FROM job_items WHERE (tenant_id, job_id) IN (SELECT tenant_id, id FROM jobs WHERE action = 'erase');
DELETE FROM jobs WHERE action = 'erase';
ALTER TABLE jobs DROP CONSTRAINT jobs_action_check,
  ADD CONSTRAINT jobs_action_check CHECK (action IN ('approve', 'reject', 'reverse', 'upload', 'apply'));
DROP TABLE member_erasures;
