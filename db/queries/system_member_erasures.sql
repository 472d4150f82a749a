-- Erasure of a member's data, by the system role: the tables that are otherwise only added to may be changed
-- by it alone. Every statement names the tenant; those about the other book of a shared offer name the clicks,
-- which are one and the same in both.

-- name: SystemGetErasure :one
SELECT * FROM member_erasures WHERE tenant_id = @tenant_id AND job_id = @job_id;

-- name: SystemFinishErasure :exec
UPDATE member_erasures SET finished_at = @finished_at::timestamptz, next_pass_at = @next_pass_at::timestamptz
WHERE tenant_id = @tenant_id AND job_id = @job_id AND finished_at IS NULL;

-- name: SystemDueErasures :many
SELECT * FROM member_erasures WHERE next_pass_at <= @before::timestamptz ORDER BY next_pass_at, job_id LIMIT @at_most;

-- name: SystemErasurePassed :exec
-- One pass more was done. Without a next one the member's id is forgotten.
UPDATE member_erasures SET passes = passes + 1, next_pass_at = sqlc.narg('next_pass_at')::timestamptz,
  member_hash = CASE WHEN sqlc.narg('next_pass_at')::timestamptz IS NULL THEN '' ELSE member_hash END,
  member_sealed = CASE WHEN sqlc.narg('next_pass_at')::timestamptz IS NULL THEN '' ELSE member_sealed END
WHERE tenant_id = @tenant_id AND job_id = @job_id AND passes = @passes;

-- name: SystemClicksToErase :many
-- Clicks of the member, and those that something of the member's is still stored under.
SELECT c.id FROM (SELECT k.id FROM clicks k WHERE k.tenant_id = @tenant_id AND k.pub_member_id = @member::text AND k.id < uuid_v7_floor(@before::timestamptz) ORDER BY k.id LIMIT @at_most) c
UNION
SELECT v.click_id FROM (SELECT w.click_id FROM conversions w WHERE w.tenant_id = @tenant_id AND w.pub_member_id = @member::text AND w.click_id < uuid_v7_floor(@before::timestamptz) LIMIT @at_most) v
UNION
SELECT l.click_id FROM (SELECT v.click_id FROM ledger_entries e
  JOIN ledger_transactions t ON t.tenant_id = e.tenant_id AND t.id = e.transaction_id
  JOIN conversions v ON v.tenant_id = t.tenant_id AND v.id = t.conversion_id
  WHERE e.tenant_id = @tenant_id AND e.account = 'member_points' AND e.party = @member::text AND v.click_id < uuid_v7_floor(@before::timestamptz) LIMIT @at_most) l;

-- name: SystemErasedConversions :many
-- Conversions that have the pseudonym, behind one.
SELECT id, click_id FROM conversions WHERE tenant_id = @tenant_id AND pub_member_id = @pseudonym::text AND id > @after ORDER BY id LIMIT @at_most;

-- name: SystemLockErasedClicks :many
-- The rows of clicks, and those of shared ones in the advertiser's book, locked as a decision locks them.
SELECT k.tenant_id, k.id, k.offer_id, k.side, k.member_key, rollup_bucket(k.id)::timestamptz AS bucket FROM clicks k
WHERE k.id = ANY(@ids::uuid[]) AND (k.tenant_id = @tenant_id OR k.side = 'advertiser') ORDER BY k.id, k.tenant_id FOR UPDATE;

-- name: SystemLockBuckets :exec
-- Those that recompute the buckets wait. The names are those of SystemLockBucket.
SELECT pg_advisory_xact_lock(hashtextextended('rollup ' || bucket, 0)) FROM (SELECT unnest(@buckets::text[]) AS bucket ORDER BY 1) b;

-- name: SystemReplaceVisitors :exec
-- A visitor of buckets is another one from now on (reported_clicks has the same hash), counted as before.
UPDATE click_rollups r SET visitors = array_replace(r.visitors, hashtextextended(r.offer_id::text || @was::text, 0), hashtextextended(r.offer_id::text || @becomes::text, 0))
FROM (SELECT unnest(@offer_ids::uuid[]) AS offer_id, unnest(@buckets::timestamptz[]) AS bucket) b
WHERE r.tenant_id = @tenant_id AND r.bucket = b.bucket AND r.offer_id = b.offer_id
  AND hashtextextended(r.offer_id::text || @was::text, 0) = ANY(r.visitors);

