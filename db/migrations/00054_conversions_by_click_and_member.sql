-- +goose NO TRANSACTION
-- +goose Up
-- Each decision reads the conversions of its click and of its member (rule 6). Under row-level security an index
-- on coalesce() is of no use for that: PostgreSQL takes coalesce() for an expression that may leak, so that every
-- decision read all live conversions of the event. CASE it knows not to leak. The unique index
-- conversions_live_member stays as it is.
-- Both indexes have the order that the queries ask for. That decides between indexes that look alike to a
-- planner without statistics: on a new database it took any other index that begins with the tenant.
DROP INDEX CONCURRENTLY IF EXISTS conversions_live_of_member;
CREATE INDEX CONCURRENTLY conversions_live_of_member ON conversions
  (tenant_id, (CASE WHEN member_key IS NULL THEN pub_member_id ELSE member_key END), event_id, received_at, id)
  WHERE status <> 'Rejected' AND CASE WHEN member_key IS NULL THEN pub_member_id ELSE member_key END IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS conversions_of_click;
CREATE INDEX CONCURRENTLY conversions_of_click ON conversions (tenant_id, click_id, received_at, id);
DROP INDEX CONCURRENTLY IF EXISTS conversions_live_repeats_of_member;
DROP INDEX CONCURRENTLY IF EXISTS conversions_click;

-- +goose Down
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversions_click ON conversions (tenant_id, click_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversions_live_repeats_of_member ON conversions (tenant_id, (coalesce(member_key, pub_member_id)), event_id)
  WHERE status <> 'Rejected' AND unique_per <> 'member' AND NOT is_test AND coalesce(member_key, pub_member_id) IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS conversions_of_click;
DROP INDEX CONCURRENTLY IF EXISTS conversions_live_of_member;
