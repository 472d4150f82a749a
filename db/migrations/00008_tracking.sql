-- +goose Up
-- Compatible tracking.

-- The source of the traffic, as a link says it: partners' postbacks may ask for it back.
ALTER TABLE clicks ADD COLUMN source text NOT NULL DEFAULT '';

-- The older protocol names an offer and a partner instead of a click: the visitor's last one is
-- found by its address. Only clicks of partners can be meant, and only they are indexed.
CREATE INDEX clicks_visitor ON clicks (tenant_id, offer_id, ip, id) WHERE partner_id IS NOT NULL AND refused_reason = '';
-- Who may have an offer, by the offer: tracking knows no tenant yet.
CREATE INDEX offer_access_offer ON offer_access (offer_id);

-- +goose Down
DROP INDEX offer_access_offer, clicks_visitor;
ALTER TABLE clicks DROP COLUMN source;
