import { Migration } from "@mikro-orm/migrations";
import { CreateTeams } from "./access.ts";
import { CreateActors } from "./actors.ts";
import { CreateAnalytics } from "./analytics.ts";
import { CommitInGroups } from "./group-commit.ts";
import { CreateJobs, CreateListeners } from "./jobs.ts";
import { CreatePrivacy } from "./privacy.ts";
import { CreateLeadReminders } from "./reminders.ts";
import { CreateMoves } from "./moves.ts";
import { CreateJobsOfOrganization, CreateSensitiveFields } from "./organization-life.ts";
import { CreateReceivedIds } from "./received-ids.ts";
import { tenantTable } from "./row-level-security.ts";
import { CreateUpkeep, DropImportLeases, DropRescoredVersion } from "./upkeep.ts";

const base = `
  id uuid NOT NULL,
  organization_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id)`;

/** The feed: what happened, in which order, and which requests were already answered. */
class CreateEvents extends Migration {
  override name = "001_create_events";
  override up() {
    this.addSql(`
CREATE TABLE events (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  type text NOT NULL,
  entity_kind text NOT NULL,
  entity_id uuid NOT NULL,
  entity_version integer NOT NULL,
  actor_id uuid,
  audience uuid[],
  data jsonb NOT NULL,
  occurred_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  -- rises with the order of inserts; a writer of an entity holds its row lock, so it orders an entity's events
  position bigint GENERATED ALWAYS AS IDENTITY,
  seq bigint,
  PRIMARY KEY (organization_id, entity_id, position, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX events_feed ON events (organization_id, seq) WHERE seq IS NOT NULL;
CREATE INDEX events_unsequenced ON events (position) WHERE seq IS NULL;
CREATE TABLE events_default PARTITION OF events DEFAULT;
${tenantTable("events", { platform: true })}

CREATE TABLE event_heads (
  organization_id uuid PRIMARY KEY,
  seq bigint NOT NULL
) WITH (fillfactor = 50);
${tenantTable("event_heads", { platform: true })}

-- In: month to cover. Makes the partition of events for it, unless it stands or the default partition
-- already holds events of that month (nobody made it in time), which then stay there. Runs as owner.
CREATE FUNCTION ensure_events_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  first date := date_trunc('month', month);
  partition text := 'events_' || to_char(first, 'YYYY_MM');
BEGIN
  IF to_regclass(partition) IS NULL AND NOT EXISTS (
    SELECT FROM events_default WHERE occurred_at >= first AND occurred_at < first + interval '1 month'
  ) THEN
    EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
      partition, first::timestamptz, (first + interval '1 month')::timestamptz);
  END IF;
END $$;

-- In: most events to take. Gives unsequenced events their place in their organization's feed, gap-free, an
-- entity's events in the order they were written. Out: the events, in order. Atomic with its transaction; of two
-- at once the second waits, so whoever asks after a commit has its events sequenced when the answer comes.
-- Its planner settings hold it to index lookups: the table is huge, what it takes is little.
CREATE FUNCTION sequence_events(most integer) RETURNS SETOF events LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
  -- a caller that stalls before its COMMIT must not hold up the feed
  PERFORM set_config('idle_in_transaction_session_timeout', '2000', true);
  PERFORM pg_advisory_xact_lock(hashtext('sequence_events'));
  RETURN QUERY
  WITH picked AS MATERIALIZED (
    SELECT e.organization_id, e.entity_id, e.position, e.occurred_at FROM events e
    WHERE e.seq IS NULL ORDER BY e.position LIMIT most FOR UPDATE
  ), heads AS (
    INSERT INTO event_heads AS h (organization_id, seq)
    SELECT p.organization_id, count(*) FROM picked p GROUP BY 1 ORDER BY 1
    ON CONFLICT (organization_id) DO UPDATE SET seq = h.seq + excluded.seq
    RETURNING h.organization_id, h.seq
  ), numbered AS (
    SELECT p.*, h.seq - count(*) OVER (PARTITION BY p.organization_id)
      + row_number() OVER (PARTITION BY p.organization_id ORDER BY p.position) AS place
    FROM picked p JOIN heads h USING (organization_id)
  ), placed AS (
    UPDATE events e SET seq = n.place FROM numbered n
    WHERE e.organization_id = n.organization_id AND e.entity_id = n.entity_id
      AND e.position = n.position AND e.occurred_at = n.occurred_at
    RETURNING e.*
  ) SELECT * FROM placed ORDER BY organization_id, seq;
END $$;

CREATE TABLE idempotency_keys (
  organization_id uuid NOT NULL,
  key text NOT NULL,
  fingerprint text NOT NULL,
  response json NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
${tenantTable("idempotency_keys", { platform: true })}

-- In: key, fingerprint of the request, its response if it is known already. Locks the key until the end of
-- the transaction. Raises SG409 while another transaction holds it, SG200 when it was used in the last 24 h.
CREATE FUNCTION claim_idempotency_key(p_key text, p_fingerprint text, p_response json) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  p_organization uuid := current_setting('app.organization_id')::uuid;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended(p_organization::text || p_key, 0)) THEN
    RAISE EXCEPTION 'idempotency key in use' USING ERRCODE = 'SG409';
  END IF;
  IF p_response IS NULL THEN
    PERFORM 1 FROM idempotency_keys
    WHERE organization_id = p_organization AND key = p_key AND created_at > now() - interval '24 hours';
    IF FOUND THEN RAISE EXCEPTION 'idempotency key used' USING ERRCODE = 'SG200'; END IF;
  ELSE
    INSERT INTO idempotency_keys AS k (organization_id, key, fingerprint, response)
    VALUES (p_organization, p_key, p_fingerprint, p_response)
    ON CONFLICT (organization_id, key) DO UPDATE
      SET fingerprint = excluded.fingerprint, response = excluded.response, created_at = now()
      WHERE k.created_at <= now() - interval '24 hours';
    IF NOT FOUND THEN RAISE EXCEPTION 'idempotency key used' USING ERRCODE = 'SG200'; END IF;
  END IF;
END $$;
`);
  }
}

