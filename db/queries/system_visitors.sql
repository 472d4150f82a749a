-- name: SystemClicksOfVisitor :many
-- The latest clicks of one offer and partner from one address and User-Agent, newest first, between
-- two instants. Across tenants: offer and partner say whose they are.
SELECT c.id, c.pub_member_id
FROM offer_access a
JOIN partners p ON p.tenant_id = a.tenant_id AND p.id = @partner_id
JOIN clicks c ON c.tenant_id = a.tenant_id AND c.offer_id = a.offer_id AND c.partner_id = p.id AND c.partner_id IS NOT NULL
WHERE a.offer_id = @offer_id AND c.ip = @ip AND c.user_agent = @user_agent AND c.refused_reason = ''
  AND c.id >= uuid_v7_floor(@since::timestamptz) AND c.clicked_at >= @since::timestamptz
  AND c.clicked_at <= @until::timestamptz AND c.session_ends_at > @until::timestamptz
ORDER BY c.id DESC LIMIT 100;