-- name: SystemFirstClickBucket :one
SELECT bucket FROM click_rollups WHERE tenant_id = @tenant_id ORDER BY bucket LIMIT 1;

-- name: SystemReplaceVisitorsBetween :execrows
-- The same for a span of time: the clicks themselves may be gone.
UPDATE click_rollups r SET visitors = array_replace(r.visitors, hashtextextended(r.offer_id::text || @was::text, 0), hashtextextended(r.offer_id::text || @becomes::text, 0))
WHERE r.tenant_id = @tenant_id AND r.bucket >= @since AND r.bucket < @until
  AND hashtextextended(r.offer_id::text || @was::text, 0) = ANY(r.visitors);

-- name: SystemEraseClicks :execrows
-- What reports count by stays: the country in the place where they look for it first.
UPDATE clicks SET pub_member_id = @pseudonym::text, pub_click_id = '', pub_session_id = '', pub_gender = '', pub_age = '',
  country = coalesce(country_code(country), country_code(pub_geo_country), country), pub_geo_country = '', pub_geo_state = '',
  pub_postal_code = '', pub_device = '', pub_subs = '{}', view_id = '', ip = '', user_agent = '', referer = '', source = ''
WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]) AND pub_member_id = @member::text;

-- name: SystemRekeyClicks :exec
-- What stands for the member in the books of advertisers of shared offers.
UPDATE clicks SET member_key = @member_key WHERE tenant_id = ANY(@tenant_ids::uuid[]) AND id = ANY(@ids::uuid[]) AND side = 'advertiser' AND member_key LIKE 'm:%';

-- name: SystemRekeyConversions :exec
UPDATE conversions c SET member_key = @member_key::text,
  unique_per = CASE WHEN c.unique_per = 'member' AND EXISTS (SELECT 1 FROM conversions o WHERE o.tenant_id = c.tenant_id
    AND coalesce(o.member_key, o.pub_member_id) = @member_key::text AND o.event_id = c.event_id AND o.status <> 'Rejected' AND o.unique_per = 'member' AND o.id <> c.id)
    THEN 'click' ELSE c.unique_per END
WHERE c.tenant_id = ANY(@tenant_ids::uuid[]) AND c.click_id = ANY(@ids::uuid[]) AND c.side = 'advertiser' AND c.member_key LIKE 'm:%' AND c.member_key <> @member_key::text;

-- name: SystemEraseConversions :exec
-- Of one event a member has one live conversion at the most (rule 6). Where one was made while the erasure was
-- between two batches, the second counts as the click's.
UPDATE conversions c SET cnv_subs = '{}', pub_member_id = CASE WHEN c.pub_member_id = @member::text THEN @pseudonym::text ELSE c.pub_member_id END,
  unique_per = CASE WHEN c.unique_per = 'member' AND c.pub_member_id = @member::text AND EXISTS (SELECT 1 FROM conversions o WHERE o.tenant_id = c.tenant_id
    AND coalesce(o.member_key, o.pub_member_id) = @pseudonym::text AND o.event_id = c.event_id AND o.status <> 'Rejected' AND o.unique_per = 'member' AND o.id <> c.id)
    THEN 'click' ELSE c.unique_per END
WHERE c.tenant_id = @tenant_id AND c.click_id = ANY(@ids::uuid[]) AND (c.pub_member_id = @member::text OR c.cnv_subs <> '{}');

-- name: SystemConversionsOfClicks :many
SELECT id FROM conversions WHERE tenant_id = @tenant_id AND click_id = ANY(@ids::uuid[]) ORDER BY id;

