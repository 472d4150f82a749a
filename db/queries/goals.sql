-- name: InsertGoalClick :exec
INSERT INTO goal_clicks (tenant_id, postback_id, click_id, offer_id, event_id, recorded_at, is_test)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id, postback_id) DO NOTHING;

-- name: GoalClicksOfClick :many
SELECT * FROM goal_clicks WHERE tenant_id = $1 AND click_id = $2 ORDER BY postback_id LIMIT 1000;

-- name: CountGoalClicks :many
-- How often each of these goals was recorded as a click, and on how many clicks of members.
SELECT event_id, count(*) AS clicks, count(DISTINCT click_id) AS sessions FROM goal_clicks
WHERE tenant_id = @tenant_id AND event_id = ANY(@event_ids::uuid[]) AND NOT is_test
GROUP BY event_id;
