-- Across tenants, by the system role: letting go of what is old. Each deletes a bounded number of rows.

-- name: SystemOldMonths :many
SELECT offerflow_old_months(@parent::text, @before::timestamptz)::text AS month;

-- name: SystemForgetAttempts :execrows
-- Attempts of what still waits are looked at by its next one.
DELETE FROM delivery_attempts a WHERE (a.tenant_id, a.delivery_id, a.number) IN (
  SELECT o.tenant_id, o.delivery_id, o.number FROM delivery_attempts o JOIN deliveries d ON d.id = o.delivery_id
  WHERE o.at < @before AND d.state <> 'waiting' LIMIT @at_most);

-- name: SystemForgetAudit :execrows
DELETE FROM audit_log WHERE (tenant_id, id) IN (SELECT o.tenant_id, o.id FROM audit_log o WHERE o.at < @before LIMIT @at_most);

-- name: SystemForgetOfferViews :execrows
DELETE FROM offer_views WHERE (tenant_id, id) IN (
  SELECT o.tenant_id, o.id FROM offer_views o WHERE o.created_at < @before ORDER BY o.created_at LIMIT @at_most);

-- name: SystemForgetReconciliations :execrows
-- Those that found both books equal, but the last of each partnership: the next one goes on from it.
DELETE FROM reconciliations WHERE (partnership_id, id) IN (
  SELECT o.partnership_id, o.id FROM reconciliations o WHERE o.found = 0 AND o.at < @before
    AND EXISTS (SELECT 1 FROM reconciliations n WHERE n.partnership_id = o.partnership_id AND n.at > o.at) ORDER BY o.at LIMIT @at_most);

-- name: SystemForgetNonces :execrows
DELETE FROM nonces WHERE (tenant_id, advertiser_id, nonce) IN (
  SELECT o.tenant_id, o.advertiser_id, o.nonce FROM nonces o WHERE o.seen_at < @before ORDER BY o.seen_at LIMIT @at_most FOR UPDATE SKIP LOCKED);

-- name: SystemForgetIdempotencyKeys :execrows
DELETE FROM idempotency_keys WHERE (tenant_id, key, route) IN (
  SELECT o.tenant_id, o.key, o.route FROM idempotency_keys o WHERE o.created_at < @before ORDER BY o.created_at LIMIT @at_most FOR UPDATE SKIP LOCKED);
