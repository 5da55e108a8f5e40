/**
 * SQL that puts a table under row-level security: the app's role sees and writes rows of the organization
 * named by `app.organization_id` and, without it, none (NULLIF: SET LOCAL ends as ''). FORCE holds the
 * owner to it too. `platform` adds the narrow role of sequencer, pollers and sign-in, who work across organizations.
 */
export function tenantTable(table: string, options: { platform?: boolean; column?: string } = {}): string {
  const own = `${options.column ?? "organization_id"} = NULLIF(current_setting('app.organization_id', true), '')::uuid`;
  const statements = [
    `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`,
    `ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`,
    `CREATE POLICY own_organization ON ${table} TO sangam_app USING (${own}) WITH CHECK (${own})`,
    `GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO sangam_app`,
  ];
  if (options.platform)
    statements.push(
      `CREATE POLICY whole_platform ON ${table} TO sangam_platform USING (true) WITH CHECK (true)`,
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO sangam_platform`,
    );
  return `${statements.join(";\n")};`;
}
