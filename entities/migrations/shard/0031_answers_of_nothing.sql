-- breaking: no
-- concurrently: no
-- What a command answered under a key may be nothing: JSON's null, which a recordset takes for none.

CREATE OR REPLACE FUNCTION claim_idempotency_keys(p_claims json) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  p_organization uuid := current_setting('app.organization_id')::uuid;
  is_refused boolean;
BEGIN
  WITH claims AS MATERIALIZED (
    SELECT * FROM json_to_recordset(p_claims) AS c (key text, fingerprint text, response json)
  ), claimed AS (
    INSERT INTO idempotency_keys AS k (organization_id, key, fingerprint, response)
    SELECT p_organization, c.key, c.fingerprint, coalesce(c.response, 'null') FROM claims c
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
