-- breaking: no
-- concurrently: no
-- How records are found under row-level security. An operator that is not LEAKPROOF (@@, ILIKE, &&, ->>) is no index condition
-- under a policy; functions that answer the ids of one organization ask the index, and the list joins these under the policy.

CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

-- In: any text. Out: as it is compared in search: decomposed, without accents (the marks of other scripts stay), in lower case.
CREATE FUNCTION find_fold(given text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF octet_length(given) = length(given) THEN RETURN lower(given COLLATE "C"); END IF;
  RETURN translate(replace(lower(regexp_replace(normalize(given, NFKD), '[\u0300-\u036f]', '', 'g') COLLATE "pg_c_utf8"),
    'ß', 'ss'), 'øłđıς', 'oldiσ');
END $$;

-- In: text in any case. Out: its words in the folded form. What joins words within one (booking.com, A-1, TCS/Infosys) stays.
CREATE FUNCTION find_chunks(given text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  chunk text;
  chunks text[] := '{}';
BEGIN
  FOREACH chunk IN ARRAY regexp_split_to_array(public.find_fold(given),
    '[\u0001-\u0020!"#$%()*,;<=>?\[\\\]^`{|}~\u007f-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u0964\u0965\u1680\u2000-\u200b\u200e-\u206f\u3000-\u3004\u3008-\u3020\ufeff\uff5f-\uff65]+' COLLATE "C") LOOP
    chunk := btrim(chunk, '-./:@&+_''');
    IF chunk <> '' THEN chunks := chunks || chunk; END IF;
  END LOOP;
  RETURN chunks;
END $$;

-- In: texts and phone numbers of a record. Out: what each word of a search must begin: every word and every part of one; of
-- scripts that leave no space between words, from every character on; of numbers, from every digit on.
CREATE FUNCTION find_words(texts text[], phones text[]) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  rest text;
  words text[] := '{}';
BEGIN
  FOREACH rest IN ARRAY public.find_chunks(array_to_string(texts, ' ')) LOOP
    IF octet_length(rest) > length(rest)
      AND rest ~ '[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]' COLLATE "C" THEN
      FOR place IN 1 .. least(length(rest), 128) LOOP words := words || substr(rest, place, 64); END LOOP;
    ELSE
      FOR part IN 1 .. 64 LOOP
        words := words || left(rest, 64);
        rest := ltrim(substring(rest FROM '[-./:@&+_''].*'), '-./:@&+_''');
        EXIT WHEN rest IS NULL OR rest = '';
      END LOOP;
    END IF;
  END LOOP;
  FOREACH rest IN ARRAY phones LOOP
    rest := regexp_replace(coalesce(rest, ''), '[^0-9]', '', 'g');
    FOR place IN 1 .. least(length(rest), 40) - 2 LOOP words := words || substr(rest, place, 40); END LOOP;
  END LOOP;
  RETURN array_to_tsvector(words);
END $$;

-- In: what is looked for. Out: a query that find_words meets where every word begins one; null where there is no word.
CREATE FUNCTION find_query(given text) RETURNS tsquery LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  chunk text;
  ways text[];
  digits text := regexp_replace(given, '[^0-9]', '', 'g');
  every tsquery;
BEGIN
  -- a phone number as people write it
  IF length(digits) BETWEEN 5 AND 40 AND given ~ '^[-0-9\s+()./]*$' THEN
    chunk := ltrim(digits, '0');
    IF chunk <> '' THEN every := (quote_literal(chunk) || ':*')::tsquery; END IF;
  END IF;
  RETURN (
    SELECT CASE WHEN every IS NULL THEN words WHEN words IS NULL THEN every ELSE every || words END
    FROM (SELECT string_agg('(' || array_to_string(ARRAY(
        SELECT public.find_lexeme(left(one, 64))
        UNION ALL
        -- words that are joined here and apart there; short ones would be found everywhere
        SELECT '(' || string_agg(public.find_lexeme(part), ' & ') || ')' FROM regexp_split_to_table(one, '[-./:@&+_'']+') AS part
        HAVING count(*) > 1 AND min(length(part)) >= 3
        UNION ALL
        SELECT public.find_lexeme(ltrim(one, '0')) WHERE one ~ '^0+[1-9][0-9]+$'
      ), ' | ') || ')', ' & ')::tsquery AS words FROM unnest((public.find_chunks(given))[:20]) AS one) AS asked);
END $$;
CREATE FUNCTION find_lexeme(word text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '''' || replace(replace(left(word, 64), '\', '\\'), '''', '''''') || ''':*';

-- In: a field and its value. Out: the lexeme that says so. Inlined where it is called.
CREATE FUNCTION find_term(field text, value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '#' || to_hex(hashtextextended(field || '=' || value, 0));

-- In: lexemes of values, labels, custom fields. Out: these, a lexeme for each label, and for values of custom fields that equal what
-- no JSON does: texts that are numbers in any form (9, 9.0, +9), and the day of a moment. The index has all others as JSON.
CREATE FUNCTION find_terms(terms text[], labels text[], custom jsonb) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  IF labels <> '{}' THEN terms := terms || ARRAY(SELECT public.find_term('tags', label) FROM unnest(labels) AS label); END IF;
  IF custom @? '$.* ? (@ like_regex "^([-+]?[0-9]+([.][0-9]+)?$|[0-9]{4}-[0-9]{2}-[0-9]{2}T)")' AND jsonb_typeof(custom) = 'object' THEN
    terms := terms || ARRAY(
      SELECT public.find_term('customFields.' || key, CASE WHEN strpos(value, 'T') = 0 THEN trim_scale(value::numeric)::text ELSE left(value, 10) END)
      FROM jsonb_each_text(custom) WHERE value ~ '^([-+]?[0-9]+([.][0-9]+)?$|[0-9]{4}-[0-9]{2}-[0-9]{2}T)');
  END IF;
  RETURN array_to_tsvector(array_remove(terms, NULL));
END $$;

-- In: [[[field, value], …], …], of which one of each list must hold. Out: a query of find_terms.
CREATE FUNCTION find_terms_query(asked jsonb) RETURNS tsquery LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT string_agg((SELECT '(' || string_agg('''' || public.find_term(pair ->> 0, pair ->> 1) || '''', ' | ') || ')'
  FROM jsonb_array_elements(each) AS pair), ' & ') FROM jsonb_array_elements(asked) AS each)::tsquery;

-- Texts in which like looks first.
CREATE FUNCTION find_text(texts text[], labels text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN array_to_string(texts || labels, E'\n');
END $$;

SELECT pg_temp.findable('leads', texts => '{first_name,last_name,company_name,title,email,phone}', phones => '{phone}',
  terms => '{externalId,external_id,firstName,first_name,lastName,last_name,companyName,company_name,title,title,source,source,status,status}',
  likes => '{external_id,first_name,last_name,email,phone,company_name,title,source,status}', makes_indexes => false);
SELECT pg_temp.findable('contacts', texts => '{first_name,last_name,email,phone}', phones => '{phone}',
  terms => '{externalId,external_id,firstName,first_name,lastName,last_name,title,title,lifecycleStage,lifecycle_stage}',
  likes => '{external_id,first_name,last_name,email,phone,title,lifecycle_stage}', makes_indexes => false);
SELECT pg_temp.findable('companies', texts => '{name,domain,phone}', phones => '{phone}',
  terms => '{externalId,external_id,name,name,domain,domain,industry,industry,phone,phone}',
  likes => '{external_id,name,domain,industry,phone}', makes_indexes => false);
