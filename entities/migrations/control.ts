import { Migration } from "@mikro-orm/migrations";
import { CreateRoles } from "./access.ts";
import {
  CreateApiKeys,
  CreateAuditLog,
  CreateMailedLinks,
  CreateSecondFactors,
  CreateSignInFailures,
} from "./identity.ts";
import { CreateOrganizationShards } from "./moves.ts";
import { CreateOrganizationKeys } from "./organization-keys.ts";
import { CreateKeyRotation, CreateOrganizationLife } from "./organization-life.ts";
import { tenantTable } from "./row-level-security.ts";

/** Organizations, users, sessions, signing keys and the shard map. */
class CreateControl extends Migration {
  override name = "001_create_control";
  override up() {
    this.addSql(`
CREATE SCHEMA IF NOT EXISTS control;
GRANT USAGE ON SCHEMA control TO sangam_app, sangam_platform;

CREATE TABLE control.organizations (
  id uuid PRIMARY KEY,
  name text NOT NULL,
  domain text UNIQUE,
  plan text NOT NULL DEFAULT 'trial',
  data_region text NOT NULL DEFAULT 'default',
  trial_ends_at timestamptz(3),
  settings jsonb NOT NULL DEFAULT '{}',
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL
);
${tenantTable("control.organizations", { platform: true, column: "id" })}

CREATE TABLE control.users (
  id uuid NOT NULL,
  organization_id uuid NOT NULL REFERENCES control.organizations (id),
  name text NOT NULL,
  email text NOT NULL UNIQUE,
  role text NOT NULL,
  password_hash text NOT NULL,
  is_active boolean NOT NULL DEFAULT true,
  last_login_at timestamptz(3),
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE (organization_id, id)
);
${tenantTable("control.users", { platform: true })}

CREATE TABLE control.sessions (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  refresh_hash text NOT NULL,
  user_agent text,
  ip text,
  last_used_at timestamptz(3) NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  revoked_at timestamptz(3),
  revoked_because text,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  FOREIGN KEY (organization_id, user_id) REFERENCES control.users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX sessions_by_user ON control.sessions (organization_id, user_id);
${tenantTable("control.sessions", { platform: true })}

CREATE TABLE control.signing_keys (
  kid text PRIMARY KEY,
  public_jwk jsonb NOT NULL,
  sealed_private_jwk bytea NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now()
);
CREATE TABLE control.shard_map (
  logical_shard integer PRIMARY KEY,
  database_index integer NOT NULL
);
GRANT SELECT, INSERT ON control.signing_keys, control.shard_map TO sangam_platform;
`);
  }
}

/** Who leads, and which ticks of the clock were served. */
class CreateCron extends Migration {
  override name = "002_create_cron";
  override up() {
    this.addSql(`
CREATE TABLE control.leaders (
  name text PRIMARY KEY,
  node_id text NOT NULL,
  -- rises with each new leader: whoever acts under an older one is stopped by it
  epoch bigint NOT NULL,
  expires_at timestamptz(3) NOT NULL
);
CREATE TABLE control.cron_runs (
  job text NOT NULL,
  scheduled_for timestamptz(3) NOT NULL,
  epoch bigint NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (job, scheduled_for)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON control.leaders, control.cron_runs TO sangam_platform;
`);
  }
}

/** Applied to the control database only, in this order. */
export const controlMigrations = [
  CreateControl,
  CreateCron,
  CreateApiKeys,
  CreateSignInFailures,
  CreateSecondFactors,
  CreateOrganizationKeys,
  CreateMailedLinks,
  CreateAuditLog,
  CreateRoles,
  CreateOrganizationShards,
  CreateKeyRotation,
  CreateOrganizationLife,
];
