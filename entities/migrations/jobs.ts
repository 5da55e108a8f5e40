import { Migration } from "@mikro-orm/migrations";
import { tenantTable } from "./row-level-security.ts";

/** The way to Graphile Worker's tables for roles that may not touch them, and who holds locks in them. */
export class CreateJobs extends Migration {
  override name = "010_create_jobs";
  override up() {
    this.addSql(`
-- In: a list of {task, payload, origin?, key?, runAt?, delayMs?, maxAttempts?, priority?, organizationId?}. Adds the jobs in
-- this transaction. Under the app's role a job belongs to the organization of the transaction, whatever the list
-- says, and so does its key: no organization can replace another's job. Runs as owner.
CREATE FUNCTION enqueue_jobs(p_jobs json) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  is_platform boolean := current_setting('role') = 'sangam_platform';
  own text := NULLIF(current_setting('app.organization_id', true), '');
  specs graphile_worker.job_spec[];
BEGIN
  IF NOT is_platform AND own IS NULL THEN RAISE EXCEPTION 'a job needs an organization'; END IF;
  SELECT array_agg(ROW(
      j ->> 'task',
      json_build_object('organizationId', o.id, 'payload', j -> 'payload', 'origin', j -> 'origin'),
      NULL,
      coalesce((j ->> 'runAt')::timestamptz, now() + (j ->> 'delayMs')::integer * interval '1 ms'),
      (j ->> 'maxAttempts')::smallint,
      coalesce(o.id, 'platform') || '/' || (j ->> 'task') || '/' || (j ->> 'key'),
      (j ->> 'priority')::smallint,
      NULL
    )::graphile_worker.job_spec)
  INTO specs
  FROM json_array_elements(p_jobs) j,
    LATERAL (SELECT CASE WHEN is_platform THEN j ->> 'organizationId' ELSE own END AS id) o;
  IF specs IS NOT NULL THEN PERFORM graphile_worker.add_jobs(specs); END IF;
END $$;

-- Jobs that the caller may see: its organization's, or with the platform's role all. Runs as owner.
-- A dead job has used up its attempts. Out: newest first; before: only ids below it.
CREATE FUNCTION list_jobs(p_state text, p_before bigint, p_limit integer)
RETURNS TABLE (id bigint, organization_id text, task text, payload json, state text, attempts integer,
  max_attempts integer, last_error text, run_at timestamptz(3), created_at timestamptz(3), updated_at timestamptz(3))
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT * FROM (
    SELECT j.id, j.payload ->> 'organizationId' AS organization_id, t.identifier, j.payload -> 'payload',
      CASE WHEN j.locked_at IS NOT NULL THEN 'running' WHEN j.attempts >= j.max_attempts THEN 'dead'
        WHEN j.last_error IS NOT NULL THEN 'retrying' ELSE 'waiting' END AS state,
      j.attempts::integer, j.max_attempts::integer, j.last_error, j.run_at, j.created_at, j.updated_at
    FROM graphile_worker._private_jobs j JOIN graphile_worker._private_tasks t ON t.id = j.task_id
  ) visible
  WHERE visible.state = p_state AND (p_before IS NULL OR visible.id < p_before)
    AND (current_setting('role') = 'sangam_platform'
      OR visible.organization_id = NULLIF(current_setting('app.organization_id', true), ''))
  ORDER BY visible.id DESC LIMIT p_limit
$$;

-- In: ids of dead jobs. Gives them all their attempts again, from now. Out: those it found. Runs as owner.
CREATE FUNCTION retry_dead_jobs(p_ids bigint[]) RETURNS SETOF bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT (graphile_worker.reschedule_jobs(array_agg(j.id), run_at => now(), attempts => 0)).id
  FROM graphile_worker._private_jobs j
  WHERE j.id = ANY (p_ids) AND j.attempts >= j.max_attempts AND j.locked_at IS NULL
    AND (current_setting('role') = 'sangam_platform'
      OR j.payload ->> 'organizationId' = NULLIF(current_setting('app.organization_id', true), ''))
  HAVING count(*) > 0
$$;

-- In: ids of dead jobs. Forgets them. Out: those it found. Runs as owner.
CREATE FUNCTION drop_dead_jobs(p_ids bigint[])
RETURNS TABLE (id bigint, organization_id text, task text, payload json)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM graphile_worker._private_jobs j USING graphile_worker._private_tasks t
  WHERE t.id = j.task_id AND j.id = ANY (p_ids) AND j.attempts >= j.max_attempts AND j.locked_at IS NULL
    AND (current_setting('role') = 'sangam_platform'
      OR j.payload ->> 'organizationId' = NULLIF(current_setting('app.organization_id', true), ''))
  RETURNING j.id, j.payload ->> 'organizationId', t.identifier, j.payload -> 'payload'
$$;

-- Jobs by task and state, for metrics. Runs as owner.
CREATE FUNCTION count_jobs() RETURNS TABLE (task text, state text, jobs bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.identifier, CASE WHEN j.locked_at IS NOT NULL THEN 'running'
      WHEN j.attempts >= j.max_attempts THEN 'dead' ELSE 'waiting' END, count(*)
  FROM graphile_worker._private_jobs j JOIN graphile_worker._private_tasks t ON t.id = j.task_id GROUP BY 1, 2
$$;

-- Worker pools that are alive: the name Graphile Worker locks jobs by, renewed every few seconds.
CREATE TABLE worker_leases (
  worker_id text PRIMARY KEY,
  node_id text NOT NULL,
  expires_at timestamptz(3) NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON worker_leases TO sangam_platform;

-- Frees the jobs of every worker whose lease has ended. Out: how many workers. Of two at once each takes others.
-- Runs as owner.
CREATE FUNCTION free_jobs_of_dead_workers() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  dead text[];
BEGIN
  WITH ended AS (
    DELETE FROM public.worker_leases WHERE worker_id IN (
      SELECT worker_id FROM public.worker_leases WHERE expires_at < clock_timestamp() FOR UPDATE SKIP LOCKED
    ) RETURNING worker_id
  ) SELECT array_agg(worker_id) INTO dead FROM ended;
  IF dead IS NOT NULL THEN PERFORM graphile_worker.force_unlock_workers(dead); END IF;
  RETURN coalesce(cardinality(dead), 0);
END $$;

REVOKE ALL ON FUNCTION enqueue_jobs, list_jobs, retry_dead_jobs, drop_dead_jobs, count_jobs,
  free_jobs_of_dead_workers FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enqueue_jobs, list_jobs, retry_dead_jobs, drop_dead_jobs TO sangam_app, sangam_platform;
GRANT EXECUTE ON FUNCTION count_jobs, free_jobs_of_dead_workers TO sangam_platform;
`);
  }
}

