import { Migration } from "@mikro-orm/migrations";
import { tenantTable } from "./row-level-security.ts";

/** Which messages from outside were received, so that none is accepted twice. */
export class CreateReceivedIds extends Migration {
  override name = "030_create_received_ids";
  override up() {
    this.addSql(`
CREATE TABLE received_ids (
  organization_id uuid NOT NULL,
  source text NOT NULL,
  id text NOT NULL,
  received_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, source, id)
);
CREATE INDEX received_ids_by_age ON received_ids (received_at);
${tenantTable("received_ids", { platform: true })}
`);
  }
}
