-- breaking: no
-- concurrently: no

-- Jobs of the platform, which no organization may add. Each node writes those it knows down when it starts.
CREATE TABLE platform_tasks (
  task text PRIMARY KEY
);
GRANT SELECT, INSERT ON platform_tasks TO sangam_platform;

-- In: a list of {task, payload, origin?, key?, runAt?, delayMs?, maxAttempts?, priority?, organizationId?}. Adds the jobs in
-- this transaction. Under the app's role a job belongs to the organization of the transaction, and so does its key: no
-- organization can replace another's job. One that is the platform's or names another organization is refused, and all with
-- it (42501). Runs as owner.
CREATE OR REPLACE FUNCTION enqueue_jobs(p_jobs json) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  is_platform boolean := current_setting('role') = 'sangam_platform';
  own text := NULLIF(current_setting('app.organization_id', true), '');
  refused text;
  specs graphile_worker.job_spec[];
BEGIN
  IF NOT is_platform THEN
    IF own IS NULL THEN RAISE EXCEPTION 'a job needs an organization'; END IF;
    SELECT j ->> 'task' INTO refused FROM json_array_elements(p_jobs) j
    WHERE coalesce(j ->> 'organizationId', own) <> own
      OR EXISTS (SELECT FROM public.platform_tasks p WHERE p.task = j ->> 'task') LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'no organization may add the job %', refused USING ERRCODE = 'insufficient_privilege';
    END IF;
  END IF;
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