/** Leads, what routes and scores them, and what conversion makes of them. */
class CreateLeads extends Migration {
  override name = "002_create_leads";
  override up() {
    this.addSql(`
CREATE TABLE leads (${base},
  external_id text,
  first_name text,
  last_name text,
  email text,
  phone text,
  company_name text,
  title text,
  source text,
  status text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'contacted', 'qualified', 'unqualified', 'converted')),
  score integer NOT NULL DEFAULT 0 CHECK (score BETWEEN 0 AND 100),
  score_reasons jsonb NOT NULL DEFAULT '[]',
  scoring_version integer NOT NULL DEFAULT 0,
  assigned_to uuid,
  tags text[] NOT NULL DEFAULT '{}',
  custom_fields jsonb NOT NULL DEFAULT '{}',
  consent jsonb NOT NULL DEFAULT '{}',
  last_activity_at timestamptz(3),
  converted_at timestamptz(3),
  deleted_at timestamptz(3),
  import_id uuid,
  search tsvector GENERATED ALWAYS AS (to_tsvector('simple',
    coalesce(first_name, '') || ' ' || coalesce(last_name, '') || ' ' || coalesce(company_name, '') || ' ' ||
    coalesce(title, '') || ' ' || coalesce(phone, '') || ' ' ||
    coalesce(email, '') || ' ' || translate(coalesce(email, ''), '@._+-', '     '))) STORED
);
CREATE UNIQUE INDEX leads_external_id ON leads (organization_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX leads_by_creation ON leads (organization_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX leads_by_score ON leads (organization_id, score, id) WHERE deleted_at IS NULL;
CREATE INDEX leads_by_email ON leads (organization_id, email) WHERE email IS NOT NULL;
CREATE INDEX leads_by_phone ON leads (organization_id, phone) WHERE phone IS NOT NULL;
CREATE INDEX leads_by_assignee ON leads (organization_id, assigned_to, created_at, id)
  WHERE assigned_to IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX leads_closed ON leads (organization_id, score, status)
  WHERE status IN ('converted', 'unqualified') AND deleted_at IS NULL;
CREATE INDEX leads_by_import ON leads (organization_id, import_id) WHERE import_id IS NOT NULL;
CREATE INDEX leads_search ON leads USING gin (search);
${tenantTable("leads")}

CREATE TABLE assignment_pools (${base},
  name text NOT NULL,
  strategy text NOT NULL CHECK (strategy IN ('round_robin', 'weighted', 'least_loaded')),
  members jsonb NOT NULL,
  criteria jsonb NOT NULL DEFAULT '[]',
  priority integer NOT NULL DEFAULT 100,
  is_active boolean NOT NULL DEFAULT true,
  position integer NOT NULL DEFAULT 0,
  UNIQUE (organization_id, name)
);
${tenantTable("assignment_pools")}

CREATE TABLE scoring_rules (${base},
  rules jsonb NOT NULL,
  rescored_version integer NOT NULL DEFAULT 0,
  UNIQUE (organization_id)
);
${tenantTable("scoring_rules", { platform: true })}

CREATE TABLE custom_fields (${base},
  entity text NOT NULL,
  key text NOT NULL,
  type text NOT NULL CHECK (type IN ('text', 'number', 'boolean', 'date')),
  label text NOT NULL,
  UNIQUE (organization_id, entity, key)
);
${tenantTable("custom_fields")}

CREATE TABLE companies (${base},
  name text NOT NULL,
  domain text,
  assigned_to uuid,
  deleted_at timestamptz(3)
);
CREATE INDEX companies_by_name ON companies (organization_id, lower(name)) WHERE deleted_at IS NULL;
${tenantTable("companies")}

CREATE TABLE contacts (${base},
  first_name text,
  last_name text,
  email text,
  phone text,
  title text,
  lifecycle_stage text NOT NULL DEFAULT 'lead'
    CHECK (lifecycle_stage IN ('subscriber', 'lead', 'mql', 'sql', 'opportunity', 'customer', 'evangelist')),
  company_id uuid,
  lead_id uuid,
  assigned_to uuid,
  tags text[] NOT NULL DEFAULT '{}',
  custom_fields jsonb NOT NULL DEFAULT '{}',
  consent jsonb NOT NULL DEFAULT '{}',
  deleted_at timestamptz(3),
  FOREIGN KEY (organization_id, company_id) REFERENCES companies (organization_id, id),
  FOREIGN KEY (organization_id, lead_id) REFERENCES leads (organization_id, id)
);
CREATE INDEX contacts_by_email ON contacts (organization_id, email) WHERE email IS NOT NULL;
CREATE INDEX contacts_by_phone ON contacts (organization_id, phone) WHERE phone IS NOT NULL;
CREATE UNIQUE INDEX contacts_by_lead ON contacts (organization_id, lead_id) WHERE lead_id IS NOT NULL;
${tenantTable("contacts")}

CREATE TABLE pipelines (${base},
  name text NOT NULL,
  stages jsonb NOT NULL,
  is_default boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX pipelines_default ON pipelines (organization_id) WHERE is_default;
${tenantTable("pipelines")}

CREATE TABLE deals (${base},
  name text NOT NULL,
  amount numeric(18, 2),
  currency char(3),
  pipeline_id uuid NOT NULL,
  stage_id uuid NOT NULL,
  owner_id uuid,
  contact_id uuid,
  company_id uuid,
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'won', 'lost')),
  lost_reason text,
  expected_close_at timestamptz(3),
  deleted_at timestamptz(3),
  FOREIGN KEY (organization_id, pipeline_id) REFERENCES pipelines (organization_id, id),
  FOREIGN KEY (organization_id, contact_id) REFERENCES contacts (organization_id, id),
  FOREIGN KEY (organization_id, company_id) REFERENCES companies (organization_id, id)
);
CREATE INDEX deals_by_pipeline ON deals (organization_id, pipeline_id, stage_id) WHERE deleted_at IS NULL;
${tenantTable("deals")}
`);
  }
}

