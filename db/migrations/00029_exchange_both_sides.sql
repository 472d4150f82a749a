-- +goose Up
-- What both sides of a shared offer see of each other: scheduled changes (rule 57), and names as they are now.

-- The other side reads a shared offer's scheduled changes, and writes none of them.
CREATE POLICY exchange ON scheduled_changes FOR SELECT TO offerflow_app
  USING (EXISTS (SELECT 1 FROM offer_access a WHERE a.tenant_id = current_tenant() AND a.offer_id = scheduled_changes.offer_id));
CREATE INDEX scheduled_changes_of_offer ON scheduled_changes (offer_id, at, id);

-- A tenant sees no other tenant's row, so that the names that both sides read are kept beside the
-- partnership, and the advertiser's in the publisher's entry. Whoever changes a name changes these too, in
-- the same transaction, by whatever way: the function writes as the system role, which crosses tenants.
-- +goose StatementBegin
CREATE FUNCTION offerflow_name_follows() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
  IF TG_TABLE_NAME = 'tenants' THEN
    UPDATE partnerships SET advertiser_name = NEW.name WHERE advertiser_tenant_id = NEW.tenant_id;
    UPDATE partnerships SET publisher_name = NEW.name WHERE publisher_tenant_id = NEW.tenant_id;
  ELSE
    UPDATE advertisers SET name = NEW.name WHERE exchange_tenant_id = NEW.tenant_id AND id = NEW.id;
  END IF;
  RETURN NULL;
END $$;
-- +goose StatementEnd
-- PostgreSQL wants the new owner of a function to be allowed to make one.
GRANT CREATE ON SCHEMA public TO offerflow_system;
ALTER FUNCTION offerflow_name_follows() OWNER TO offerflow_system;
REVOKE CREATE ON SCHEMA public FROM offerflow_system;
REVOKE ALL ON FUNCTION offerflow_name_follows() FROM public;

CREATE INDEX advertisers_exchange ON advertisers (exchange_tenant_id, id) WHERE exchange_tenant_id IS NOT NULL;
CREATE TRIGGER name_follows AFTER UPDATE OF name ON tenants FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name)
  EXECUTE FUNCTION offerflow_name_follows();
-- An entry for an advertiser of the Exchange is followed by none.
CREATE TRIGGER name_follows AFTER UPDATE OF name ON advertisers FOR EACH ROW
  WHEN (OLD.name IS DISTINCT FROM NEW.name AND NEW.exchange_tenant_id IS NULL) EXECUTE FUNCTION offerflow_name_follows();

-- Names that were changed before.
SET LOCAL ROLE offerflow_system;
UPDATE advertisers c SET name = a.name FROM advertisers a
WHERE a.tenant_id = c.exchange_tenant_id AND a.id = c.id AND a.name <> c.name;
UPDATE partnerships p SET advertiser_name = a.name, publisher_name = b.name FROM tenants a, tenants b
WHERE a.tenant_id = p.advertiser_tenant_id AND b.tenant_id = p.publisher_tenant_id AND (a.name <> p.advertiser_name OR b.name <> p.publisher_name);
RESET ROLE;

-- +goose Down
DROP TRIGGER name_follows ON advertisers;
DROP TRIGGER name_follows ON tenants;
DROP INDEX advertisers_exchange;
DROP FUNCTION offerflow_name_follows();
DROP INDEX scheduled_changes_of_offer;
DROP POLICY exchange ON scheduled_changes;
