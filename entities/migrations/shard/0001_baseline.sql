-- breaking: no
-- concurrently: no
-- What release 0.1.0 made in every shard database.

-- The feed: what happened, in which order, and which requests were already answered.

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
SELECT pg_temp.tenant_table('events', platform => true);

CREATE TABLE event_heads (
  organization_id uuid PRIMARY KEY,
  seq bigint NOT NULL
) WITH (fillfactor = 50);
SELECT pg_temp.tenant_table('event_heads', platform => true);

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
SELECT pg_temp.tenant_table('idempotency_keys', platform => true);

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

-- Leads, what routes and scores them, and what conversion makes of them.

CREATE TABLE leads (
  id uuid NOT NULL,
  organization_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id),
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
CREATE INDEX leads_by_conversion ON leads (organization_id, converted_at)
  WHERE converted_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX leads_by_import ON leads (organization_id, import_id) WHERE import_id IS NOT NULL;
CREATE INDEX leads_search ON leads USING gin (search);
SELECT pg_temp.tenant_table('leads');

CREATE TABLE assignment_pools (
  id uuid NOT NULL,
  organization_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id),
  name text NOT NULL,
  strategy text NOT NULL CHECK (strategy IN ('round_robin', 'weighted', 'least_loaded')),
  members jsonb NOT NULL,
  criteria jsonb NOT NULL DEFAULT '[]',
  priority integer NOT NULL DEFAULT 100,
  is_active boolean NOT NULL DEFAULT true,
  position integer NOT NULL DEFAULT 0,
  UNIQUE (organization_id, name)
);
SELECT pg_temp.tenant_table('assignment_pools');

CREATE TABLE scoring_rules (
  id uuid NOT NULL,
  organization_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id),
  rules jsonb NOT NULL,
  UNIQUE (organization_id)
);
SELECT pg_temp.tenant_table('scoring_rules', platform => true);

CREATE TABLE custom_fields (
  id uuid NOT NULL,
  organization_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id),
  entity text NOT NULL,
  key text NOT NULL,
  type text NOT NULL CHECK (type IN ('text', 'number', 'boolean', 'date')),
  label text NOT NULL,
  is_sensitive boolean NOT NULL DEFAULT false,
  is_unique boolean NOT NULL DEFAULT false,
  UNIQUE (organization_id, entity, key)
);
SELECT pg_temp.tenant_table('custom_fields');

CREATE TABLE companies (
  id uuid NOT NULL,
  organization_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id),
  name text NOT NULL,
  domain text,
  assigned_to uuid,
  deleted_at timestamptz(3)
);
CREATE INDEX companies_by_name ON companies (organization_id, lower(name)) WHERE deleted_at IS NULL;
SELECT pg_temp.tenant_table('companies');

CREATE TABLE contacts (
  id uuid NOT NULL,
  organization_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id),
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
SELECT pg_temp.tenant_table('contacts');

CREATE TABLE pipelines (
  id uuid NOT NULL,
  organization_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id),
  name text NOT NULL,
  stages jsonb NOT NULL,
  is_default boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX pipelines_default ON pipelines (organization_id) WHERE is_default;
SELECT pg_temp.tenant_table('pipelines');

CREATE TABLE deals (
  id uuid NOT NULL,
  organization_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id),
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
SELECT pg_temp.tenant_table('deals');

-- Imports: the file in chunks until it is read, the rows refused, and what a rollback needs.

CREATE TABLE imports (
  id uuid NOT NULL,
  organization_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id),
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
  started_at timestamptz(3),
  finished_at timestamptz(3)
);
CREATE INDEX imports_unfinished ON imports (status) WHERE status IN ('uploading', 'pending', 'running', 'rolling_back');
SELECT pg_temp.tenant_table('imports', platform => true);

CREATE TABLE import_chunks (
  organization_id uuid NOT NULL,
  import_id uuid NOT NULL,
  position integer NOT NULL,
  bytes bytea STORAGE EXTERNAL NOT NULL,
  PRIMARY KEY (organization_id, import_id, position),
  FOREIGN KEY (organization_id, import_id) REFERENCES imports (organization_id, id) ON DELETE CASCADE
);
SELECT pg_temp.tenant_table('import_chunks');

