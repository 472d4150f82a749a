-- Across tenants, by the system role.

-- name: SystemClickByID :one
-- The row that is decided: of a shared offer's click the advertiser's (rule 58).
-- is_repeat: a postback of this event repeats one that is live and takes no repetitions.
SELECT tenant_id, id, clicked_at, link_id, offer_id, offer_version, advertiser_id, partner_id, pub_member_id, refused_reason, session_ends_at, side,
  EXISTS (SELECT 1 FROM conversions c WHERE c.tenant_id = clicks.tenant_id AND c.click_id = clicks.id AND c.status <> 'Rejected'
    AND c.unique_per <> 'none' AND c.cnv_event_id = @cnv_event_id
    AND c.cnv_goal_id = @cnv_goal_id AND c.cnv_goal_name = @cnv_goal_name) AS is_repeat
FROM clicks WHERE clicks.id = @id AND clicks.side <> 'publisher';
