-- Export and erasure of a member's data (docs/members-data.md). pub_member_id is any text of the publisher's.

-- name: LockErasures :exec
-- One request for the erasure of a member at a time.
SELECT pg_advisory_xact_lock(hashtextextended('erasure ' || @tenant_id::uuid || ' ' || @member_hash::text, 0));

-- name: LastErasure :one
-- The last erasure of a member, while its id is known.
SELECT e.job_id, e.pseudonym, e.finished_at, j.state FROM member_erasures e JOIN jobs j ON j.tenant_id = e.tenant_id AND j.id = e.job_id
WHERE e.tenant_id = @tenant_id AND e.member_hash = @member_hash AND e.member_hash <> '' ORDER BY e.job_id DESC LIMIT 1;

-- name: InsertErasure :exec
INSERT INTO member_erasures (tenant_id, job_id, pseudonym, erased_before, member_hash, member_sealed) VALUES ($1, $2, $3, $4, $5, $6);

-- name: CountClicksOfMember :one
-- Up to a number of them.
SELECT count(*) FROM (SELECT 1 FROM clicks c WHERE c.tenant_id = @tenant_id AND c.pub_member_id = @pub_member_id::text AND c.id < uuid_v7_floor(@before::timestamptz) LIMIT @at_most) c;

-- name: ClicksOfMemberBehind :many
SELECT c.id FROM clicks c WHERE c.tenant_id = @tenant_id AND c.pub_member_id = @pub_member_id::text AND c.id > @after ORDER BY c.id LIMIT @at_most;
