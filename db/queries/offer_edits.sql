-- Edits of shared offers: one row that two tenants change (rules 55 to 57).

-- name: ShareOfOffer :one
-- The partnership of a shared offer, and the side of it that the tenant is on; none for another offer.
SELECT a.side, o.is_requested, p.* FROM partnerships p
JOIN offers o ON o.id = p.offer_id
JOIN offer_access a ON a.tenant_id = @tenant_id AND a.offer_id = p.offer_id
WHERE p.offer_id = @offer_id AND @tenant_id IN (p.advertiser_tenant_id, p.publisher_tenant_id);

-- name: InsertOfferChanges :exec
-- The entries of one edit, as a list of {field, old, new}; null there is NULL here.
INSERT INTO offer_changes (offer_id, version, field, old, new, at, by, side)
SELECT @offer_id, @version, c.field, c.old, c.new, @at, @by, @side
FROM jsonb_to_recordset(@changes) AS c(field text, old jsonb, new jsonb);

-- name: ShareAdvertiser :exec
-- The publisher's entry for an advertiser of the offer's owner, unless it has one: the same id, an
-- address that nothing answers to. Its name is read under a lock: whoever changes it at the same time finds
-- the entry, or is waited for. By the system when an offer is shared, by the owner when it gives it
-- another advertiser. No conflict target: that would ask an owner for the publisher's rows.
INSERT INTO advertisers (tenant_id, id, key, name, ip_allowlist, created_at, exchange_tenant_id)
SELECT @publisher_tenant_id::uuid, a.id, @key, a.name, '{}', @created_at, a.tenant_id
FROM advertisers a WHERE a.tenant_id = @advertiser_tenant_id::uuid AND a.id = @id
FOR SHARE
ON CONFLICT DO NOTHING;

-- name: OfferWasEditedBy :one
-- Whether a version of an offer is an actor's.
SELECT EXISTS (SELECT 1 FROM offer_versions v JOIN offer_access a ON a.tenant_id = current_tenant() AND a.offer_id = v.offer_id
  WHERE v.offer_id = $1 AND v.created_by = $2)::boolean;
