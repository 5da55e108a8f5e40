import { Migration } from "@mikro-orm/migrations";
import { tenantTable } from "./row-level-security.ts";

/** What programs sign in with, on behalf of the user who made it. */
export class CreateApiKeys extends Migration {
  override name = "003_create_api_keys";
  override up() {
    this.addSql(`
CREATE TABLE control.api_keys (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  name text NOT NULL,
  -- finds the key; no secret
  prefix text NOT NULL UNIQUE,
  -- SHA-256 of the whole key, in hex
  hash text NOT NULL,
  scopes text[] NOT NULL,
  expires_at timestamptz(3),
  -- at most a minute behind
  last_used_at timestamptz(3),
  revoked_at timestamptz(3),
  created_at timestamptz(3) NOT NULL,
  FOREIGN KEY (organization_id, user_id) REFERENCES control.users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX api_keys_by_user ON control.api_keys (organization_id, user_id);
${tenantTable("control.api_keys", { platform: true })}
`);
  }
}

/** How often somebody failed to prove who they are, of late. */
export class CreateSignInFailures extends Migration {
  override name = "004_create_sign_in_failures";
  override up() {
    this.addSql(`
CREATE TABLE control.sign_in_failures (
  -- SHA-256 of what is counted: an account, an address
  key text PRIMARY KEY,
  failures integer NOT NULL,
  ends_at timestamptz(3) NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON control.sign_in_failures TO sangam_platform;
`);
  }
}

/** The second factor of users who turned it on. */
export class CreateSecondFactors extends Migration {
  override name = "005_create_second_factors";
  override up() {
    this.addSql(`
CREATE TABLE control.totp_factors (
  user_id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  sealed_secret bytea NOT NULL,
  -- null: begun, and asked of nobody
  confirmed_at timestamptz(3),
  -- of the last code that was accepted; no code of this step or one before is accepted again
  last_step bigint NOT NULL DEFAULT 0,
  created_at timestamptz(3) NOT NULL,
  FOREIGN KEY (organization_id, user_id) REFERENCES control.users (organization_id, id) ON DELETE CASCADE
);
${tenantTable("control.totp_factors", { platform: true })}

-- Those not used yet.
CREATE TABLE control.recovery_codes (
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  hash text NOT NULL,
  PRIMARY KEY (user_id, hash),
  FOREIGN KEY (organization_id, user_id) REFERENCES control.users (organization_id, id) ON DELETE CASCADE
);
${tenantTable("control.recovery_codes", { platform: true })}
`);
  }
}

/** Links that are mailed to people, and the mails of installations that send none. */
export class CreateMailedLinks extends Migration {
  override name = "006_create_mailed_links";
  override up() {
    this.addSql(`
CREATE TABLE control.password_resets (
  -- SHA-256 of the token in the link
  hash text PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  FOREIGN KEY (organization_id, user_id) REFERENCES control.users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX password_resets_by_user ON control.password_resets (organization_id, user_id);
${tenantTable("control.password_resets", { platform: true })}

CREATE TABLE control.invites (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES control.organizations (id) ON DELETE CASCADE,
  name text NOT NULL,
  email text NOT NULL,
  role text NOT NULL,
  -- SHA-256 of the token in the last mail; null: not mailed yet
  hash text UNIQUE,
  expires_at timestamptz(3) NOT NULL,
  created_at timestamptz(3) NOT NULL,
  UNIQUE (organization_id, email)
);
${tenantTable("control.invites", { platform: true })}

CREATE TABLE control.kept_mails (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES control.organizations (id) ON DELETE CASCADE,
  recipient text NOT NULL,
  subject text NOT NULL,
  body text NOT NULL,
  created_at timestamptz(3) NOT NULL
);
${tenantTable("control.kept_mails", { platform: true })}
`);
  }
}

/** What happened to users, sessions and keys. */
export class CreateAuditLog extends Migration {
  override name = "007_create_audit_log";
  override up() {
    this.addSql(`
CREATE TABLE control.audit_log (
  organization_id uuid NOT NULL REFERENCES control.organizations (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  type text NOT NULL,
  actor_id uuid,
  subject_id uuid,
  ip text,
  user_agent text,
  details jsonb NOT NULL,
  created_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id)
);
CREATE INDEX audit_log_by_time ON control.audit_log (organization_id, created_at, id);
CREATE INDEX audit_log_by_age ON control.audit_log (created_at);
${tenantTable("control.audit_log", { platform: true })}
-- the app appends; only the platform forgets
REVOKE UPDATE, DELETE ON control.audit_log FROM sangam_app;
`);
  }
}
