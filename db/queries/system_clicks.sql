-- Across tenants, by the system role.

-- name: SystemClickByID :one
SELECT tenant_id, id, clicked_at, link_id, offer_id, offer_version, advertiser_id, partner_id, pub_member_id, refused_reason, session_ends_at
FROM clicks WHERE id = $1;

-- name: SystemAdvertiserByKey :one
SELECT tenant_id, id FROM advertisers WHERE key = $1;
