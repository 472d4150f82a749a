-- What people read about conversions and clicks, and what a review needs beside its decisions.

-- name: EventNamesOfVersions :many
-- The names of offers and their events as of the versions that decided conversions.
SELECT v.offer_id, v.version, (e->>'id')::uuid AS event_id, (v.document->>'name')::text AS offer_name,
  coalesce(e->>'eventId', '')::text AS advertisers_name, coalesce(e->>'name', '')::text AS event_name
FROM offer_versions v
JOIN offer_access a ON a.tenant_id = current_tenant() AND a.offer_id = v.offer_id
JOIN (SELECT unnest(@offer_ids::uuid[]) AS offer_id, unnest(@versions::bigint[]) AS version) wanted
  ON wanted.offer_id = v.offer_id AND wanted.version = v.version
CROSS JOIN LATERAL jsonb_array_elements(v.document->'events') AS e;

-- name: EventsByName :many
-- Our ids of the events that an advertiser calls so, in any version of any offer of the tenant.
SELECT DISTINCT (e->>'id')::uuid AS event_id
FROM offer_access a
JOIN offer_versions v ON v.offer_id = a.offer_id
CROSS JOIN LATERAL jsonb_array_elements(v.document->'events') AS e
WHERE a.tenant_id = @tenant_id AND e->>'eventId' = ANY(@names::text[]);

-- name: ConversionsByIDs :many
SELECT * FROM conversions WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]);

-- name: BlockedByLive :many
-- Rejected conversions that cannot be approved, because another one of the same event is live: the
-- same conditions as the unique indexes conversions_live_*. OFFSET 0 keeps PostgreSQL from reading all live
-- conversions of the tenant into a hash table.
SELECT c.id FROM conversions c
WHERE c.tenant_id = @tenant_id AND c.id = ANY(@ids::uuid[]) AND c.status = 'Rejected' AND (
  c.unique_per <> 'none' AND EXISTS (SELECT 1 FROM conversions o WHERE o.tenant_id = c.tenant_id AND o.click_id = c.click_id
    AND o.event_id = c.event_id AND o.status <> 'Rejected' AND o.unique_per <> 'none' OFFSET 0)
  OR c.unique_per = 'member' AND EXISTS (SELECT 1 FROM conversions o WHERE o.tenant_id = c.tenant_id
    AND CASE WHEN o.member_key IS NULL THEN o.pub_member_id ELSE o.member_key END = CASE WHEN c.member_key IS NULL THEN c.pub_member_id ELSE c.member_key END
    AND o.event_id = c.event_id AND o.status <> 'Rejected' AND o.unique_per = 'member' OFFSET 0)
  OR c.unique_per = 'none' AND c.cnv_conversion_id <> '' AND EXISTS (SELECT 1 FROM conversions o WHERE o.tenant_id = c.tenant_id
    AND o.click_id = c.click_id AND o.event_id = c.event_id AND o.cnv_conversion_id = c.cnv_conversion_id
    AND o.status <> 'Rejected' AND o.unique_per = 'none' OFFSET 0));

-- name: MovesOfReview :many
-- What a review's request changed.
SELECT * FROM transitions WHERE tenant_id = @tenant_id AND conversion_id = ANY(@ids::uuid[]) AND request_id = @request_id;
