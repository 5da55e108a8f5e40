-- breaking: no
-- concurrently: no
-- Lists that users keep: what to show of a kind of record, and in which order.

CREATE TABLE saved_views (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  -- a condition as it was given; null: all
  condition jsonb,
  -- null: as the kind has it
  columns text[],
  sort text,
  is_shared boolean NOT NULL,
  -- null: of somebody who was erased
  owner_id uuid,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  version integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id)
);
CREATE INDEX saved_views_by_name ON saved_views (organization_id, name, id);
CREATE INDEX saved_views_by_owner ON saved_views (organization_id, owner_id);
SELECT pg_temp.tenant_table('saved_views');
