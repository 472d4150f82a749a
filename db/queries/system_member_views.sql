-- What a member's own view is made of beyond its tenant's rows, by the system role.

-- name: SystemHeldOfMember :many
-- Early events of a publisher's member in shared offers: they wait in the book of the tenant whose the
-- offer is, under the member's own clicks. The caller has seen that the tenant has the offers.
SELECT c.offer_id, h.event_id, min(h.decide_by)::timestamptz AS decide_by
FROM clicks c JOIN offers o ON o.id = c.offer_id JOIN held_postbacks h ON h.tenant_id = o.tenant_id AND h.click_id = c.id
WHERE c.tenant_id = @tenant_id AND c.pub_member_id = @pub_member_id::text AND c.offer_id = ANY(@offer_ids::uuid[])
GROUP BY c.offer_id, h.event_id;