CREATE TABLE import_errors (
  organization_id uuid NOT NULL,
  import_id uuid NOT NULL,
  row_number integer NOT NULL,
  reason text NOT NULL,
  record jsonb NOT NULL,
  PRIMARY KEY (organization_id, import_id, row_number),
  FOREIGN KEY (organization_id, import_id) REFERENCES imports (organization_id, id) ON DELETE CASCADE
);
SELECT pg_temp.tenant_table('import_errors');

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
SELECT pg_temp.tenant_table('import_changes');

-- The way to Graphile Worker's tables for roles that may not touch them, and who holds locks in them.

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

-- How far each durable listener is in each organization's feed, and which entities it waits with.

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
SELECT pg_temp.tenant_table('listener_cursors', platform => true);

-- Entities whose event at seq failed: it and the later ones wait for a retry, so that their order stays.
CREATE TABLE listener_holds (
  organization_id uuid NOT NULL,
  listener text NOT NULL,
  entity_id uuid NOT NULL,
  seq bigint NOT NULL,
  PRIMARY KEY (organization_id, listener, entity_id)
);
SELECT pg_temp.tenant_table('listener_holds', platform => true);

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

-- What scheduled work does as owner, on behalf of the platform's role.

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

-- What lets commands that only insert rows share a transaction.

-- In: [{key, fingerprint, response}]. Locks the keys until the end of the transaction and records their responses.
-- Raises SG409 while another transaction holds one of them, SG200 when one was used in the last 24 h; which of
-- the two is sure only for a single key.
CREATE FUNCTION claim_idempotency_keys(p_claims json) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  p_organization uuid := current_setting('app.organization_id')::uuid;
  is_refused boolean;
BEGIN
  WITH claims AS MATERIALIZED (
    SELECT * FROM json_to_recordset(p_claims) AS c (key text, fingerprint text, response json)
  ), claimed AS (
    INSERT INTO idempotency_keys AS k (organization_id, key, fingerprint, response)
    SELECT p_organization, c.key, c.fingerprint, c.response FROM claims c
    -- without the lock, the insert would wait for a command that runs under the same key
    WHERE pg_try_advisory_xact_lock(hashtextextended(p_organization::text || c.key, 0))
    ON CONFLICT (organization_id, key) DO UPDATE
      SET fingerprint = excluded.fingerprint, response = excluded.response, created_at = now()
      WHERE k.created_at <= now() - interval '24 hours'
    RETURNING 1
  ) SELECT (SELECT count(*) FROM claims) > (SELECT count(*) FROM claimed) INTO is_refused;
  IF is_refused THEN
    PERFORM 1 FROM json_to_recordset(p_claims) AS c (key text) JOIN idempotency_keys k USING (key)
    WHERE k.organization_id = p_organization AND k.created_at > now() - interval '24 hours';
    IF FOUND THEN RAISE EXCEPTION 'idempotency key used' USING ERRCODE = 'SG200'; END IF;
    RAISE EXCEPTION 'idempotency key in use' USING ERRCODE = 'SG409';
  END IF;
END $$;

-- Virtual actors: who owns each, its state, the messages it has answered, its reminders; and the nodes' leases.

-- A node may own actors of this shard until lease_until. By this database's clock alone.
CREATE TABLE node_leases (
  node_id text PRIMARY KEY,
  lease_until timestamptz NOT NULL
);
GRANT SELECT ON node_leases TO sangam_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON node_leases TO sangam_platform;

CREATE TABLE actors (
  organization_id uuid NOT NULL,
  kind text NOT NULL,
  id text NOT NULL,
  -- the node that runs its turns; null: whoever is asked first
  owner text,
  -- rises with each claim: a turn of an older one is fenced
  epoch integer NOT NULL DEFAULT 1,
  version integer NOT NULL DEFAULT 0,
  -- null until a turn has changed it
  state jsonb,
  claimed_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, kind, id)
) WITH (fillfactor = 70);
CREATE INDEX actors_by_owner ON actors (owner) WHERE owner IS NOT NULL;
SELECT pg_temp.tenant_table('actors', platform => true);

