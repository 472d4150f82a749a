-- +goose Up
-- A job that applies fields of an offer to all of its shares (rule 56): each share is an item.
ALTER TABLE jobs DROP CONSTRAINT jobs_action_check,
  ADD CONSTRAINT jobs_action_check CHECK (action IN ('approve', 'reject', 'reverse', 'upload', 'apply'));
-- What is applied: the patch that each share gets.
ALTER TABLE jobs ADD COLUMN fields json;
-- The shared offer that an item is about.
ALTER TABLE job_items ADD COLUMN offer_id uuid;

-- +goose Down
ALTER TABLE job_items DROP COLUMN offer_id;
ALTER TABLE jobs DROP COLUMN fields;
DELETE FROM job_items i USING jobs j WHERE j.tenant_id = i.tenant_id AND j.id = i.job_id AND j.action = 'apply';
DELETE FROM jobs WHERE action = 'apply';
ALTER TABLE jobs DROP CONSTRAINT jobs_action_check,
  ADD CONSTRAINT jobs_action_check CHECK (action IN ('approve', 'reject', 'reverse', 'upload'));
