-- Across tenants, by the system role.

-- name: SystemClickByID :one
-- The row that is decided: of a shared offer's click the advertiser's (rule 58).
-- unrepeatable: the goals of its live conversions that a postback with this cnv_conversion_id only repeats. One
-- that awaits the advertiser's verdict (rule 77) is none: the postback may bring it.
-- The rest is what says, before any decision, that a postback will be refused (Decisions.ChangesNothing).
SELECT k.tenant_id, k.id, k.clicked_at, k.link_id, k.offer_id, k.offer_version, k.advertiser_id, k.partner_id, k.pub_member_id,
  k.refused_reason, k.session_ends_at, k.side, k.is_test,
  ARRAY(SELECT c.event_id FROM conversions c WHERE c.tenant_id = k.tenant_id AND c.click_id = k.id AND c.status <> 'Rejected' AND NOT c.awaits_verdict
    AND (c.unique_per <> 'none' OR @cnv_conversion_id::text <> '' AND c.cnv_conversion_id = @cnv_conversion_id)
    ORDER BY c.received_at, c.id LIMIT 100)::uuid[] AS unrepeatable,
  o.version AS current_version, t.goals_enabled, t.postback_security, a.security_token_hash, a.signing_secret_sealed, a.ip_allowlist,
  a.previous_secret_sealed, a.previous_secret_until, a.key_hash, a.previous_key_hash, a.previous_key_until
FROM clicks k
JOIN tenants t ON t.tenant_id = k.tenant_id
JOIN offers o ON o.id = k.offer_id
JOIN advertisers a ON a.tenant_id = k.tenant_id AND a.id = k.advertiser_id
WHERE k.id = @id AND k.side <> 'publisher';
