-- breaking: no
-- concurrently: no
-- What is searched is found in three ways, one after the other: by whole words, by words that begin so, and by names of which one letter
-- is wrong. One tokenizer makes all three: find_words of a record, find_chunks of what is looked for.

-- In: what is looked for. Out: a query that find_words meets where every word begins one; where it starts with U+0001, where each is a
-- whole word; with U+0002, where they begin words and not each is whole. Null where there is no word.
ALTER FUNCTION find_query(text) RENAME TO find_beginnings;
CREATE FUNCTION find_query(given text) RETURNS tsquery LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  asked tsquery := public.find_beginnings(ltrim(given, E'\u0001\u0002'));
  -- no lexeme holds a star
  whole tsquery := replace(asked::text, ':*', '')::tsquery;
BEGIN
  RETURN CASE ascii(given) WHEN 1 THEN whole WHEN 2 THEN asked && !!whole ELSE asked END;
END $$;

-- In: what is looked for. Out: each of its words in which a letter may be wrong, and a query that meets the names that are near to it, and
-- the other words.
CREATE FUNCTION find_near_words(given text, OUT word text, OUT asked tsquery) RETURNS SETOF record LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  chunks text[] := public.find_chunks(given);
  others tsquery;
BEGIN
  IF cardinality(chunks) > 6 THEN RETURN; END IF;
  FOR place IN 1 .. cardinality(chunks) LOOP
    word := chunks[place];
    CONTINUE WHEN public.find_near_able(ARRAY[word]) <> ARRAY[word];
    others := public.find_beginnings(array_to_string(chunks[: place - 1] || chunks[place + 1 :], ' '));
    asked := (SELECT string_agg(quote_literal(one), ' | ') FROM (SELECT '~' || word AS one UNION SELECT unnest(ARRAY['~' || rest, rest])
      FROM unnest(public.find_rests(word)) AS rest) AS all_of_them)::tsquery;
    asked := coalesce(asked && others, asked);
    RETURN NEXT;
  END LOOP;
END $$;

-- Whether one letter more, less or other makes of one word the other, or two that have changed places.
CREATE FUNCTION find_is_near(one text, other text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  place integer := 1;
BEGIN
  IF abs(length(one) - length(other)) > 1 THEN RETURN false; END IF;
  WHILE place <= length(one) AND substr(one, place, 1) = substr(other, place, 1) LOOP place := place + 1; END LOOP;
  RETURN substr(one, place + 1) = substr(other, place + 1) OR substr(one, place + 1) = substr(other, place)
    OR substr(one, place) = substr(other, place + 1)
    OR (substr(one, place, 1) = substr(other, place + 1, 1) AND substr(one, place + 1, 1) = substr(other, place, 1)
      AND substr(one, place + 2) = substr(other, place + 2));
END $$;
CREATE FUNCTION find_has_near(names text[], word text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN EXISTS (SELECT FROM unnest(public.find_near_able(names)) AS one WHERE public.find_is_near(one, word));

SELECT pg_temp.findable('leads', texts => '{first_name,last_name,company_name,title,email,phone}', phones => '{phone}',
  terms => '{externalId,external_id,firstName,first_name,lastName,last_name,companyName,company_name,title,title,source,source,status,status}',
  likes => '{external_id,first_name,last_name,email,phone,company_name,title,source,status}', makes_indexes => false);
DROP INDEX leads_find;
ALTER INDEX leads_find_near RENAME TO leads_find;
SELECT pg_temp.findable('contacts', texts => '{first_name,last_name,email,phone}', phones => '{phone}', parts => '{identities}',
  terms => '{externalId,external_id,firstName,first_name,lastName,last_name,title,title,lifecycleStage,lifecycle_stage}',
  likes => '{external_id,first_name,last_name,email,phone,title,lifecycle_stage}', makes_indexes => false);
DROP INDEX contacts_find;
ALTER INDEX contacts_find_near RENAME TO contacts_find;
SELECT pg_temp.findable('companies', texts => '{name,domain,phone}', phones => '{phone}',
  terms => '{externalId,external_id,name,name,domain,domain,industry,industry,phone,phone}',
  likes => '{external_id,name,domain,industry,phone}', makes_indexes => false);
DROP INDEX companies_find;
ALTER INDEX companies_find_near RENAME TO companies_find;
SELECT pg_temp.findable('deals', texts => '{name}', phones => '{}',
  terms => '{externalId,external_id,name,name,status,status}',
  likes => '{external_id,name,status}', makes_indexes => false);
DROP INDEX deals_find;
ALTER INDEX deals_find_near RENAME TO deals_find;
SELECT pg_temp.findable('products', texts => '{name,sku}', phones => '{}',
  terms => '{externalId,external_id,name,name}',
  likes => '{external_id,name,sku}', makes_indexes => false);
DROP INDEX products_find;
ALTER INDEX products_find_near RENAME TO products_find;