-- name: SystemMoveEntries :one
-- Whose points they are; the figures stay. The answer is their sum.
WITH moved AS (
  UPDATE ledger_entries e SET party = @pseudonym::text FROM ledger_transactions t
  WHERE t.tenant_id = @tenant_id AND t.conversion_id = ANY(@conversion_ids::uuid[]) AND e.tenant_id = t.tenant_id AND e.transaction_id = t.id
    AND e.account = 'member_points' AND e.party = @member::text
  RETURNING e.amount_micros)
SELECT count(*) AS entries, coalesce(sum(amount_micros), 0)::bigint AS points FROM moved;

-- name: SystemDropEmptyBalance :exec
-- The row of a member that has no points and no entry.
DELETE FROM member_balances b WHERE b.tenant_id = @tenant_id AND b.pub_member_id = @member::text AND b.points_micros = 0
  AND NOT EXISTS (SELECT 1 FROM ledger_entries e WHERE e.tenant_id = @tenant_id AND e.account = 'member_points' AND e.party = @member::text);

-- name: SystemErasePostbacks :exec
-- Parameters that say what happened stay, and whatever else an advertiser sent goes.
UPDATE postbacks p SET params = coalesce((SELECT jsonb_object_agg(sent.key, sent.value) FROM jsonb_each(p.params) sent WHERE lower(sent.key) = ANY(@kept::text[])), '{}'),
  source_ip = '', detail = '', hint = '', warnings = '[]'
WHERE p.tenant_id = @tenant_id AND p.click_id = ANY(@ids::uuid[])
  AND (p.source_ip <> '' OR p.detail <> '' OR p.hint <> '' OR p.warnings <> '[]' OR EXISTS (SELECT 1 FROM jsonb_object_keys(p.params) sent(key) WHERE lower(sent.key) <> ALL(@kept::text[])));

-- name: SystemHeldToErase :many
SELECT postback_id, message FROM held_postbacks WHERE tenant_id = @tenant_id AND click_id = ANY(@ids::uuid[]) ORDER BY postback_id FOR UPDATE;

-- name: SystemSetHeldMessage :exec
UPDATE held_postbacks SET message = @message WHERE tenant_id = @tenant_id AND postback_id = @postback_id;

-- name: SystemEraseNotes :exec
-- What people wrote about the member's conversions: the member's id where it stands by itself (mention).
UPDATE transitions t SET note = regexp_replace(t.note, @mention::text, @pseudonym::text, 'g')
WHERE t.tenant_id = @tenant_id AND t.conversion_id = ANY(@conversion_ids::uuid[]) AND t.note ~ @mention::text;

-- name: SystemEraseRequests :exec
-- The same of what the publisher asked the advertiser for.
UPDATE conversion_requests r SET reason = regexp_replace(r.reason, @mention::text, @pseudonym::text, 'g')
FROM partnerships p WHERE p.publisher_tenant_id = @tenant_id AND r.partnership_id = p.id AND r.conversion_id = ANY(@conversion_ids::uuid[]) AND r.reason ~ @mention::text;

-- name: SystemDeliveriesToErase :many
SELECT id, kind, state, body FROM deliveries WHERE tenant_id = @tenant_id AND conversion_id = ANY(@conversion_ids::uuid[]) ORDER BY id FOR UPDATE;

-- name: SystemSetBodies :exec
UPDATE deliveries d SET body = b.body FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@bodies::text[]) AS body) b
WHERE d.tenant_id = @tenant_id AND d.id = b.id;

-- name: SystemEraseAttempts :exec
-- Of addresses that were called the host stays. Answers may repeat what was sent.
UPDATE delivery_attempts a SET url = coalesce(substring(a.url FROM '^https?://[^/?#]+'), ''), answer = ''
WHERE a.tenant_id = @tenant_id AND a.delivery_id = ANY(@delivery_ids::uuid[]) AND (a.answer <> '' OR a.url <> coalesce(substring(a.url FROM '^https?://[^/?#]+'), ''));

-- name: SystemEraseViews :execrows
UPDATE offer_views v SET pub_member_id = @pseudonym::text, params = '' WHERE v.tenant_id = @tenant_id AND v.id IN (
  SELECT o.id FROM offer_views o WHERE o.tenant_id = @tenant_id AND o.pub_member_id = @member::text AND o.created_at < @before LIMIT @at_most);

