-- breaking: no
-- concurrently: no
-- What changes while somebody writes by it: definitions of custom fields, merges, the records of an operation.

-- What an operation is about and what it writes may hold what is sealed in records: { selection, changes }, sealed by the
-- organization's key. Operations of before have it in selection and changes.
ALTER TABLE operations ADD COLUMN sealed bytea;
-- the last record there was when it began
ALTER TABLE operations ADD COLUMN until_id uuid;

-- Fails as a broken constraint of that name, which is told as what the transaction says that it means.
CREATE FUNCTION refuse(p_constraint text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% does not hold', p_constraint USING ERRCODE = '23514', CONSTRAINT = p_constraint;
END $$;

-- Custom fields of a kind as a transaction goes by them stay so until its end: who changes them (change_custom_fields) waits, and
-- after whom it had to wait fails by the constraint custom_fields_changed.
-- p_holds: [{ kind, fields: { key: "<id>:<version>", or null where none is defined } }]; several of one kind where commands share a commit.
CREATE FUNCTION hold_custom_fields(p_holds json) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  own uuid := NULLIF(current_setting('app.organization_id', true), '')::uuid;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('custom fields ' || own || ' ' || kind, 0))
    FROM (SELECT DISTINCT kind FROM json_to_recordset(p_holds) AS hold (kind text) ORDER BY kind) AS kinds;
  -- a statement of its own: it sees what was committed before the lock was had
  IF EXISTS (SELECT FROM json_to_recordset(p_holds) AS hold (kind text, fields json)
        CROSS JOIN LATERAL json_each_text(hold.fields) AS field
        LEFT JOIN custom_fields f ON f.organization_id = own AND f.entity = hold.kind AND f.key = field.key AND f.deleted_at IS NULL
      WHERE f.id || ':' || f.version IS DISTINCT FROM field.value) THEN
    PERFORM refuse('custom_fields_changed');
  END IF;
END $$;

-- Waits for all who write by the custom fields of a kind, and lets nobody begin to until the end of the transaction.
CREATE FUNCTION change_custom_fields(p_kind text) RETURNS void LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock(hashtextextended('custom fields ' || current_setting('app.organization_id') || ' ' || p_kind, 0))
$$;
