-- name: ReserveCap :one
-- Rule 30: takes amount from a cap or budget only where it fits; no row is touched where it does
-- not. One statement, so that n callers for k slots get exactly k. A counter that is not there yet
-- begins with what is live in its period, the caller's own conversion with it, which is written
-- already: the cap may have been set after a period whose postback was held until now.
INSERT INTO cap_counters AS c (tenant_id, scope, scope_id, period, period_start, value)
SELECT @tenant_id::uuid, @scope::text, @scope_id::uuid, @period::text, @period_start::date, first.value::bigint
FROM (SELECT CASE
  WHEN EXISTS (SELECT 1 FROM cap_counters k WHERE k.tenant_id = @tenant_id::uuid AND k.scope = @scope::text AND k.scope_id = @scope_id::uuid
    AND k.period = @period::text AND k.period_start = @period_start::date) THEN @amount::bigint
  WHEN @scope::text = 'event' THEN (SELECT count(*) FROM conversions v WHERE v.tenant_id = @tenant_id::uuid AND v.event_id = @scope_id::uuid
    AND v.is_counted AND v.counted_day >= @period_start::date AND v.counted_day < @period_end::date)
  WHEN @scope::text = 'partner' THEN (SELECT count(*) FROM conversions v WHERE v.tenant_id = @tenant_id::uuid AND v.partner_id = @scope_id::uuid
    AND v.is_counted AND v.counted_day >= @period_start::date AND v.counted_day < @period_end::date)
  ELSE (SELECT coalesce(sum(v.revenue_micros), 0) FROM conversions v WHERE v.tenant_id = @tenant_id::uuid AND v.offer_id = @scope_id::uuid
    AND v.is_counted AND v.counted_day >= @period_start::date AND v.counted_day < @period_end::date)
  END::numeric AS value) first
WHERE @amount::bigint <= @ceiling::bigint AND first.value <= @ceiling::bigint
ON CONFLICT (tenant_id, scope, scope_id, period, period_start)
DO UPDATE SET value = c.value + @amount::bigint WHERE c.value::numeric + @amount::bigint <= @ceiling::bigint
RETURNING value;

-- name: ReleaseCap :exec
-- Rule 28: a rejected one gives its slot back in the period it was counted in.
UPDATE cap_counters SET value = greatest(0, value - @amount::bigint)
WHERE tenant_id = @tenant_id AND scope = @scope AND scope_id = @scope_id AND period = @period AND period_start = @period_start;

-- name: SeedCounter :exec
-- A cap that is newly set starts from what is live already. The caller holds the offer's or
-- partner's lock exclusively, so that no decision is under way.
INSERT INTO cap_counters (tenant_id, scope, scope_id, period, period_start, value) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, scope, scope_id, period, period_start) DO UPDATE SET value = excluded.value;

-- name: DropCounters :exec
-- Nobody keeps the counters of a cap that is not set; set again, each begins with its recount. The
-- caller holds the lock as for SeedCounter.
DELETE FROM cap_counters WHERE tenant_id = @tenant_id AND scope = @scope AND scope_id = @scope_id AND period = @period;

-- name: CountersOf :many
SELECT * FROM cap_counters WHERE tenant_id = @tenant_id AND scope_id = ANY(@scope_ids::uuid[]) AND period_start = ANY(@period_starts::date[]);

-- name: CountLiveOfEvent :one
SELECT count(*) FROM conversions WHERE tenant_id = @tenant_id AND event_id = @event_id AND is_counted
  AND counted_day >= @from_day::date AND counted_day < @to_day::date;

-- name: CountLiveOfPartner :one
SELECT count(*) FROM conversions WHERE tenant_id = @tenant_id AND partner_id = @partner_id::uuid AND is_counted
  AND counted_day >= @from_day::date AND counted_day < @to_day::date;

-- name: SumLiveRevenueOfOffer :one
-- A sum that no counter holds is the largest that one does: nothing fits in any more.
SELECT least(coalesce(sum(revenue_micros), 0), 9223372036854775807)::bigint FROM conversions WHERE tenant_id = @tenant_id AND offer_id = @offer_id AND is_counted
  AND counted_day >= @from_day::date AND counted_day < @to_day::date;

-- name: OwnCapLock :exec
-- subject is 'offer <id>' or 'partner <id>'. Decisions share this lock (LockClick); a change of caps
-- takes it alone, so that its seed misses nothing.
SELECT pg_advisory_xact_lock(hashtextextended('caps ' || @subject::text, 0));
