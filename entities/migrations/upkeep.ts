import { Migration } from "@mikro-orm/migrations";

/** What scheduled work does as owner, on behalf of the platform's role. */
export class CreateUpkeep extends Migration {
  override name = "012_create_upkeep";
  override up() {
    this.addSql(`
-- In: first day to keep. Drops the months of events before it, but for one whose events are not all sequenced, or
-- not all heard by every listener. Out: how many months. Waits at most 2 s for writers. Runs as owner.
CREATE FUNCTION drop_events_before(p_first date) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  month record;
  is_needed boolean;
  dropped integer := 0;
BEGIN
  FOR month IN
    SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'events'::regclass AND c.relname ~ '^events_[0-9]{4}_[0-9]{2}$'
      AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= p_first
  LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %1$I e WHERE e.seq IS NULL) OR EXISTS (
      SELECT FROM listener_cursors c JOIN %1$I e ON e.organization_id = c.organization_id AND e.seq > c.seq
      WHERE c.seq < c.target)', month.name) INTO is_needed;
    CONTINUE WHEN is_needed;
    EXECUTE format('DROP TABLE %I', month.name);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;

-- Makes the partitions of events for this month and the two to come. Runs as owner.
CREATE FUNCTION ensure_events_partitions() RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
  SELECT ensure_events_partition((now() + make_interval(months => ahead))::date) FROM generate_series(0, 2) ahead
$$;

-- Frees jobs that were locked a minute ago by workers without a lease: they died before they had one. Out: how
-- many. Runs as owner.
CREATE FUNCTION free_jobs_of_unknown_workers() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  unknown text[];
BEGIN
  SELECT array_agg(DISTINCT j.locked_by) INTO unknown FROM graphile_worker._private_jobs j
  WHERE j.locked_at < now() - interval '1 minute'
    AND NOT EXISTS (SELECT FROM public.worker_leases l WHERE l.worker_id = j.locked_by);
  IF unknown IS NOT NULL THEN PERFORM graphile_worker.force_unlock_workers(unknown); END IF;
  RETURN coalesce(cardinality(unknown), 0);
END $$;

-- Listeners that wait for a job which is dead or gone. Runs as owner.
CREATE FUNCTION stranded_listeners() RETURNS TABLE (organization_id uuid, listener text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.organization_id, c.listener FROM public.listener_cursors c
  WHERE c.is_scheduled AND NOT EXISTS (
    SELECT FROM graphile_worker._private_jobs j JOIN graphile_worker._private_tasks t ON t.id = j.task_id
    WHERE t.identifier = c.listener AND j.payload ->> 'organizationId' = c.organization_id::text
      AND j.payload -> 'payload' ->> 'entityId' IS NULL AND (j.attempts < j.max_attempts OR j.locked_at IS NOT NULL))
$$;

-- Forgets dead jobs that nobody has asked for in 30 days, at most 1,000. Out: how many. Runs as owner.
CREATE FUNCTION forget_old_dead_jobs() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  forgotten integer;
BEGIN
  DELETE FROM graphile_worker._private_jobs WHERE id IN (
    SELECT id FROM graphile_worker._private_jobs
    WHERE attempts >= max_attempts AND locked_at IS NULL AND updated_at < now() - interval '30 days' LIMIT 1000);
  GET DIAGNOSTICS forgotten = ROW_COUNT;
  RETURN forgotten;
END $$;

REVOKE ALL ON FUNCTION drop_events_before, ensure_events_partitions, free_jobs_of_unknown_workers,
  stranded_listeners, forget_old_dead_jobs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_events_before, ensure_events_partitions, free_jobs_of_unknown_workers,
  stranded_listeners, forget_old_dead_jobs TO sangam_platform;
`);
  }
}

/** Rescoring is a job now: nobody asks the rules how far it is. */
export class DropRescoredVersion extends Migration {
  override name = "013_drop_rescored_version";
  override up() {
    this.addSql("ALTER TABLE scoring_rules DROP COLUMN rescored_version");
  }
}

/** An import is a job now: whoever runs it holds that job, and the epoch fences the one before. */
export class DropImportLeases extends Migration {
  override name = "014_drop_import_leases";
  override up() {
    this.addSql("ALTER TABLE imports DROP COLUMN lease_until");
  }
}
