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

/** How an organization stands: suspended, about to be deleted, erased; and what it has used of its plan. */
export class CreateOrganizationLife extends Migration {
  override name = "062_create_organization_life";
  override up() {
    this.addSql(`
ALTER TABLE control.organizations
  ADD timezone text NOT NULL DEFAULT 'UTC',
  -- by the platform
  ADD suspended_at timestamptz(3),
  ADD suspended_because text,
  -- by an admin of its own; null again when it is restored
  ADD deletion_due_at timestamptz(3),
  ADD deletion_requested_by uuid,
  -- from here on there is no way back
  ADD erasing_at timestamptz(3);
-- every process asks for the last minute's changes
CREATE INDEX organizations_by_change ON control.organizations (updated_at);
CREATE INDEX organizations_to_erase ON control.organizations (deletion_due_at) WHERE deletion_due_at IS NOT NULL;

-- What stays of an erased organization.
CREATE TABLE control.erasure_receipts (
  organization_id uuid PRIMARY KEY,
  requested_by uuid,
  started_at timestamptz(3) NOT NULL,
  -- null: not finished
  erased_at timestamptz(3),
  -- table → rows
  counts jsonb NOT NULL DEFAULT '{}'
);
${tenantTable("control.erasure_receipts", { platform: true })}
REVOKE INSERT, UPDATE, DELETE ON control.erasure_receipts FROM sangam_app;

-- Requests by API in a day (UTC); gateways add theirs every few seconds.
CREATE TABLE control.api_usage (
  organization_id uuid NOT NULL,
  day date NOT NULL,
  calls bigint NOT NULL,
  PRIMARY KEY (organization_id, day)
);
${tenantTable("control.api_usage", { platform: true })}
`);
  }
}

/** Jobs of an organization that is suspended wait, and of one that is erased end. */
export class CreateJobsOfOrganization extends Migration {
  override name = "063_create_jobs_of_organization";
  override up() {
    this.addSql(`
-- In: a job that its worker is about to fail. It keeps all its attempts and comes up again in an hour. Runs as owner.
CREATE FUNCTION postpone_job(p_id bigint) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
  UPDATE graphile_worker._private_jobs SET attempts = 0, run_at = now() + interval '1 hour' WHERE id = p_id
$$;

-- In: an organization whose jobs were postponed, and the error they were postponed with. They come up now. Runs as owner.
CREATE FUNCTION wake_jobs(p_organization uuid, p_error text) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
  UPDATE graphile_worker._private_jobs SET run_at = now()
  WHERE payload ->> 'organizationId' = p_organization::text AND locked_at IS NULL AND starts_with(last_error, p_error)
$$;

-- In: an organization. Forgets its jobs, at most 10,000, but for those that run. Out: how many. Runs as owner.
CREATE FUNCTION drop_jobs_of(p_organization uuid) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  dropped integer;
BEGIN
  DELETE FROM graphile_worker._private_jobs WHERE id IN (
    SELECT id FROM graphile_worker._private_jobs
    WHERE payload ->> 'organizationId' = p_organization::text AND locked_at IS NULL LIMIT 10000);
  GET DIAGNOSTICS dropped = ROW_COUNT;
  RETURN dropped;
END $$;

REVOKE ALL ON FUNCTION postpone_job, wake_jobs, drop_jobs_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION postpone_job, wake_jobs, drop_jobs_of TO sangam_platform;
`);
  }
}
