-- breaking: no
-- concurrently: no
-- Work on many records at once, which a job does step by step.

CREATE TABLE operations (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  kind text NOT NULL,
  verb text NOT NULL CHECK (verb IN ('update', 'delete')),
  status text NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed')),
  -- whose rights decide what it may touch
  started_by uuid NOT NULL,
  -- { where } or { ids }, with the zone of its times, and what is changed; empty when it is over
  selection jsonb NOT NULL,
  changes jsonb NOT NULL,
  -- the last record that was looked at
  after_id uuid,
  total integer NOT NULL,
  processed integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  -- of the first records that were refused: [{ id, code, detail }]
  errors jsonb NOT NULL DEFAULT '[]',
  error text,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  started_at timestamptz(3),
  finished_at timestamptz(3),
  version integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id)
);
CREATE INDEX operations_by_starter ON operations (organization_id, started_by, created_at, id);
CREATE INDEX operations_finished ON operations (finished_at) WHERE finished_at IS NOT NULL;
SELECT pg_temp.tenant_table('operations', platform => true);

-- what was merged is found by the external id that it had
CREATE INDEX contacts_merged_external_id ON contacts (organization_id, external_id) WHERE merged_into IS NOT NULL;
CREATE INDEX companies_merged_external_id ON companies (organization_id, external_id) WHERE merged_into IS NOT NULL;
