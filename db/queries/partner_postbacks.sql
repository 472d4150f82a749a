-- name: InsertPartnerPostback :execrows
-- A repeated request brings the same id.
INSERT INTO partner_postbacks (tenant_id, id, partner_id, event_id, url, method, events, status, disabled_at, disabled_reason, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (tenant_id, id) DO NOTHING;

-- name: GetPartnerPostback :one
SELECT * FROM partner_postbacks WHERE tenant_id = $1 AND id = $2;

-- name: LockPartnerPostback :one
SELECT * FROM partner_postbacks WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: UpdatePartnerPostback :exec
-- Whatever disabled it is over: somebody has just said that it is to be called.
UPDATE partner_postbacks SET event_id = @event_id, url = @url, method = @method, events = @events, status = @status,
  disabled_at = NULL, disabled_reason = '', updated_at = @updated_at
WHERE tenant_id = @tenant_id AND id = @id;

-- name: OfferOfEvent :one
SELECT offer_id FROM offer_events WHERE tenant_id = $1 AND id = $2;

-- name: PartnerNewsOf :one
-- What partners may be told of a conversion, and what says whether its goal is hidden from them: at
-- the decision, and now (rules 66, 69). The click is the publisher's: the other side of a shared
-- offer has none.
SELECT sqlc.embed(c), coalesce(k.pub_click_id, '')::text AS pub_click_id, coalesce(k.pub_subs, '{}')::text[] AS pub_subs, coalesce(k.source, '')::text AS source,
  coalesce(decided.document->>'name', '')::text AS offer_name,
  coalesce(jsonb_path_query_first(decided.document, '$.events[*] ? (@.id == $id)', jsonb_build_object('id', c.event_id)), '{}')::jsonb AS event,
  present.document AS offer_now, t.goals_enabled
FROM conversions c
JOIN tenants t ON t.tenant_id = c.tenant_id
JOIN offers o ON o.id = c.offer_id
JOIN offer_versions decided ON decided.offer_id = c.offer_id AND decided.version = c.offer_version
JOIN offer_versions present ON present.offer_id = c.offer_id AND present.version = o.version
LEFT JOIN clicks k ON k.tenant_id = c.tenant_id AND k.id = c.click_id
WHERE c.tenant_id = $1 AND c.id = $2;
