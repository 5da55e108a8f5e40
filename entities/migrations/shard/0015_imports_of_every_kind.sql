-- breaking: no
-- concurrently: no
-- Imports of every kind of record. What an import did is kept by record and kind. The view is the table as nodes of before know
-- it: they write leads alone, which is what its kind is where nobody says another.

ALTER TABLE imports
  ADD COLUMN kind text NOT NULL DEFAULT 'lead',
  -- records of other kinds that the import made, by kind
  ADD COLUMN associated jsonb NOT NULL DEFAULT '{}',
  -- custom fields that it has defined
  ADD COLUMN defined_fields uuid[] NOT NULL DEFAULT '{}';

ALTER TABLE import_changes RENAME TO import_record_changes;
ALTER TABLE import_record_changes RENAME COLUMN lead_id TO record_id;
ALTER TABLE import_record_changes ADD COLUMN kind text NOT NULL DEFAULT 'lead';
CREATE VIEW import_changes WITH (security_invoker = true) AS
  SELECT organization_id, import_id, record_id AS lead_id, version, before FROM import_record_changes;
GRANT SELECT, INSERT, UPDATE, DELETE ON import_changes TO sangam_app;
