-- Notices by email to one side of a partnership about what the other did (rule 56).

-- name: NoticeOf :one
-- What a notice names, as the recipient sees it. The partnership is there for its two sides alone.
SELECT p.offer_id, o.name AS offer_name, p.advertiser_name, p.publisher_name, p.ended_at, p.end_reason, o.is_requested
FROM partnerships p
JOIN offer_access a ON a.offer_id = p.offer_id AND a.tenant_id = @tenant_id
JOIN offers o ON o.id = a.offer_id
WHERE p.id = @partnership_id AND @tenant_id IN (p.advertiser_tenant_id, p.publisher_tenant_id);

-- name: ChangesOfVersion :many
SELECT c.field, c.old, c.new, c.at, c.by FROM offer_changes c
JOIN offer_access a ON a.offer_id = c.offer_id AND a.tenant_id = @tenant_id
WHERE c.offer_id = @offer_id AND c.version = @version
ORDER BY c.field;

-- name: InsertNotice :execrows
-- One per version: made again, it changes nothing.
INSERT INTO deliveries (tenant_id, id, kind, endpoint_id, sequence, state, body, last_error, created_at, finished_at)
VALUES (@tenant_id, @id, 'email', @endpoint_id, @sequence, @state, @body, @last_error, @created_at, @finished_at)
ON CONFLICT (tenant_id, endpoint_id, sequence) WHERE kind = 'email' DO NOTHING;

-- name: NoticeAddress :one
-- Where a tenant's notices go now: the contact of its profile, else its own address.
SELECT coalesce(nullif(e.contact, ''), t.email)::text AS address FROM tenants t
LEFT JOIN exchange_profiles e ON e.tenant_id = t.tenant_id
WHERE t.tenant_id = @tenant_id;

-- name: ConversionRequest :one
SELECT r.conversion_id, r.action, r.reason, r.at, r.by FROM conversion_requests r
JOIN partnerships p ON p.id = r.partnership_id AND @tenant_id IN (p.advertiser_tenant_id, p.publisher_tenant_id)
WHERE r.partnership_id = @partnership_id AND r.id = @id;

-- name: InsertConversionRequest :execrows
-- sequence is the conversion's: 0 rows where the same was asked since it last moved.
INSERT INTO conversion_requests (partnership_id, id, conversion_id, action, reason, at, by, sequence) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (partnership_id, conversion_id, action, sequence) WHERE sequence > 0 DO NOTHING;

-- name: StandingRequest :one
SELECT id FROM conversion_requests
WHERE partnership_id = @partnership_id AND conversion_id = @conversion_id AND action = @action AND sequence = @sequence;
