-- breaking: no
-- concurrently: no
-- Reports, and what they answered.

CREATE TABLE reports (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  name text,
  kind text NOT NULL,
  measures jsonb NOT NULL DEFAULT '[{"op":"count"}]',
  group_by jsonb NOT NULL DEFAULT '[]',
  -- null: all
  condition jsonb,
  period jsonb,
  schedule jsonb,
  -- whose turn it is by their schedule
  next_run_at timestamptz(3),
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  deleted_at timestamptz(3),
  merged_into uuid,
  PRIMARY KEY (organization_id, id)
);
CREATE INDEX reports_by_creation ON reports (organization_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX reports_by_change ON reports (organization_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX reports_by_name ON reports (organization_id, name COLLATE "und-x-icu", id) WHERE deleted_at IS NULL;
CREATE INDEX reports_by_kind ON reports (organization_id, kind) WHERE deleted_at IS NULL;
CREATE INDEX reports_due ON reports (next_run_at) WHERE next_run_at IS NOT NULL AND deleted_at IS NULL;
SELECT pg_temp.tenant_table('reports', platform => true);

CREATE TABLE report_runs (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  report_id uuid NOT NULL,
  -- what was asked: the report may have changed since
  asked jsonb NOT NULL,
  status text NOT NULL CHECK (status IN ('pending', 'completed', 'failed')),
  -- who may see it: it shows what they may see
  started_by uuid NOT NULL,
  is_mailed boolean NOT NULL,
  columns jsonb,
  rows jsonb,
  error text,
  created_at timestamptz(3) NOT NULL,
  finished_at timestamptz(3),
  PRIMARY KEY (organization_id, id)
);
CREATE INDEX report_runs_by_report ON report_runs (organization_id, report_id, id);
CREATE INDEX report_runs_by_age ON report_runs (created_at);
SELECT pg_temp.tenant_table('report_runs', platform => true);
