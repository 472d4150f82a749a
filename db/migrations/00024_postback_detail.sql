-- +goose Up
-- What a postback's sender was told in words, and what of it could not be read and was left out.
ALTER TABLE postbacks
  ADD COLUMN detail text NOT NULL DEFAULT '',
  ADD COLUMN warnings jsonb NOT NULL DEFAULT '[]';

-- +goose Down
ALTER TABLE postbacks DROP COLUMN detail, DROP COLUMN warnings;
