-- +goose Up
-- What was sent, for telling a network's retry from another repeat (rule 7), and the advertiser's own
-- verdict (rule 77). Of conversions from before nothing is known: they are no longer within the seconds
-- in which a retry comes.
ALTER TABLE conversions
  ADD COLUMN cnv_currency text NOT NULL DEFAULT '',
  ADD COLUMN cnv_completed_at timestamptz,
  ADD COLUMN cnv_status text NOT NULL DEFAULT '',
  -- Pending by the advertiser's word: its later verdict decides, or a person.
  ADD COLUMN awaits_verdict boolean NOT NULL DEFAULT false;

-- What an advertiser said of a conversion and nobody may believe without a look: a verdict that was not
-- authenticated, or that nobody can read, of one that is live. It changed nothing.
CREATE TABLE verdict_findings (
  tenant_id     uuid NOT NULL,
  postback_id   uuid NOT NULL,
  conversion_id uuid NOT NULL,
  -- When the postback was received, and the status as it was sent.
  at            timestamptz NOT NULL,
  said          text NOT NULL,
  authenticated boolean NOT NULL,
  PRIMARY KEY (tenant_id, postback_id),
  FOREIGN KEY (tenant_id, conversion_id) REFERENCES conversions
);
SELECT offerflow_secure('verdict_findings', 'SELECT, INSERT');
CREATE INDEX verdict_findings_at ON verdict_findings (tenant_id, at, postback_id);
CREATE INDEX verdict_findings_conversion ON verdict_findings (tenant_id, conversion_id);

-- Rule 6: a member's live conversions that were made while repeats were on. Those made while they were
-- off are found by conversions_live_member.
CREATE INDEX conversions_live_repeats_of_member ON conversions (tenant_id, (coalesce(member_key, pub_member_id)), event_id)
  WHERE status <> 'Rejected' AND unique_per <> 'member' AND NOT is_test AND coalesce(member_key, pub_member_id) IS NOT NULL;

-- +goose Down
DROP INDEX conversions_live_repeats_of_member;
DROP TABLE verdict_findings;
ALTER TABLE conversions DROP COLUMN awaits_verdict, DROP COLUMN cnv_status, DROP COLUMN cnv_completed_at, DROP COLUMN cnv_currency;
