-- What members were shown: the views of offers' details.

-- name: InsertOfferView :exec
INSERT INTO offer_views (tenant_id, id, offer_id, pub_member_id, placement_id, params, created_at, creative_order) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: GetOfferView :one
SELECT * FROM offer_views WHERE tenant_id = $1 AND id = $2;

-- name: StartedOffersOfMember :many
-- The offers that a member has clicked, and the last click whose session is open, if any is. Refused clicks and
-- tests start nothing.
SELECT k.offer_id, min(k.clicked_at)::timestamptz AS started_at, max(k.clicked_at)::timestamptz AS last_click_at,
  max(k.session_ends_at)::timestamptz AS session_ends_at, (array_agg(k.id ORDER BY k.session_ends_at > @at::timestamptz DESC, k.id DESC))[1]::uuid AS session_id
FROM clicks k
WHERE k.tenant_id = @tenant_id AND k.pub_member_id = @pub_member_id::text AND k.refused_reason = '' AND NOT k.is_test
GROUP BY k.offer_id ORDER BY last_click_at DESC, k.offer_id DESC;

-- name: OpenSessionOfMember :one
-- The member's last click on an offer, while something can come of it. IS TRUE fits no index: the member's
-- clicks are fewer than the offer's.
SELECT k.id FROM clicks k
WHERE k.tenant_id = @tenant_id AND k.pub_member_id = @pub_member_id::text AND (k.offer_id = @offer_id::uuid) IS TRUE AND k.refused_reason = '' AND NOT k.is_test
  AND k.session_ends_at > @at::timestamptz
ORDER BY k.id DESC LIMIT 1;
