-- breaking: no
-- concurrently: no

-- Brings back jobs that were written while the database's clock was ahead: they would wait until it is there again. What
-- a job had still to wait then it waits from now on. Out: how many. Runs as owner.
CREATE FUNCTION recall_future_jobs() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  recalled integer;
BEGIN
  UPDATE graphile_worker._private_jobs SET
    run_at = now() + greatest(run_at - updated_at, interval '0'), updated_at = now(), created_at = least(created_at, now())
  WHERE updated_at > now() + interval '1 minute' AND locked_at IS NULL;
  GET DIAGNOSTICS recalled = ROW_COUNT;
  -- of workers without a lease, as in free_jobs_of_unknown_workers; their times are looked at the next time
  UPDATE graphile_worker._private_jobs j SET locked_at = NULL, locked_by = NULL
  WHERE j.locked_at > now() + interval '1 minute'
    AND NOT EXISTS (SELECT FROM public.worker_leases l WHERE l.worker_id = j.locked_by);
  RETURN recalled;
END $$;
REVOKE ALL ON FUNCTION recall_future_jobs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION recall_future_jobs TO sangam_platform;