CREATE TABLE actor_inbox (
  organization_id uuid NOT NULL,
  kind text NOT NULL,
  actor_id text NOT NULL,
  message_id text NOT NULL,
  result jsonb,
  answered_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, kind, actor_id, message_id)
);
CREATE INDEX actor_inbox_by_age ON actor_inbox (answered_at);
SELECT pg_temp.tenant_table('actor_inbox', platform => true);

CREATE TABLE actor_reminders (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  kind text NOT NULL,
  actor_id text NOT NULL,
  name text NOT NULL,
  message text NOT NULL,
  params jsonb NOT NULL,
  due_at timestamptz(3) NOT NULL,
  -- when a poller looks at it again: later than due_at while one delivers it, or after it failed
  next_try_at timestamptz(3) NOT NULL,
  tries integer NOT NULL DEFAULT 0,
  PRIMARY KEY (organization_id, id),
  UNIQUE (organization_id, kind, actor_id, name)
);
CREATE INDEX actor_reminders_due ON actor_reminders (next_try_at);
SELECT pg_temp.tenant_table('actor_reminders', platform => true);

-- In: the actor, the node that wants it, the nodes that host its kind as that node sees them. Makes the node the
-- owner under a new epoch, unless another is that hosts the kind and whose lease runs. Out: the owner; its epoch and state
-- only if it is now the asking node.
CREATE FUNCTION claim_actor(p_organization uuid, p_kind text, p_id text, p_node text, p_hosts text[])
RETURNS TABLE (owner text, epoch integer, state jsonb) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY
  INSERT INTO actors AS a (organization_id, kind, id, owner) VALUES (p_organization, p_kind, p_id, p_node)
  ON CONFLICT ON CONSTRAINT actors_pkey DO UPDATE SET owner = p_node, epoch = a.epoch + 1, claimed_at = now()
    WHERE a.owner IS NULL OR a.owner = p_node OR NOT a.owner = ANY (p_hosts)
      OR NOT EXISTS (SELECT FROM node_leases l WHERE l.node_id = a.owner AND l.lease_until > clock_timestamp())
  RETURNING a.owner, a.epoch, a.state;
  IF NOT FOUND THEN
    RETURN QUERY SELECT a.owner, NULL::integer, NULL::jsonb FROM actors a
    WHERE a.organization_id = p_organization AND a.kind = p_kind AND a.id = p_id;
  END IF;
END $$;

