-- +goose Up
-- What partners and advertisers see of a tenant.

-- An advertiser's conversions by completion and its postbacks by receipt, as lists order them.
CREATE INDEX conversions_advertiser ON conversions (tenant_id, advertiser_id, user_completed_at, id);
CREATE INDEX postbacks_advertiser ON postbacks (tenant_id, advertiser_id, id) WHERE advertiser_id IS NOT NULL;

-- A partner's conversions of goals that were private at the decision (rule 66), by receipt.
CREATE INDEX conversions_private ON conversions (tenant_id, partner_id, received_at) WHERE payout_rule->>'kind' = 'private';

-- reported_conversions also says whether a goal was private when its conversion was decided. The rest of
-- it stays as it is, whichever migration wrote it.
-- +goose StatementBegin
DO $do$
DECLARE definition text := pg_get_functiondef('reported_conversions'::regproc);
BEGIN
  definition := replace(definition, E'\n  FROM conversions v LEFT JOIN', E',\n    v.payout_rule->>''kind'' IS NOT DISTINCT FROM ''private''\n  FROM conversions v LEFT JOIN');
  definition := regexp_replace(definition, '\)\s+LANGUAGE sql', E', is_private boolean)\n LANGUAGE sql');
  DROP FUNCTION reported_conversions;
  EXECUTE definition;
END $do$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $do$
DECLARE definition text := pg_get_functiondef('reported_conversions'::regproc);
BEGIN
  definition := replace(definition, E',\n    v.payout_rule->>''kind'' IS NOT DISTINCT FROM ''private''', '');
  definition := replace(definition, ', is_private boolean)', ')');
  DROP FUNCTION reported_conversions;
  EXECUTE definition;
END $do$;
-- +goose StatementEnd
DROP INDEX conversions_private, postbacks_advertiser, conversions_advertiser;
