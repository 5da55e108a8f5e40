-- breaking: no
-- concurrently: no
-- Custom fields that are indexed: their values, typed, beside the records, so that an operator that is LEAKPROOF finds and sorts by
-- them under the policy. A trigger keeps them in the statement that writes a record, whoever writes it.

-- when all values were in the index; null: they are not, or are being taken up
ALTER TABLE custom_fields ADD COLUMN indexed_at timestamptz(3);
CREATE INDEX custom_fields_indexed ON custom_fields (organization_id, entity)
  WHERE deleted_at IS NULL AND (is_indexed OR indexed_at IS NOT NULL);

CREATE TABLE custom_field_index (
  organization_id uuid NOT NULL,
  kind text NOT NULL,
  key text NOT NULL,
  record_id uuid NOT NULL,
  -- of a number, as near as a double comes; numeric is not LEAKPROOF
  number double precision,
  -- of all others; the first 200 characters
  text text COLLATE "und-x-icu",
  PRIMARY KEY (organization_id, record_id, key)
);
SELECT pg_temp.tenant_table('custom_field_index');
CREATE INDEX custom_field_index_numbers ON custom_field_index (organization_id, kind, key, number, record_id) WHERE number IS NOT NULL;
CREATE INDEX custom_field_index_texts ON custom_field_index (organization_id, kind, key, text, record_id) WHERE text IS NOT NULL;
-- see pg_temp.findable: plans do not ask how many rows one organization has
ALTER TABLE custom_field_index ALTER COLUMN organization_id SET STATISTICS 0;

-- In: a type of custom fields and a value. Out: what is indexed of it; both null where it is no value of that type.
CREATE FUNCTION indexed_value(type text, value jsonb, OUT number double precision, OUT text text) LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  given text := CASE WHEN jsonb_typeof(value) IN ('string', 'number') THEN value #>> '{}' END;
BEGIN
  CASE type
    WHEN 'number' THEN
      -- within what a double has
      IF given ~ '^[+-]?[0-9]+([.][0-9]+)?$' THEN number := round(greatest(least(given::numeric, 1e308), -1e308), 300)::double precision; END IF;
    WHEN 'date' THEN IF given ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}(T|$)' THEN text := left(given, 10); END IF;
    WHEN 'datetime' THEN IF given ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$' THEN text := given; END IF;
    ELSE text := left(given, 200);
  END CASE;
END $$;

-- Of a statement that wrote records of the kind in its argument. Runs as whoever writes, under their policy. A move copies these rows
-- as all others, and says so.
CREATE FUNCTION index_custom_fields() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  own uuid := NULLIF(current_setting('app.organization_id', true), '')::uuid;
BEGIN
  IF own IS NULL OR current_setting('app.is_copying', true) = 'yes' OR NOT EXISTS (SELECT FROM custom_fields f
      WHERE f.organization_id = own AND f.entity = TG_ARGV[0] AND f.deleted_at IS NULL AND (f.is_indexed OR f.indexed_at IS NOT NULL)) THEN
    RETURN NULL;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM custom_field_index i USING written w WHERE i.organization_id = own AND w.organization_id = own AND i.record_id = w.id;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO custom_field_index (organization_id, kind, key, record_id, number, text)
      SELECT own, f.entity, f.key, w.id, v.number, v.text
      FROM written w JOIN custom_fields f ON f.organization_id = own AND f.entity = TG_ARGV[0] AND f.deleted_at IS NULL
          AND (f.is_indexed OR f.indexed_at IS NOT NULL) AND w.custom_fields ? f.key
        CROSS JOIN LATERAL indexed_value(f.type, w.custom_fields -> f.key) v
      WHERE w.organization_id = own AND w.deleted_at IS NULL AND (v.number IS NOT NULL OR v.text IS NOT NULL);
  END IF;
  RETURN NULL;
END $$;

SELECT pg_temp.indexes_custom_fields('leads', 'lead');
SELECT pg_temp.indexes_custom_fields('contacts', 'contact');
SELECT pg_temp.indexes_custom_fields('companies', 'company');
