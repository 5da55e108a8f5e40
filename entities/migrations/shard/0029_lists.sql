-- breaking: no
-- concurrently: no
-- Lists of records that are chosen by hand, each with fields of its own.

CREATE TABLE lists (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  -- what each entry says: [{ key, label, type, options, isRequired, default }]
  fields jsonb NOT NULL,
  is_shared boolean NOT NULL,
  -- null: of somebody who was erased
  owner_id uuid,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  version integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id)
);
CREATE INDEX lists_by_name ON lists (organization_id, name, id);
CREATE INDEX lists_by_creation ON lists (organization_id, created_at, id);
CREATE INDEX lists_by_owner ON lists (organization_id, owner_id);
SELECT pg_temp.tenant_table('lists');

CREATE TABLE list_entries (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  list_id uuid NOT NULL,
  -- of the list's kind; those of deleted records are hidden, and there again when these are restored
  record_id uuid NOT NULL,
  -- values of the list's fields, by key
  custom_fields jsonb NOT NULL DEFAULT '{}',
  added_by uuid,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  version integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, list_id) REFERENCES lists (organization_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX list_entries_once ON list_entries (organization_id, list_id, record_id);
CREATE INDEX list_entries_by_creation ON list_entries (organization_id, list_id, created_at, id);
CREATE INDEX list_entries_by_change ON list_entries (organization_id, list_id, updated_at, id);
CREATE INDEX list_entries_by_record ON list_entries (organization_id, record_id);
SELECT pg_temp.tenant_table('list_entries');

ALTER TABLE operations DROP CONSTRAINT operations_verb_check, ADD CHECK (verb IN ('update', 'delete', 'add'));
