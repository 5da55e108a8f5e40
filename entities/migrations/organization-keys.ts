import { Migration } from "@mikro-orm/migrations";
import { tenantTable } from "./row-level-security.ts";

/**
 * The data key of each organization, wrapped by MASTER_KEY. In the control database: rows of control and of shards are sealed with
 * the one key, a move between shards need not carry it along, and a shard's backup alone opens nothing.
 */
export class CreateOrganizationKeys extends Migration {
  override name = "030_create_organization_keys";
  override up() {
    this.addSql(`
CREATE TABLE control.organization_keys (
  organization_id uuid PRIMARY KEY,
  wrapped bytea NOT NULL,
  -- names the MASTER_KEY it is under, without telling anything of it
  master_key_id text NOT NULL,
  wrapped_at timestamptz(3) NOT NULL DEFAULT now(),
  created_at timestamptz(3) NOT NULL DEFAULT now()
);
CREATE INDEX organization_keys_by_master_key ON control.organization_keys (master_key_id);
${tenantTable("control.organization_keys", { platform: true })}
`);
  }
}