-- Begins a turn that reads: holds the actor to the end of the transaction, or until its node has been silent for 5 s.
-- Raises SGA01 when the epoch is over, SGA02 when the message was answered before.
CREATE FUNCTION begin_turn(p_organization uuid, p_kind text, p_id text, p_epoch integer, p_message text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- a node that froze in the middle of a turn must not keep the next owner waiting
  PERFORM set_config('idle_in_transaction_session_timeout', '5000', true);
  PERFORM 1 FROM actors
  WHERE organization_id = p_organization AND kind = p_kind AND id = p_id AND epoch = p_epoch FOR NO KEY UPDATE;
  IF NOT FOUND THEN RAISE EXCEPTION 'fenced' USING ERRCODE = 'SGA01'; END IF;
  PERFORM 1 FROM actor_inbox
  WHERE organization_id = p_organization AND kind = p_kind AND actor_id = p_id AND message_id = p_message;
  IF FOUND THEN RAISE EXCEPTION 'answered before' USING ERRCODE = 'SGA02'; END IF;
END $$;

-- Ends a turn, or is all of one that only writes: stores its answer and its state (null: unchanged).
-- Raises as begin_turn does.
CREATE FUNCTION end_turn(p_organization uuid, p_kind text, p_id text, p_epoch integer, p_message text, p_state jsonb, p_result jsonb)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF p_state IS NULL THEN
    PERFORM 1 FROM actors
    WHERE organization_id = p_organization AND kind = p_kind AND id = p_id AND epoch = p_epoch FOR NO KEY UPDATE;
  ELSE
    UPDATE actors SET state = p_state, version = version + 1
    WHERE organization_id = p_organization AND kind = p_kind AND id = p_id AND epoch = p_epoch;
  END IF;
  IF NOT FOUND THEN RAISE EXCEPTION 'fenced' USING ERRCODE = 'SGA01'; END IF;
  INSERT INTO actor_inbox (organization_id, kind, actor_id, message_id, result)
  VALUES (p_organization, p_kind, p_id, p_message, p_result) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RAISE EXCEPTION 'answered before' USING ERRCODE = 'SGA02'; END IF;
END $$;

-- When somebody wants to be reminded of a lead.

CREATE TABLE lead_reminders (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  lead_id uuid NOT NULL,
  user_id uuid NOT NULL,
  remind_at timestamptz(3) NOT NULL,
  note text,
  -- null until the reminder was given
  reminded_at timestamptz(3),
  created_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, lead_id) REFERENCES leads (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX lead_reminders_by_lead ON lead_reminders (organization_id, lead_id);
CREATE INDEX lead_reminders_due ON lead_reminders (remind_at) WHERE reminded_at IS NULL;
SELECT pg_temp.tenant_table('lead_reminders', platform => true);

-- Which messages from outside were received, so that none is accepted twice.

CREATE TABLE received_ids (
  organization_id uuid NOT NULL,
  source text NOT NULL,
  id text NOT NULL,
  received_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, source, id)
);
CREATE INDEX received_ids_by_age ON received_ids (received_at);
SELECT pg_temp.tenant_table('received_ids', platform => true);

-- Who sees whose records.

CREATE TABLE teams (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  manager_ids uuid[] NOT NULL,
  member_ids uuid[] NOT NULL,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  version integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX teams_name ON teams (organization_id, lower(name));
SELECT pg_temp.tenant_table('teams', platform => true);

-- What holds an organization to one home: a gate each transaction passes, and what a move to another database needs.

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
SELECT pg_temp.tenant_table('moves.gates', platform => true);

-- Keys of rows that changed while their organization is copied; written by triggers that exist that long.
CREATE TABLE moves.changes (
  organization_id uuid NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  relation text NOT NULL,
  key text[] NOT NULL,
  PRIMARY KEY (organization_id, id)
);
SELECT pg_temp.tenant_table('moves.changes', platform => true);

-- Jobs that come with an organization: each is admitted once, however often it is brought.
CREATE TABLE moves.jobs (
  organization_id uuid NOT NULL,
  epoch bigint NOT NULL,
  source_id bigint NOT NULL,
  job jsonb NOT NULL,
  is_admitted boolean NOT NULL DEFAULT false,
  PRIMARY KEY (organization_id, epoch, source_id)
);
SELECT pg_temp.tenant_table('moves.jobs', platform => true);

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

-- Exports, erasures and retention: what was asked for, how far it is, and its receipt.

CREATE TABLE privacy_requests (
  id uuid NOT NULL,
  organization_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  kind text NOT NULL CHECK (kind IN ('export', 'erasure', 'retention')),
  scope text NOT NULL CHECK (scope IN ('person', 'organization')),
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'completed')),
  -- null: by the clock
  requested_by uuid,
  reason text,
  -- whom it is about, sealed with the organization's key; gone when it is completed
  sealed_person bytea,
  -- rises with each claim: a run of an older one writes nothing
  epoch integer NOT NULL DEFAULT 0,
  -- how far an erasure is
  progress jsonb,
  receipt jsonb,
  archive_bytes bigint,
  archive_sha256 text,
  archive_expires_at timestamptz(3),
  started_at timestamptz(3),
  finished_at timestamptz(3),
  PRIMARY KEY (organization_id, id)
);
CREATE INDEX privacy_requests_by_creation ON privacy_requests (organization_id, created_at, id);
CREATE INDEX privacy_archives ON privacy_requests (archive_expires_at) WHERE archive_expires_at IS NOT NULL;
SELECT pg_temp.tenant_table('privacy_requests', platform => true);

-- An archive, cut, each piece sealed with the organization's key.
CREATE TABLE privacy_chunks (
  organization_id uuid NOT NULL,
  request_id uuid NOT NULL,
  position integer NOT NULL,
  sealed bytea STORAGE EXTERNAL NOT NULL,
  PRIMARY KEY (organization_id, request_id, position),
  FOREIGN KEY (organization_id, request_id) REFERENCES privacy_requests (organization_id, id) ON DELETE CASCADE
);
SELECT pg_temp.tenant_table('privacy_chunks', platform => true);

