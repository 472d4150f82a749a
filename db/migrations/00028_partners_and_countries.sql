-- +goose Up
-- Rules 66, 69: the goals that partners see nothing of now: private ones, and with goals switched off all
-- but each offer's default one. domain.HiddenFromPartners is the same in Go. Ask it once per statement,
-- not once per row: ... <> ALL(ARRAY(SELECT goals_hidden_from_partners(...))).
CREATE FUNCTION goals_hidden_from_partners(tenant uuid) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
  WITH present AS MATERIALIZED (
    SELECT (e->>'id')::uuid AS id, coalesce((e->>'isPrivate')::boolean, false) AS is_private,
      row_number() OVER (PARTITION BY o.id ORDER BY coalesce(e->>'status', '') = 'deleted', (e->>'displayOrder')::int, place) = 1 AS is_default
    FROM offer_access a JOIN offers o ON o.id = a.offer_id JOIN offer_versions v ON v.offer_id = o.id AND v.version = o.version
    CROSS JOIN LATERAL jsonb_array_elements(v.document->'events') WITH ORDINALITY AS goal(e, place)
    WHERE a.tenant_id = tenant
  )
  SELECT p.id FROM present p WHERE p.is_private
  UNION
  SELECT x.id FROM tenants t JOIN offer_events x ON x.tenant_id = t.tenant_id
  WHERE t.tenant_id = tenant AND NOT t.goals_enabled AND NOT EXISTS (SELECT 1 FROM present p WHERE p.id = x.id AND p.is_default)
$$;

-- +goose Down
DROP FUNCTION goals_hidden_from_partners;
