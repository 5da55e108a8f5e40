import { Migration } from "@mikro-orm/migrations";

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
