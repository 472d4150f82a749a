-- Proposals of one side of a shared offer to the other (rule 57). Row-level security lets both sides of the
-- partnership read them, and each write as the side that it is.

-- name: InsertProposal :execrows
-- 0 where the same is proposed already and is open still.
INSERT INTO offer_proposals (id, partnership_id, offer_id, side, by, at, version, patch, event_ids, changes, fingerprint, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'open')
ON CONFLICT (offer_id, side, fingerprint) WHERE state = 'open' DO NOTHING;

-- name: OpenProposal :one
SELECT r.id FROM offer_proposals r
JOIN partnerships p ON p.id = r.partnership_id AND @tenant_id::uuid IN (p.advertiser_tenant_id, p.publisher_tenant_id)
WHERE r.partnership_id = @partnership_id AND r.offer_id = @offer_id AND r.side = @side AND r.fingerprint = @fingerprint AND r.state = 'open';

-- name: CountOpenProposals :one
SELECT count(*) FROM offer_proposals r
JOIN partnerships p ON p.id = r.partnership_id AND @tenant_id::uuid IN (p.advertiser_tenant_id, p.publisher_tenant_id)
WHERE r.partnership_id = @partnership_id AND r.offer_id = @offer_id AND r.side = @side AND r.state = 'open';

-- name: GetProposal :one
SELECT r.* FROM offer_proposals r
JOIN partnerships p ON p.id = r.partnership_id AND @tenant_id::uuid IN (p.advertiser_tenant_id, p.publisher_tenant_id)
WHERE r.id = @id AND r.offer_id = @offer_id;

-- name: DecideProposal :execrows
-- Under the lock on the offer's row.
UPDATE offer_proposals r SET state = @state, decided_at = @decided_at::timestamptz, decided_by = @decided_by, decided_side = @decided_side,
  reason = @reason, made_version = sqlc.narg('made_version')
FROM partnerships p
WHERE p.id = r.partnership_id AND @tenant_id::uuid IN (p.advertiser_tenant_id, p.publisher_tenant_id)
  AND r.id = @id AND r.offer_id = @offer_id AND r.state = 'open';

-- name: ProposalOfNotice :one
SELECT r.* FROM offer_proposals r
JOIN partnerships p ON p.id = r.partnership_id AND @tenant_id::uuid IN (p.advertiser_tenant_id, p.publisher_tenant_id)
WHERE r.partnership_id = @partnership_id AND r.id = @id;
