-- name: OwnFeed :exec
-- One import of a tenant at a time: two that synchronise would pause each other's offers.
SELECT pg_advisory_xact_lock(hashtextextended('offer feed ' || @tenant_id::uuid, 0));

-- name: FeedImport :one
SELECT * FROM feed_imports WHERE tenant_id = $1 AND id = $2;

-- name: InsertFeedImport :exec
INSERT INTO feed_imports (tenant_id, id, hash, answer, created_at) VALUES ($1, $2, $3, $4, $5);

-- name: FeedOffers :many
SELECT * FROM feed_offers WHERE tenant_id = $1 ORDER BY external_id;

-- name: InsertFeedOffer :exec
INSERT INTO feed_offers (tenant_id, external_id, offer_id) VALUES ($1, $2, $3);
