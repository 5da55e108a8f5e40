import { Migration } from "@mikro-orm/migrations";
import { tenantTable } from "./row-level-security.ts";

/** What the rotation of MASTER_KEY and of the keys of access tokens goes by. */
export class CreateKeyRotation extends Migration {
  override name = "060_create_key_rotation";
  override up() {
    this.addSql(`
-- names the MASTER_KEY a signing key is under; null: one from before this was noted
ALTER TABLE control.signing_keys ADD master_key_id text;
-- published from the beginning, it signs from here on: whoever verifies has it by then
ALTER TABLE control.signing_keys ADD signs_from timestamptz(3) NOT NULL DEFAULT now();
UPDATE control.signing_keys SET signs_from = created_at;
GRANT UPDATE, DELETE ON control.signing_keys TO sangam_platform;

-- whether the seed is sealed with the organization's data key; before, MASTER_KEY itself sealed it
ALTER TABLE control.totp_factors ADD is_under_organization_key boolean NOT NULL DEFAULT false;
CREATE INDEX totp_factors_to_reseal ON control.totp_factors (user_id) WHERE NOT is_under_organization_key;
`);
  }
}

/** Custom fields of leads that are kept sealed, apart from the lead: whatever copies a lead copies none of them. */
export class CreateSensitiveFields extends Migration {
  override name = "061_create_sensitive_fields";
  override up() {
    this.addSql(`
ALTER TABLE custom_fields ADD is_sensitive boolean NOT NULL DEFAULT false,
  ADD is_unique boolean NOT NULL DEFAULT false;

CREATE TABLE lead_sensitive_fields (
  organization_id uuid NOT NULL,
  lead_id uuid NOT NULL,
  key text NOT NULL,
  -- JSON of the value, under the organization's data key
  sealed bytea NOT NULL,
  -- finds equal values, see OrganizationCipher.blindIndex
  blind bytea NOT NULL,
  is_unique boolean NOT NULL,
  PRIMARY KEY (organization_id, lead_id, key),
  -- a new lead is written with COMMIT, after this
  FOREIGN KEY (organization_id, lead_id) REFERENCES leads (organization_id, id) ON DELETE CASCADE
    DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX lead_sensitive_fields_by_value ON lead_sensitive_fields (organization_id, key, blind);
CREATE UNIQUE INDEX lead_sensitive_fields_unique ON lead_sensitive_fields (organization_id, key, blind) WHERE is_unique;
${tenantTable("lead_sensitive_fields")}
`);
  }
}