/** Imports: the file in chunks until it is read, the rows refused, and what a rollback needs. */
class CreateImports extends Migration {
  override name = "003_create_imports";
  override up() {
    this.addSql(`
CREATE TABLE imports (${base},
  created_by uuid,
  file_name text NOT NULL,
  mapping jsonb NOT NULL,
  on_duplicate text NOT NULL CHECK (on_duplicate IN ('skip', 'update', 'create')),
  is_dry_run boolean NOT NULL DEFAULT false,
  status text NOT NULL DEFAULT 'pending'
    CHECK (status IN ('uploading', 'pending', 'running', 'completed', 'failed', 'rolling_back', 'rolled_back')),
  failure text,
  processed integer NOT NULL DEFAULT 0,
  created integer NOT NULL DEFAULT 0,
  updated integer NOT NULL DEFAULT 0,
  skipped integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  total integer,
  epoch integer NOT NULL DEFAULT 0,
  lease_until timestamptz(3),
  started_at timestamptz(3),
  finished_at timestamptz(3)
);
CREATE INDEX imports_unfinished ON imports (status) WHERE status IN ('uploading', 'pending', 'running', 'rolling_back');
${tenantTable("imports", { platform: true })}

CREATE TABLE import_chunks (
  organization_id uuid NOT NULL,
  import_id uuid NOT NULL,
  position integer NOT NULL,
  bytes bytea STORAGE EXTERNAL NOT NULL,
  PRIMARY KEY (organization_id, import_id, position),
  FOREIGN KEY (organization_id, import_id) REFERENCES imports (organization_id, id) ON DELETE CASCADE
);
${tenantTable("import_chunks")}

CREATE TABLE import_errors (
  organization_id uuid NOT NULL,
  import_id uuid NOT NULL,
  row_number integer NOT NULL,
  reason text NOT NULL,
  record jsonb NOT NULL,
  PRIMARY KEY (organization_id, import_id, row_number),
  FOREIGN KEY (organization_id, import_id) REFERENCES imports (organization_id, id) ON DELETE CASCADE
);
${tenantTable("import_errors")}

CREATE TABLE import_changes (
  organization_id uuid NOT NULL,
  import_id uuid NOT NULL,
  lead_id uuid NOT NULL,
  -- the lead's version after the import touched it; a later one means somebody worked on it since
  version integer NOT NULL,
  -- null: the import created the lead
  before jsonb,
  PRIMARY KEY (organization_id, import_id, lead_id),
  FOREIGN KEY (organization_id, import_id) REFERENCES imports (organization_id, id) ON DELETE CASCADE
);
${tenantTable("import_changes")}
`);
  }
}

/** Applied to every shard database, in this order. */
export const shardMigrations = [
  CreateEvents,
  CreateLeads,
  CreateImports,
  CreateJobs,
  CreateListeners,
  CreateUpkeep,
  DropRescoredVersion,
  DropImportLeases,
  CommitInGroups,
  CreateActors,
  CreateLeadReminders,
  CreateReceivedIds,
  CreateTeams,
  CreateMoves,
  CreatePrivacy,
  CreateSensitiveFields,
  CreateJobsOfOrganization,
  CreateAnalytics,
];
