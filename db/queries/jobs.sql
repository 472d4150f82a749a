-- Reviews of many and uploads (rule 27).

-- name: InsertJob :execrows
INSERT INTO jobs (tenant_id, id, action, state, actor, note, override_caps, filter, columns, total, created_at, fields)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (id) DO NOTHING;

-- name: GetJob :one
SELECT * FROM jobs WHERE tenant_id = $1 AND id = $2;

-- name: InsertJobConversions :exec
-- The conversions that a review names, in the order given, each once.
INSERT INTO job_items (tenant_id, job_id, number, conversion_id)
SELECT @tenant_id, @job_id, given.number, given.id FROM unnest(@conversion_ids::uuid[]) WITH ORDINALITY AS given(id, number);

-- name: InsertJobShares :execrows
-- The shares of an offer that have not ended, the oldest first.
INSERT INTO job_items (tenant_id, job_id, number, offer_id)
SELECT @tenant_id::uuid, @job_id::uuid, row_number() OVER (ORDER BY p.id), p.offer_id FROM partnerships p
WHERE p.source_offer_id = @source_offer_id AND p.advertiser_tenant_id = @tenant_id::uuid AND p.ended_at IS NULL;

-- name: CountShares :one
SELECT count(*) FROM partnerships WHERE advertiser_tenant_id = @tenant_id AND source_offer_id = @source_offer_id AND ended_at IS NULL;

-- name: InsertJobLines :exec
INSERT INTO job_items (tenant_id, job_id, number, line)
SELECT @tenant_id, @job_id, unnest(@numbers::bigint[]), unnest(@lines::text[]);

-- name: SetJobTotal :exec
UPDATE jobs SET total = @total WHERE tenant_id = @tenant_id AND id = @id;

-- name: StartJob :exec
-- An upload whose last line is there.
UPDATE jobs SET state = 'running', total = @total WHERE tenant_id = @tenant_id AND id = @id AND state = 'receiving';

-- name: PauseJob :execrows
UPDATE jobs SET state = 'paused' WHERE tenant_id = $1 AND id = $2 AND state = 'running';

-- name: ResumeJob :execrows
UPDATE jobs SET state = 'running' WHERE tenant_id = $1 AND id = $2 AND state = 'paused';

-- name: FinishJob :exec
UPDATE jobs SET state = 'done', finished_at = @finished_at WHERE tenant_id = @tenant_id AND id = @id AND state = 'running';

-- name: DeleteJobItems :exec
DELETE FROM job_items WHERE tenant_id = $1 AND job_id = $2;

-- name: DeleteJob :exec
DELETE FROM jobs WHERE tenant_id = $1 AND id = $2 AND state = 'receiving';

-- name: WaitingItems :many
-- The next items of a job, with the age of the conversion that each is about.
SELECT i.number, i.line, i.conversion_id, i.offer_id, c.created_at AS conversion_created_at FROM job_items i
LEFT JOIN conversions c ON c.tenant_id = i.tenant_id AND c.id = i.conversion_id
WHERE i.tenant_id = @tenant_id AND i.job_id = @job_id AND i.number > @after AND i.state = 'waiting'
ORDER BY i.number LIMIT @most;

-- name: EndItems :one
-- Ends some items and counts them, each once however often it is asked; the answer is the job's
-- state, so that a pause is seen between any two of these. A sum that is out of range stands at the
-- largest there is: it is for people, and keeps no item from its end.
WITH results AS (
  SELECT r.number::bigint AS number, r.state::text AS state, r."conversionId"::uuid AS conversion_id, r."postbackId"::uuid AS postback_id,
    r.field::text AS field, r.error::text AS error, r.revenue::bigint AS revenue, r.cost::bigint AS cost, r.payout::bigint AS payout, r.reward::bigint AS reward
  FROM jsonb_to_recordset(@results::jsonb) AS r(number bigint, state text, "conversionId" uuid, "postbackId" uuid, field text,
    error text, revenue bigint, cost bigint, payout bigint, reward bigint)
), ended AS (
  UPDATE job_items i SET state = r.state, conversion_id = coalesce(r.conversion_id, i.conversion_id), postback_id = r.postback_id,
    field = r.field, error = r.error
  FROM results r WHERE i.tenant_id = @tenant_id AND i.job_id = @job_id AND i.number = r.number AND i.state = 'waiting'
  RETURNING i.state AS ended_as, r.revenue, r.cost, r.payout, r.reward
), counted AS (
  SELECT count(*) FILTER (WHERE e.ended_as = 'changed') AS changed, count(*) FILTER (WHERE e.ended_as = 'unchanged') AS unchanged,
    count(*) FILTER (WHERE e.ended_as = 'failed') AS failed, coalesce(sum(e.revenue), 0) AS revenue, coalesce(sum(e.cost), 0) AS cost,
    coalesce(sum(e.payout), 0) AS payout, coalesce(sum(e.reward), 0) AS reward FROM ended e
)
UPDATE jobs j SET changed = j.changed + c.changed, unchanged = j.unchanged + c.unchanged, failed = j.failed + c.failed,
  revenue_micros = least(j.revenue_micros + c.revenue, 9223372036854775807)::bigint, cost_micros = least(j.cost_micros + c.cost, 9223372036854775807)::bigint, payout_micros = least(j.payout_micros + c.payout, 9223372036854775807)::bigint, reward_micros = least(j.reward_micros + c.reward, 9223372036854775807)::bigint
FROM counted c WHERE j.tenant_id = @tenant_id AND j.id = @job_id
RETURNING j.state;

-- name: FailedItems :many
-- The first items that failed.
SELECT number, line, conversion_id, offer_id, field, error FROM job_items
WHERE tenant_id = @tenant_id AND job_id = @job_id AND state = 'failed' ORDER BY number LIMIT @most;

-- name: AdjustConversion :execrows
-- New figures under the lock; the sequence guards against a second one.
UPDATE conversions SET amount_micros = @amount_micros, revenue_micros = @revenue_micros, payout_micros = @payout_micros,
  reward_micros = @reward_micros, sequence = @sequence
WHERE tenant_id = @tenant_id AND id = @id AND sequence = @was_sequence;

-- name: InsertAdjustment :exec
-- The transition of an adjustment, from a status to itself, with the figures that it found and left.
INSERT INTO transitions (tenant_id, conversion_id, sequence, from_status, to_status, at, actor, note, override_caps, request_id,
  figures_before, figures_after)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: OutcomesOfPostbacks :many
-- How postbacks stand now: one that was held has its end state later.
SELECT id, click_id, outcome, reason, status, detail, hint FROM postbacks WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]);
