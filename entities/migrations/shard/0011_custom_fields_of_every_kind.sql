-- breaking: no
-- concurrently: no
-- Definitions of custom fields of every kind of record, and the values that are kept apart from their records.

ALTER TABLE custom_fields
  DROP CONSTRAINT custom_fields_type_check,
  ADD CONSTRAINT custom_fields_type_check CHECK (type IN ('text', 'longText', 'number', 'boolean', 'date', 'datetime', 'money',
    'select', 'multiSelect', 'url', 'email', 'phone', 'user', 'reference')),
  -- [{ value, label }] of select and multiSelect
  ADD COLUMN options jsonb NOT NULL DEFAULT '[]',
  -- the kind of record that a reference names
  ADD COLUMN refers_to text,
  ADD COLUMN is_required boolean NOT NULL DEFAULT false,
  ADD COLUMN is_indexed boolean NOT NULL DEFAULT false,
  -- what a new record has where nothing is given
  ADD COLUMN default_value jsonb,
  -- its values are hidden from then on, and removed 30 days later
  ADD COLUMN deleted_at timestamptz(3);

-- Sealed values, and marks of unique ones, of whatever kind: what copies a record copies none of them.
ALTER TABLE lead_sensitive_fields RENAME TO custom_field_values;
ALTER TABLE custom_field_values RENAME COLUMN lead_id TO record_id;
ALTER TABLE custom_field_values
  ADD COLUMN kind text NOT NULL DEFAULT 'lead',
  -- null where the record itself holds the value, and only its mark is here
  ALTER COLUMN sealed DROP NOT NULL,
  -- records of several tables; whoever removes a record removes them
  DROP CONSTRAINT lead_sensitive_fields_organization_id_lead_id_fkey;
ALTER INDEX lead_sensitive_fields_pkey RENAME TO custom_field_values_pkey;
DROP INDEX lead_sensitive_fields_by_value;
DROP INDEX lead_sensitive_fields_unique;
CREATE INDEX custom_field_values_by_value ON custom_field_values (organization_id, kind, key, blind);
CREATE UNIQUE INDEX custom_field_values_unique ON custom_field_values (organization_id, kind, key, blind) WHERE is_unique;
-- a deleted record holds nothing for itself
UPDATE custom_field_values v SET is_unique = false
  FROM leads l WHERE l.organization_id = v.organization_id AND l.id = v.record_id AND l.deleted_at IS NOT NULL AND v.is_unique;

-- As nodes of the release before read and write them. An updatable view: PostgreSQL gives new rows the kind's default.
CREATE VIEW lead_sensitive_fields WITH (security_invoker = true) AS
  SELECT organization_id, record_id AS lead_id, key, sealed, blind, is_unique FROM custom_field_values
  WHERE kind = 'lead' AND sealed IS NOT NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON lead_sensitive_fields TO sangam_app;
