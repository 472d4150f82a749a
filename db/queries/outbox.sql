-- name: InsertOutbox :exec
-- What waits there already under the same id is the same news: ids are derived from what they tell of,
-- and a book that was mended tells of it again. It moves to the end, so that a relay that is publishing
-- it now publishes it again.
INSERT INTO outbox (tenant_id, id, subject, payload) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET position = DEFAULT;
