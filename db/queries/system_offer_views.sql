-- Across tenants, by the system role: a click says which view it comes from, and nothing else.

-- name: SystemOfferView :one
SELECT * FROM offer_views WHERE id = $1;
