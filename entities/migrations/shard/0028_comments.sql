-- breaking: no
-- concurrently: no
-- What users say of records of any kind. A record that is merged into another takes its comments along.

CREATE TABLE comments (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  record_kind text NOT NULL,
  record_id uuid NOT NULL,
  author_id uuid NOT NULL,
  body text NOT NULL,
  mentions text[] NOT NULL DEFAULT '{}',
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  version integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id)
);
SELECT pg_temp.tenant_table('comments');
CREATE INDEX comments_by_record ON comments (organization_id, record_id, created_at, id);
CREATE INDEX comments_by_author ON comments (organization_id, author_id, id);
