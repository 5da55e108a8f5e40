import { Migration } from "@mikro-orm/migrations";
import { tenantTable } from "./row-level-security.ts";

/** What holds an organization to one home: a gate each transaction passes, and what a move to another database needs. */
export class CreateMoves extends Migration {
  override name = "040_create_moves";
  override up() {
    this.addSql(`
CREATE SCHEMA moves;
GRANT USAGE ON SCHEMA moves TO sangam_app, sangam_platform;

-- Organizations that do not simply live here; one without a row does, if the shard map says so.
CREATE TABLE moves.gates (
  organization_id uuid PRIMARY KEY,
  -- of the move that wrote the row last; an older move is fenced by it
  epoch bigint NOT NULL,
  -- leaving: lives here while it is copied; closed: nobody writes until closed_until, then as leaving;
  -- moved: lives in database_index now; arriving: is copied here, and lives in database_index yet
  state text NOT NULL CHECK (state IN ('leaving', 'closed', 'moved', 'arriving')),
  closed_until timestamptz CHECK ((closed_until IS NOT NULL) = (state = 'closed')),
  database_index integer NOT NULL
);
${tenantTable("moves.gates", { platform: true })}

-- Keys of rows that changed while their organization is copied; written by triggers that exist that long.
CREATE TABLE moves.changes (
  organization_id uuid NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  relation text NOT NULL,
  key text[] NOT NULL,
  PRIMARY KEY (organization_id, id)
);
${tenantTable("moves.changes", { platform: true })}

-- Jobs that come with an organization: each is admitted once, however often it is brought.
CREATE TABLE moves.jobs (
  organization_id uuid NOT NULL,
  epoch bigint NOT NULL,
  source_id bigint NOT NULL,
  job jsonb NOT NULL,
  is_admitted boolean NOT NULL DEFAULT false,
  PRIMARY KEY (organization_id, epoch, source_id)
);
${tenantTable("moves.jobs", { platform: true })}

-- Where an organization is, is not for its own transactions to say.
REVOKE INSERT, UPDATE, DELETE ON moves.gates, moves.jobs FROM sangam_app;

-- Passes the organization's gate; the first statement of each of its transactions. A writer holds the gate open to
-- the end of its transaction: whoever closes it waits for that. Raises SGM01 when the organization is not here, or may
-- not write for the moment; at once, so that nobody waits on a connection.
CREATE FUNCTION moves.enter(p_organization uuid, is_writer boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- the lock comes first: what the next statement sees is no older
  IF is_writer AND NOT pg_try_advisory_xact_lock_shared(7236002, uuid_hash(p_organization)) THEN
    RAISE EXCEPTION 'the gate is being closed' USING ERRCODE = 'SGM01';
  END IF;
  PERFORM FROM moves.gates WHERE organization_id = p_organization
    AND (state IN ('moved', 'arriving') OR is_writer AND closed_until > clock_timestamp());
  IF FOUND THEN RAISE EXCEPTION 'the organization is not here' USING ERRCODE = 'SGM01'; END IF;
END $$;

-- Hides organizations that are not at home here from the platform's role, in every table it works in across
-- organizations. Keys of requests stay in sight: the control database keeps some of organizations that live elsewhere.
-- Runs after each migration, so that a new table is covered.
CREATE FUNCTION moves.guard_tables() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  relation regclass;
BEGIN
  FOR relation IN
    SELECT p.polrelid FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
    WHERE p.polname = 'whole_platform' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'idempotency_keys'
      AND NOT EXISTS (SELECT FROM pg_policy g WHERE g.polrelid = p.polrelid AND g.polname = 'at_home')
  LOOP
    EXECUTE format('CREATE POLICY at_home ON %s AS RESTRICTIVE TO sangam_platform USING (organization_id NOT IN (
      SELECT g.organization_id FROM moves.gates g
      WHERE g.state IN (''moved'', ''arriving'') OR g.closed_until > clock_timestamp()))', relation);
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION moves.guard_tables FROM PUBLIC;

-- Takes jobs of an organization that no worker holds out of their reach, under a name no worker has: they come free
-- again by themselves if nothing follows. Out: those and, of an earlier call, the ones it took. Runs as owner.
CREATE FUNCTION moves.hold_jobs(p_organization uuid, p_holder text)
RETURNS TABLE (id bigint, job jsonb) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH held AS (
    UPDATE graphile_worker._private_jobs j SET locked_at = now(), locked_by = p_holder
    WHERE j.id IN (SELECT w.id FROM graphile_worker._private_jobs w
      WHERE w.payload ->> 'organizationId' = p_organization::text AND (w.locked_at IS NULL OR w.locked_by = p_holder)
      FOR UPDATE SKIP LOCKED)
    RETURNING j.*
  ) SELECT held.id, jsonb_build_object('task', t.identifier) || to_jsonb(held)
  FROM held JOIN graphile_worker._private_tasks t ON t.id = held.task_id
$$;

-- Lets go of held jobs; forgets them where they were brought elsewhere. Runs as owner.
CREATE FUNCTION moves.release_jobs(p_holder text, p_is_gone boolean) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM graphile_worker._private_jobs WHERE p_is_gone AND locked_by = p_holder;
  UPDATE graphile_worker._private_jobs SET locked_at = NULL, locked_by = NULL
  WHERE NOT p_is_gone AND locked_by = p_holder
$$;

-- Jobs of an organization that are still here, held or running. Runs as owner.
CREATE FUNCTION moves.count_jobs(p_organization uuid) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT count(*) FROM graphile_worker._private_jobs WHERE payload ->> 'organizationId' = p_organization::text
$$;

-- Opens the gate to an organization that arrived by this move and starts the jobs that came with it. Does no more
-- when called again than start those that came since. Runs as owner.
CREATE FUNCTION moves.admit(p_organization uuid, p_epoch bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM moves.gates WHERE organization_id = p_organization AND epoch = p_epoch AND state = 'arriving';
  INSERT INTO graphile_worker._private_tasks (identifier)
  SELECT DISTINCT job ->> 'task' FROM moves.jobs
  WHERE organization_id = p_organization AND epoch = p_epoch AND NOT is_admitted ON CONFLICT DO NOTHING;
  WITH admitted AS (
    UPDATE moves.jobs SET is_admitted = true
    WHERE organization_id = p_organization AND epoch = p_epoch AND NOT is_admitted RETURNING job
  )
  INSERT INTO graphile_worker._private_jobs
    (task_id, payload, priority, run_at, attempts, max_attempts, last_error, created_at, updated_at, key, revision, flags)
  SELECT t.id, (job -> 'payload')::json, j.priority, j.run_at, j.attempts, j.max_attempts, j.last_error, j.created_at,
    j.updated_at, j.key, j.revision, j.flags
  FROM admitted CROSS JOIN LATERAL jsonb_to_record(job) AS j (priority smallint, run_at timestamptz, attempts smallint,
      max_attempts smallint, last_error text, created_at timestamptz, updated_at timestamptz, key text,
      revision integer, flags jsonb)
    JOIN graphile_worker._private_tasks t ON t.identifier = job ->> 'task'
  ON CONFLICT (key) DO NOTHING;
  IF FOUND THEN PERFORM pg_notify('jobs:insert', '{"r":' || random()::text || ',"count":-1}'); END IF;
END $$;
REVOKE ALL ON FUNCTION moves.hold_jobs, moves.release_jobs, moves.count_jobs, moves.admit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION moves.hold_jobs, moves.release_jobs, moves.count_jobs, moves.admit TO sangam_platform;
`);
  }
}

/** Organizations whose database is not, or not only, the one their logical shard names. */
export class CreateOrganizationShards extends Migration {
  override name = "040_create_organization_shards";
  override up() {
    this.addSql(`
CREATE TABLE control.organization_shards (
  organization_id uuid PRIMARY KEY,
  -- where it lives
  database_index integer NOT NULL,
  -- where it is copied to, or where its rows are still to be deleted
  other_index integer,
  state text NOT NULL CHECK (state IN ('settled', 'moving', 'cleaning')),
  -- rises with each move: an older one is fenced by it
  epoch bigint NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX organization_shards_by_change ON control.organization_shards (changed_at);
${tenantTable("control.organization_shards", { platform: true })}
`);
  }
}
