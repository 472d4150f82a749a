-- What a member's own view is made of. pub_member_id is any text of the publisher's.

-- name: PointsOfMember :one
SELECT coalesce((SELECT b.points_micros FROM member_balances b WHERE b.tenant_id = @tenant_id AND b.pub_member_id = @pub_member_id::text), 0)::bigint AS points,
  coalesce((SELECT sum(c.reward_micros) FROM conversions c WHERE c.tenant_id = @tenant_id AND c.pub_member_id = @pub_member_id::text
    AND c.status = 'Pending' AND NOT c.is_test), 0)::bigint AS pending_points;

-- name: ConversionsOfMember :many
SELECT * FROM conversions WHERE tenant_id = @tenant_id AND pub_member_id = @pub_member_id::text AND offer_id = ANY(@offer_ids::uuid[])
ORDER BY created_at, id;

-- name: HeldOfMember :many
-- Early events that wait for their predecessor (rule 14).
SELECT c.offer_id, h.event_id, min(h.decide_by)::timestamptz AS decide_by
FROM held_postbacks h JOIN clicks c ON c.tenant_id = h.tenant_id AND c.id = h.click_id
WHERE h.tenant_id = @tenant_id AND c.pub_member_id = @pub_member_id::text AND c.offer_id = ANY(@offer_ids::uuid[])
GROUP BY c.offer_id, h.event_id;

-- name: CurrentVersions :many
SELECT o.id, v.document FROM offers o JOIN offer_access a ON a.tenant_id = current_tenant() AND a.offer_id = o.id
JOIN offer_versions v ON v.offer_id = o.id AND v.version = o.version
WHERE o.id = ANY(@ids::uuid[]);

-- name: StandingOfMember :many
-- Of every event the conversion that stands for it: the newest live one, a rejected one only where
-- there is none. Without an offer it is that of all offers.
SELECT DISTINCT ON (offer_id, event_id) * FROM conversions
WHERE tenant_id = @tenant_id AND pub_member_id = @pub_member_id::text AND NOT is_test AND (offer_id = sqlc.narg(offer_id)::uuid) IS NOT FALSE
ORDER BY offer_id, event_id, status = 'Rejected', created_at DESC, id DESC;
