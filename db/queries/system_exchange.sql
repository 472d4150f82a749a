-- The Exchange across tenants, by the system role.

-- name: SystemPartnership :one
SELECT * FROM partnerships WHERE id = $1;

-- name: SystemPartnershipOfOffer :one
SELECT * FROM partnerships WHERE offer_id = $1;
