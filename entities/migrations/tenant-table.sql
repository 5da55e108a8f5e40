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
