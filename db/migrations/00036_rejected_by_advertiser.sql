-- +goose Up
-- Rule 64: what an advertiser's verdict rejected before a person approved it is as much outside statistics as
-- what a person rejected (rule 77). No row has that reason before this release: nothing is summed up again.
-- The rest of reported_conversions stays as it is, whichever migration wrote it.
-- +goose StatementBegin
DO $do$
DECLARE definition text := pg_get_functiondef('reported_conversions'::regproc);
BEGIN
  EXECUTE replace(definition, 'v.rejection_reason = ''manual''', 'v.rejection_reason IN (''manual'', ''advertiser'')');
END $do$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $do$
DECLARE definition text := pg_get_functiondef('reported_conversions'::regproc);
BEGIN
  EXECUTE replace(definition, 'v.rejection_reason IN (''manual'', ''advertiser'')', 'v.rejection_reason = ''manual''');
END $do$;
-- +goose StatementEnd
