-- What offers brought a tenant of late, from which their EPC is (rule 43). A schedule computes it.

-- name: ListEarnings :many
-- Of all the tenant's offers that ever brought anything; of any other it is nothing.
SELECT offer_id, clicks, conversions, revenue_micros, last_revenue_at FROM offer_earnings WHERE tenant_id = $1;
