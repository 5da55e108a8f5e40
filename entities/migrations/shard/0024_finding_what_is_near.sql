-- breaking: no
-- concurrently: yes
-- What is searched is found where a letter of a name is wrong, and contacts by all their identities. Building these indexes takes up the
-- rows that are there; the next migration gives them their names.

-- In: a list of parts. Out: their values; of phones alone those that are numbers.
CREATE OR REPLACE FUNCTION find_parts(parts jsonb, are_phones boolean) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  IF parts = '[]' OR jsonb_typeof(parts) <> 'array' THEN RETURN '{}'; END IF;
  RETURN ARRAY(SELECT part ->> 'value' FROM jsonb_array_elements(parts) AS part WHERE NOT are_phones OR part ->> 'kind' IN ('phone', 'wa_id'));
END $$;

-- In: names. Out: their words in which a letter may be wrong: numbers, what is short, and scripts without blanks are near to too much.
CREATE OR REPLACE FUNCTION find_near_able(names text[]) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  word text;
  words text[] := '{}';
BEGIN
  FOREACH word IN ARRAY regexp_split_to_array(array_to_string((public.find_chunks(array_to_string(names, ' ')))[:8], ' '), '[-./:@&+_'' ]+') LOOP
    IF length(word) BETWEEN 4 AND 24 AND word !~ '[0-9\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]' COLLATE "C" THEN
      words := words || word;
    END IF;
  END LOOP;
  RETURN words;
END $$;

-- In: a word. Out: what is left of it without each of its letters. Two words of which a letter differs, or stands elsewhere, have one of
-- these in common; what lacks a letter of the other is one of them.
CREATE OR REPLACE FUNCTION find_rests(word text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  rests text[] := '{}';
BEGIN
  FOR place IN 1 .. length(word) LOOP rests := rests || (left(word, place - 1) || substr(word, place + 1)); END LOOP;
  RETURN rests;
END $$;

-- In: names. Out: a lexeme for each rest of each of their words. No word begins with a tilde.
CREATE OR REPLACE FUNCTION find_near_terms(names text[]) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  word text;
  terms text[] := '{}';
BEGIN
  FOREACH word IN ARRAY public.find_near_able(names) LOOP
    FOR place IN 1 .. length(word) LOOP terms := terms || ('~' || left(word, place - 1) || substr(word, place + 1)); END LOOP;
  END LOOP;
  RETURN array_to_tsvector(terms);
END $$;

CREATE INDEX CONCURRENTLY IF NOT EXISTS leads_find_near ON leads USING gin (uuid_hash(organization_id),
  (find_words(ARRAY[first_name, last_name, company_name, title, email, phone]::text[], ARRAY[phone]::text[])
    || find_near_terms(ARRAY[first_name, last_name, company_name]::text[])
    || find_terms(ARRAY[find_term('externalId', external_id), find_term('firstName', first_name), find_term('lastName', last_name), find_term('companyName', company_name), find_term('title', title), find_term('source', source), find_term('status', status)], tags, custom_fields)),
  custom_fields jsonb_path_ops, find_text(ARRAY[external_id, first_name, last_name, email, phone, company_name, title, source, status]::text[], tags) gin_trgm_ops) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS contacts_find_near ON contacts USING gin (uuid_hash(organization_id),
  (find_words(ARRAY[first_name, last_name, email, phone]::text[] || find_parts(identities, false), ARRAY[phone]::text[] || find_parts(identities, true))
    || find_near_terms(ARRAY[first_name, last_name]::text[])
    || find_terms(ARRAY[find_term('externalId', external_id), find_term('firstName', first_name), find_term('lastName', last_name), find_term('title', title), find_term('lifecycleStage', lifecycle_stage)], tags, custom_fields)),
  custom_fields jsonb_path_ops, find_text(ARRAY[external_id, first_name, last_name, email, phone, title, lifecycle_stage]::text[], tags) gin_trgm_ops) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS companies_find_near ON companies USING gin (uuid_hash(organization_id),
  (find_words(ARRAY[name, domain, phone]::text[], ARRAY[phone]::text[])
    || find_near_terms(ARRAY[name]::text[])
    || find_terms(ARRAY[find_term('externalId', external_id), find_term('name', name), find_term('domain', domain), find_term('industry', industry), find_term('phone', phone)], tags, custom_fields)),
  custom_fields jsonb_path_ops, find_text(ARRAY[external_id, name, domain, industry, phone]::text[], tags) gin_trgm_ops) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS deals_find_near ON deals USING gin (uuid_hash(organization_id),
  (find_words(ARRAY[name]::text[], ARRAY[]::text[])
    || find_near_terms(ARRAY[name]::text[])
    || find_terms(ARRAY[find_term('externalId', external_id), find_term('name', name), find_term('status', status)], tags, custom_fields)),
  custom_fields jsonb_path_ops, find_text(ARRAY[external_id, name, status]::text[], tags) gin_trgm_ops) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS products_find_near ON products USING gin (uuid_hash(organization_id),
  (find_words(ARRAY[name, sku]::text[], ARRAY[]::text[])
    || find_near_terms(ARRAY[name]::text[])
    || find_terms(ARRAY[find_term('externalId', external_id), find_term('name', name)], tags, custom_fields)),
  custom_fields jsonb_path_ops, find_text(ARRAY[external_id, name, sku]::text[], tags) gin_trgm_ops) WHERE deleted_at IS NULL;
ALTER INDEX leads_find_near ALTER COLUMN 1 SET STATISTICS 0, ALTER COLUMN 2 SET STATISTICS 0, ALTER COLUMN 4 SET STATISTICS 0;
ALTER INDEX contacts_find_near ALTER COLUMN 1 SET STATISTICS 0, ALTER COLUMN 2 SET STATISTICS 0, ALTER COLUMN 4 SET STATISTICS 0;
ALTER INDEX companies_find_near ALTER COLUMN 1 SET STATISTICS 0, ALTER COLUMN 2 SET STATISTICS 0, ALTER COLUMN 4 SET STATISTICS 0;
ALTER INDEX deals_find_near ALTER COLUMN 1 SET STATISTICS 0, ALTER COLUMN 2 SET STATISTICS 0, ALTER COLUMN 4 SET STATISTICS 0;
ALTER INDEX products_find_near ALTER COLUMN 1 SET STATISTICS 0, ALTER COLUMN 2 SET STATISTICS 0, ALTER COLUMN 4 SET STATISTICS 0;
