-- Stands in the session of every migration. Puts a table under row-level security: the app's role sees and writes rows of
-- the organization named by app.organization_id and, without it, none (NULLIF: SET LOCAL ends as ''). FORCE holds the owner
-- to it too. platform admits the narrow role of sequencer, pollers and sign-in, who work across organizations.
-- tenant: the column that holds the organization's id.
CREATE FUNCTION pg_temp.tenant_table(target regclass, platform boolean DEFAULT false, tenant name DEFAULT 'organization_id')
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  own text := format('%I = NULLIF(current_setting(''app.organization_id'', true), '''')::uuid', tenant);
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
  EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
  EXECUTE format('CREATE POLICY own_organization ON %1$s TO sangam_app USING (%2$s) WITH CHECK (%2$s)', target, own);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO sangam_app', target);
  IF platform THEN
    EXECUTE format('CREATE POLICY whole_platform ON %s TO sangam_platform USING (true) WITH CHECK (true)', target);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO sangam_platform', target);
  END IF;
END $$;

-- Makes rows of a table findable, see migration finding: a policy by which its owner reads it, for the functions alone, and
--   find_<table>(q, terms, custom, patterns, most): ids of the transaction's organization, not deleted: of rows whose words begin
--   with those of q, that have one of each list of terms and meet one of each pair of custom (a jsonpath, and terms or null), and
--   whose text is like one of patterns. Null: not asked. One id more than `most` where there are more. Runs as owner, reads
--   nothing without an organization.
--   <table>_words(row): what q asks of one row.
--   find_near_<table>(q, most): as the first, up to `most` ids of rows that q does not find, but would if one letter of one of its words
--   were another, more or less; of names, see migration finding_what_is_near. Of each word 2,000 rows are looked at.
-- texts: columns that q searches. phones: those that are numbers. terms: name of a field and its column in turn, found by their
-- whole value. likes: columns that like searches. parts: lists of parts (jsonb) whose values q searches too. names: of texts, those in
-- which q may have a letter wrong; default: the names of persons, companies and things, and subjects.
-- The index is <table>_find; makes_indexes: of an empty table.
CREATE FUNCTION pg_temp.findable(target regclass, texts name[], phones name[], terms text[], likes name[], makes_indexes boolean DEFAULT true,
  parts name[] DEFAULT '{}', names name[] DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  named text;
  words text;
  found text;
  looked text;
BEGIN
  words := format('public.find_words(ARRAY[%s]::text[]%s, ARRAY[%s]::text[]%s)',
    (SELECT string_agg(format('r.%I', one), ', ') FROM unnest(texts) AS one),
    (SELECT string_agg(format(' || public.find_parts(r.%I, false)', one), '') FROM unnest(parts) AS one),
    (SELECT string_agg(format('r.%I', one), ', ') FROM unnest(phones) AS one),
    (SELECT string_agg(format(' || public.find_parts(r.%I, true)', one), '') FROM unnest(parts) AS one));
  SELECT coalesce(format('ARRAY[%s]::text[]', string_agg(format('r.%I', one), ', ')), '''{}''::text[]') INTO named FROM unnest(texts) AS one
    WHERE one = ANY (coalesce(names, '{first_name,last_name,name,company_name,subject}'));
  found := format('(%s%s || public.find_terms(ARRAY[%s], r.tags, r.custom_fields))', words,
    -- tables of before that migration get it there
    CASE WHEN to_regprocedure('public.find_near_terms(text[])') IS NOT NULL THEN format(' || public.find_near_terms(%s)', named) END,
    (SELECT string_agg(format('public.find_term(%L, r.%I)', terms[place], terms[place + 1]), ', ' ORDER BY place)
     FROM generate_series(1, cardinality(terms), 2) AS place));
  looked := format('public.find_text(ARRAY[%s]::text[], r.tags)', (SELECT string_agg(format('r.%I', one), ', ') FROM unnest(likes) AS one));
  EXECUTE format('DROP POLICY IF EXISTS finding ON %s', target);
  EXECUTE format('CREATE POLICY finding ON %s FOR SELECT TO CURRENT_USER USING (true)', target);
  EXECUTE format('CREATE OR REPLACE FUNCTION public.%1$s_words(r %1$s) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN %2$s', target, words);
  EXECUTE format($function$
CREATE OR REPLACE FUNCTION public.find_%1$s(q text, terms jsonb, custom jsonb, patterns text[], most integer) RETURNS uuid[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_indexscan = off SET enable_indexonlyscan = off AS $body$
DECLARE
  own uuid := NULLIF(current_setting('app.organization_id', true), '')::uuid;
  asked tsquery;
  pair jsonb;
  -- of which no other index can make use, whatever the planner thinks of
  tests text := 'uuid_hash(r.organization_id) = uuid_hash($1) AND r.organization_id IS NOT DISTINCT FROM $1 AND r.deleted_at IS NULL';
  ids uuid[];
BEGIN
  IF own IS NULL OR q IS NULL AND terms IS NULL AND custom IS NULL AND patterns IS NULL THEN RETURN '{}'; END IF;
  IF q IS NOT NULL THEN
    asked := public.find_query(q);
    IF asked IS NULL THEN RETURN '{}'; END IF;
  END IF;
  IF terms IS NOT NULL THEN asked := coalesce(asked && public.find_terms_query(terms), public.find_terms_query(terms)); END IF;
  IF asked IS NOT NULL THEN tests := tests || ' AND %2$s @@ $2'; END IF;
  FOR pair IN SELECT * FROM jsonb_array_elements(custom) LOOP
    tests := tests || format(CASE WHEN pair ->> 1 IS NULL THEN ' AND r.custom_fields @@ %%L'
      ELSE ' AND (r.custom_fields @@ %%L OR %2$s @@ %%L)' END, pair ->> 0,
      CASE WHEN pair ->> 1 IS NOT NULL THEN public.find_terms_query(jsonb_build_array(pair -> 1)) END);
  END LOOP;
  IF patterns IS NULL THEN
    EXECUTE 'SELECT array_agg(id) FROM (SELECT r.id FROM public.%1$s r WHERE ' || tests || ' LIMIT $3 + 1) AS hits' INTO ids USING own, asked, most;
  ELSE
    EXECUTE 'SELECT array_agg(DISTINCT id) FROM (SELECT r.id FROM unnest($4) AS pattern, public.%1$s r
      WHERE %3$s ILIKE pattern AND ' || tests || ' LIMIT $3 + 1) AS hits' INTO ids USING own, asked, most, patterns;
  END IF;
  RETURN coalesce(ids, '{}');
END $body$
$function$, target, replace(found, '''', ''''''), looked);
  EXECUTE format('REVOKE ALL ON FUNCTION public.find_%1$s(text, jsonb, jsonb, text[], integer) FROM PUBLIC', target);
  EXECUTE format('GRANT EXECUTE ON FUNCTION public.find_%1$s(text, jsonb, jsonb, text[], integer) TO sangam_app', target);
  EXECUTE format($function$
CREATE OR REPLACE FUNCTION public.find_near_%1$s(q text, most integer) RETURNS uuid[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_indexscan = off SET enable_indexonlyscan = off AS $body$
DECLARE
  own uuid := NULLIF(current_setting('app.organization_id', true), '')::uuid;
  near record;
  hits uuid[];
  ids uuid[] := '{}';
BEGIN
  IF own IS NULL THEN RETURN '{}'; END IF;
  FOR near IN SELECT * FROM public.find_near_words(q) LOOP
    EXECUTE 'SELECT array_agg(id) FROM (SELECT c.id FROM (SELECT r.id, %3$s AS names, %4$s AS words FROM public.%1$s r
          WHERE uuid_hash(r.organization_id) = uuid_hash($1) AND r.organization_id IS NOT DISTINCT FROM $1 AND r.deleted_at IS NULL
            AND %2$s @@ $2 LIMIT 2000) AS c
        WHERE public.find_has_near(c.names, $3) AND NOT c.words @@ $4 LIMIT $5) AS hits' INTO hits
      USING own, near.asked, near.word, public.find_query(q), most;
    ids := ids || hits;
  END LOOP;
  RETURN (ARRAY(SELECT DISTINCT one FROM unnest(ids) AS one))[: most];
END $body$
$function$, target, replace(found, '''', ''''''), replace(named, '''', ''''''), words);
  EXECUTE format('REVOKE ALL ON FUNCTION public.find_near_%s(text, integer) FROM PUBLIC', target);
  EXECUTE format('GRANT EXECUTE ON FUNCTION public.find_near_%s(text, integer) TO sangam_app', target);
  -- Plans by how many rows one organization has go wrong: one that is new since the statistics were made has none by them, and then
  -- any index will do. Without statistics each has a two-hundredth of the table. Of custom fields nobody plans by them.
  EXECUTE format('ALTER TABLE %s ALTER COLUMN organization_id SET STATISTICS 0, ALTER COLUMN custom_fields SET STATISTICS 0', target);
  IF to_regprocedure('pg_catalog.pg_clear_attribute_stats(text, text, text, boolean)') IS NOT NULL THEN
    EXECUTE format('SELECT pg_clear_attribute_stats(''public'', %1$L, ''organization_id'', false), pg_clear_attribute_stats(''public'', %1$L, ''custom_fields'', false)', target);
    -- until the first statistics are made nearly no row is taken to be undeleted, and every partial index to hold one row
    EXECUTE format('SELECT pg_restore_attribute_stats(''schemaname'', ''public'', ''relname'', %1$L, ''attname'', ''deleted_at'', ''inherited'', false,
      ''null_frac'', 0.9::real, ''avg_width'', 8, ''n_distinct'', -0.1::real)', target);
  END IF;
  IF makes_indexes THEN
    EXECUTE format('CREATE INDEX %1$s_find ON %1$s USING gin (uuid_hash(organization_id), %2$s, custom_fields jsonb_path_ops, %3$s public.gin_trgm_ops) WHERE deleted_at IS NULL',
      target, regexp_replace(found, '\mr[.]', '', 'g'), regexp_replace(looked, '\mr[.]', '', 'g'));
    EXECUTE format('ALTER INDEX %s_find ALTER COLUMN 1 SET STATISTICS 0, ALTER COLUMN 2 SET STATISTICS 0, ALTER COLUMN 4 SET STATISTICS 0', target);
  END IF;
END $$;

-- Keeps custom_field_index of a table of records, see migration indexed_custom_fields.
-- kind: the name of its kind, as custom fields are defined for it.
CREATE FUNCTION pg_temp.indexes_custom_fields(target regclass, kind text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  event text;
BEGIN
  FOREACH event IN ARRAY '{insert,update,delete}'::text[] LOOP
    EXECUTE format('CREATE TRIGGER index_%1$s AFTER %1$s ON %2$s REFERENCING %3$s TABLE AS written FOR EACH STATEMENT
      EXECUTE FUNCTION public.index_custom_fields(%4$L)', event, target, CASE event WHEN 'delete' THEN 'OLD' ELSE 'NEW' END, kind);
  END LOOP;
END $$;

-- Completes the table of a kind of record, in which the columns of its fields stand: adds what every record has, puts it under
-- row-level security, makes it findable, and makes the indexes that lists ask. `npm run -s kind-table <kind>` writes the call.
-- It has tags and custom_fields.
-- texts, phones, likes: see findable. terms: columns found by their whole value; the field of first_name is firstName.
-- owner: the column of whose a record is. sorts: columns that lists sort by, besides times of creation and change.
-- filters: columns by which lists find rows, and that are in none of the others.
-- kind: its name, as custom fields are defined for it; null: it is none of records, its custom fields are not indexed.
CREATE FUNCTION pg_temp.record_table(target regclass, texts name[], terms name[], likes name[], phones name[] DEFAULT '{}',
  owner name DEFAULT NULL, sorts name[] DEFAULT '{}', filters name[] DEFAULT '{}', kind text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  one name;
  collation_of text;
BEGIN
  EXECUTE format('ALTER TABLE %s ADD organization_id uuid NOT NULL, ADD id uuid NOT NULL, ADD version integer NOT NULL DEFAULT 1,
    ADD created_at timestamptz(3) NOT NULL, ADD updated_at timestamptz(3) NOT NULL, ADD deleted_at timestamptz(3), ADD merged_into uuid,
    ADD PRIMARY KEY (organization_id, id)', target);
  IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = target AND attname = 'external_id' AND NOT attisdropped) THEN
    EXECUTE format('CREATE UNIQUE INDEX %1$s_external_id ON %1$s (organization_id, external_id)
      WHERE external_id IS NOT NULL AND deleted_at IS NULL', target);
    EXECUTE format('CREATE INDEX %1$s_merged_external_id ON %1$s (organization_id, external_id) WHERE merged_into IS NOT NULL', target);
  END IF;
  IF owner IS NOT NULL THEN
    EXECUTE format('CREATE INDEX %1$s_by_%2$s ON %1$s (organization_id, %2$I, created_at, id)
      WHERE %2$I IS NOT NULL AND deleted_at IS NULL', target, owner);
  END IF;
  FOREACH one IN ARRAY '{created_at,updated_at}' || sorts LOOP
    SELECT CASE atttypid WHEN 'text'::regtype THEN 'COLLATE "und-x-icu"' ELSE '' END INTO collation_of
    FROM pg_attribute WHERE attrelid = target AND attname = one;
    EXECUTE format('CREATE INDEX %1$s_by_%2$s ON %1$s (organization_id, %2$I %3$s, id) WHERE deleted_at IS NULL', target, one, collation_of);
  END LOOP;
  FOREACH one IN ARRAY filters LOOP
    EXECUTE format('CREATE INDEX %1$s_with_%2$s ON %1$s (organization_id, %2$I) WHERE %2$I IS NOT NULL', target, one);
  END LOOP;
  PERFORM pg_temp.tenant_table(target);
  PERFORM pg_temp.findable(target, texts => texts, phones => phones, likes => likes, terms => ARRAY(
    SELECT unnest(ARRAY[lower(left(given, 1)) || substr(replace(initcap(replace(given, '_', ' ')), ' ', ''), 2), given::text])
    FROM unnest(terms) AS given));
  IF kind IS NOT NULL THEN PERFORM pg_temp.indexes_custom_fields(target, kind); END IF;
END $$;
