import { Migration } from "@mikro-orm/migrations";
import { tenantTable } from "./row-level-security.ts";

/** Figures of leads by day, and how far each organization's are. */
export class CreateAnalytics extends Migration {
  override name = "070_create_analytics";
  override up() {
    this.addSql(`
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
${tenantTable("lead_days")}

-- The figures of an organization are right as of this place in its feed; locked while they are counted.
CREATE TABLE analytics_refreshes (
  organization_id uuid PRIMARY KEY,
  seq bigint NOT NULL,
  -- the one the days were made in, as PostgreSQL knows it
  timezone text NOT NULL,
  refreshed_at timestamptz(3) NOT NULL
);
${tenantTable("analytics_refreshes", { platform: true })}

CREATE INDEX leads_by_conversion ON leads (organization_id, converted_at)
  WHERE converted_at IS NOT NULL AND deleted_at IS NULL;
`);
  }
}