-- HMACs of what erased persons were known by: an import must not bring them back.
CREATE TABLE erased_persons (
  organization_id uuid NOT NULL,
  hash bytea NOT NULL,
  erased_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, hash)
);
SELECT pg_temp.tenant_table('erased_persons');

-- Days that an organization keeps records, where it chose other than the default.
CREATE TABLE retention_settings (
  organization_id uuid PRIMARY KEY,
  version integer NOT NULL DEFAULT 1,
  -- {"leads.leads": 365}
  days jsonb NOT NULL,
  updated_at timestamptz(3) NOT NULL
);
SELECT pg_temp.tenant_table('retention_settings');

-- Custom fields of leads that are kept sealed, apart from the lead: whatever copies a lead copies none of them.

CREATE TABLE lead_sensitive_fields (
  organization_id uuid NOT NULL,
  lead_id uuid NOT NULL,
  key text NOT NULL,
  -- JSON of the value, under the organization's data key
  sealed bytea NOT NULL,
  -- finds equal values, see OrganizationCipher.blindIndex
  blind bytea NOT NULL,
  is_unique boolean NOT NULL,
  PRIMARY KEY (organization_id, lead_id, key),
  -- a new lead is written with COMMIT, after this
  FOREIGN KEY (organization_id, lead_id) REFERENCES leads (organization_id, id) ON DELETE CASCADE
    DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX lead_sensitive_fields_by_value ON lead_sensitive_fields (organization_id, key, blind);
CREATE UNIQUE INDEX lead_sensitive_fields_unique ON lead_sensitive_fields (organization_id, key, blind) WHERE is_unique;
SELECT pg_temp.tenant_table('lead_sensitive_fields');

-- Jobs of an organization that is suspended wait, and of one that is erased end.

-- In: a job that its worker is about to fail. It keeps all its attempts and comes up again in an hour. Runs as owner.
CREATE FUNCTION postpone_job(p_id bigint) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
  UPDATE graphile_worker._private_jobs SET attempts = 0, run_at = now() + interval '1 hour' WHERE id = p_id
$$;

-- In: an organization whose jobs were postponed, and the error they were postponed with. They come up now. Runs as owner.
CREATE FUNCTION wake_jobs(p_organization uuid, p_error text) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
  UPDATE graphile_worker._private_jobs SET run_at = now()
  WHERE payload ->> 'organizationId' = p_organization::text AND locked_at IS NULL AND starts_with(last_error, p_error)
$$;

-- In: an organization. Forgets its jobs, at most 10,000, but for those that run. Out: how many. Runs as owner.
CREATE FUNCTION drop_jobs_of(p_organization uuid) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  dropped integer;
BEGIN
  DELETE FROM graphile_worker._private_jobs WHERE id IN (
    SELECT id FROM graphile_worker._private_jobs
    WHERE payload ->> 'organizationId' = p_organization::text AND locked_at IS NULL LIMIT 10000);
  GET DIAGNOSTICS dropped = ROW_COUNT;
  RETURN dropped;
END $$;

REVOKE ALL ON FUNCTION postpone_job, wake_jobs, drop_jobs_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION postpone_job, wake_jobs, drop_jobs_of TO sangam_platform;

-- Figures of leads by day, and how far each organization's are.

-- of the leads that are not deleted
CREATE TABLE lead_days (
  organization_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  -- in the organization's time zone
  day date NOT NULL,
  source text,
  assigned_to uuid,
  -- captured on this day
  captured integer NOT NULL,
  -- those of them that have been converted, on whatever day
  converted integer NOT NULL,
  -- converted on this day, whenever they were captured
  conversions integer NOT NULL,
  PRIMARY KEY (organization_id, id),
  UNIQUE NULLS NOT DISTINCT (organization_id, day, source, assigned_to)
);
SELECT pg_temp.tenant_table('lead_days');

-- The figures of an organization are right as of this place in its feed; locked while they are counted.
CREATE TABLE analytics_refreshes (
  organization_id uuid PRIMARY KEY,
  seq bigint NOT NULL,
  -- the one the days were made in, as PostgreSQL knows it
  timezone text NOT NULL,
  refreshed_at timestamptz(3) NOT NULL
);
SELECT pg_temp.tenant_table('analytics_refreshes', platform => true);