-- name: SystemOutboxToErase :many
-- News of the member's conversions that wait to be sent to the streams.
SELECT id, payload FROM outbox WHERE tenant_id = @tenant_id AND payload->'conversion'->>'pubMemberId' = @member::text ORDER BY id FOR UPDATE;

-- name: SystemSetOutboxPayload :exec
UPDATE outbox SET payload = @payload WHERE tenant_id = @tenant_id AND id = @id;

-- name: SystemFailedToErase :many
-- Messages that wait to be sent again: the tenant's, and those that may be several tenants'.
SELECT id, payload FROM failed_messages WHERE (tenant_id = @tenant_id OR tenant_id IS NULL) AND id > @after ORDER BY id LIMIT @at_most;

-- name: SystemIsErasedClick :one
SELECT EXISTS (SELECT 1 FROM clicks WHERE tenant_id = @tenant_id AND id = @id AND pub_member_id = @pseudonym::text);

-- name: SystemSetFailedPayload :exec
-- The error may quote what was sent.
UPDATE failed_messages SET payload = @payload, error = 'taken out with a member''s data' WHERE id = @id;

-- name: SystemJobsNaming :many
-- Jobs whose filter or note has a text. quoted is the text as it stands in JSON.
SELECT id, filter, note FROM jobs WHERE tenant_id = @tenant_id AND (strpos(filter::text, @quoted::text) > 0 OR strpos(note, @text::text) > 0) ORDER BY id FOR UPDATE;

-- name: SystemRenameJob :exec
UPDATE jobs SET filter = @filter, note = @note WHERE tenant_id = @tenant_id AND id = @id;

-- name: SystemAnswersNaming :many
-- Answers that are kept for the same Idempotency-Key. They were written by Go, whose JSON may escape more.
SELECT key, route, answer FROM idempotency_keys WHERE tenant_id = @tenant_id AND (strpos(answer, @quoted::text) > 0 OR strpos(answer, @quoted_by_go::text) > 0)
ORDER BY key, route FOR UPDATE;

-- name: SystemSetAnswer :exec
UPDATE idempotency_keys SET answer = @answer::text WHERE tenant_id = @tenant_id AND key = @key AND route = @route;

-- name: SystemAuditPage :one
-- The last of the next entries behind one.
SELECT p.id FROM (SELECT a.id FROM audit_log a WHERE a.tenant_id = @tenant_id AND a.id > @after ORDER BY a.id LIMIT @at_most) p ORDER BY p.id DESC LIMIT 1;

-- name: SystemAuditNaming :many
-- The entries behind one, up to and with another, that have a text.
SELECT id, noun_id, before, after FROM audit_log WHERE tenant_id = @tenant_id AND id > @after AND id <= @up_to
  AND (noun_id = @text::text OR strpos(before::text, @quoted::text) > 0 OR strpos(after::text, @quoted::text) > 0) ORDER BY id;

-- name: SystemRenameAudit :exec
UPDATE audit_log SET noun_id = @noun_id, before = @before, after = @after WHERE tenant_id = @tenant_id AND id = @id;

-- name: SystemEraseReviews :exec
-- What people wrote when they moved the member's conversions.
UPDATE audit_log a SET after = jsonb_set(a.after, '{reason}', to_jsonb(regexp_replace(a.after->>'reason', @mention::text, @pseudonym::text, 'g')))
WHERE a.tenant_id = @tenant_id AND a.noun = 'conversion' AND a.noun_id = ANY(@conversion_ids::text[]) AND a.after->>'reason' ~ @mention::text;

-- name: SystemEraseTests :exec
-- What a person gave to the test tool for one of the clicks.
UPDATE audit_log a SET after = '{"erased": true}' WHERE a.tenant_id = @tenant_id AND a.noun = 'conversion' AND a.action = 'test' AND a.noun_id = ANY(@click_ids::text[]) AND a.after <> '{"erased": true}';
