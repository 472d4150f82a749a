-- +goose NO TRANSACTION
-- +goose Up
-- A member's views of offers, for the export and the erasure of its data. The table may be large: the index is
-- built beside the traffic, and an attempt that was cut short leaves an invalid one behind.
DROP INDEX CONCURRENTLY IF EXISTS offer_views_member;
CREATE INDEX CONCURRENTLY offer_views_member ON offer_views (tenant_id, pub_member_id, id);

-- +goose Down
DROP INDEX offer_views_member;
