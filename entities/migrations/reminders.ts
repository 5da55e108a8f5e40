import { Migration } from "@mikro-orm/migrations";
import { tenantTable } from "./row-level-security.ts";

/** When somebody wants to be reminded of a lead. */
export class CreateLeadReminders extends Migration {
  override name = "021_create_lead_reminders";
  override up() {
    this.addSql(`
CREATE TABLE lead_reminders (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  lead_id uuid NOT NULL,
  user_id uuid NOT NULL,
  remind_at timestamptz(3) NOT NULL,
  note text,
  -- null until the reminder was given
  reminded_at timestamptz(3),
  created_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, lead_id) REFERENCES leads (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX lead_reminders_by_lead ON lead_reminders (organization_id, lead_id);
CREATE INDEX lead_reminders_due ON lead_reminders (remind_at) WHERE reminded_at IS NULL;
${tenantTable("lead_reminders", { platform: true })}
`);
  }
}