/** How far each durable listener is in each organization's feed, and which entities it waits with. */
export class CreateListeners extends Migration {
  override name = "011_create_listeners";
  override up() {
    this.addSql(`
CREATE TABLE listener_cursors (
  organization_id uuid NOT NULL,
  listener text NOT NULL,
  -- everything up to here was handled, or is held
  seq bigint NOT NULL,
  -- there are events for it up to here
  target bigint NOT NULL,
  -- a job is on its way or running
  is_scheduled boolean NOT NULL,
  -- rises when a hold ends: a run that had read the holds before begins anew
  revision integer NOT NULL DEFAULT 0,
  PRIMARY KEY (organization_id, listener)
) WITH (fillfactor = 50);
${tenantTable("listener_cursors", { platform: true })}

-- Entities whose event at seq failed: it and the later ones wait for a retry, so that their order stays.
CREATE TABLE listener_holds (
  organization_id uuid NOT NULL,
  listener text NOT NULL,
  entity_id uuid NOT NULL,
  seq bigint NOT NULL,
  PRIMARY KEY (organization_id, listener, entity_id)
);
${tenantTable("listener_holds", { platform: true })}

-- In: listeners with the organization and the first and last seq of events just placed for each. Moves their
-- targets; a listener new to an organization begins at the first. Out: those that no job is under way for.
CREATE FUNCTION ring_listeners(p_organizations uuid[], p_listeners text[], p_first bigint[], p_last bigint[])
RETURNS TABLE (organization_id uuid, listener text) LANGUAGE sql AS $$
  WITH rung AS (
    INSERT INTO listener_cursors AS c (organization_id, listener, seq, target, is_scheduled)
    SELECT o, l, f - 1, t, true FROM unnest(p_organizations, p_listeners, p_first, p_last) AS u (o, l, f, t)
    ORDER BY o, l
    ON CONFLICT (organization_id, listener)
      DO UPDATE SET target = greatest(c.target, excluded.target), is_scheduled = true
    RETURNING c.organization_id, c.listener, coalesce(old.is_scheduled, false) AS was_scheduled
  ) SELECT rung.organization_id, rung.listener FROM rung WHERE NOT rung.was_scheduled
$$;
`);
  }
}
