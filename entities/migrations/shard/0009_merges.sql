-- breaking: no
-- concurrently: no
-- What was merged into what, with all that it takes to undo it.

ALTER TABLE companies ADD COLUMN merged_into uuid;
ALTER TABLE contacts ADD COLUMN merged_into uuid;

-- what was merged keeps the lead that it came of, to be what it was when that is undone
DROP INDEX contacts_by_lead;
CREATE UNIQUE INDEX contacts_by_lead ON contacts (organization_id, lead_id) WHERE lead_id IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE merges (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  kind text NOT NULL,
  winner_id uuid NOT NULL,
  -- of all records that were merged, the winner first
  record_ids uuid[] NOT NULL,
  -- their rows as they were
  before jsonb NOT NULL,
  -- the winner's row as the merge made it
  after jsonb NOT NULL,
  -- records that referred to a loser: [{ table, column, id, from }]
  moved jsonb NOT NULL,
  actor_id uuid,
  created_at timestamptz(3) NOT NULL,
  undone_at timestamptz(3),
  PRIMARY KEY (organization_id, id)
);
CREATE INDEX merges_by_record ON merges USING gin (record_ids);
SELECT pg_temp.tenant_table('merges');
