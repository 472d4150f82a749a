-- +goose Up
-- The log of refused postbacks has a size: strangers write it. Each tenant's, in order of receipt.
CREATE INDEX postbacks_refused ON postbacks (tenant_id, id) WHERE outcome = 'refused' AND tenant_id IS NOT NULL;
-- The database itself refuses to delete any other postback.
CREATE POLICY only_refused ON postbacks AS RESTRICTIVE FOR DELETE TO offerflow_system USING (outcome = 'refused');

-- +goose Down
DROP POLICY only_refused ON postbacks;
DROP INDEX postbacks_refused;
