-- breaking: no
-- concurrently: no
-- What release 0.1.0 made in the control database.

-- Organizations, users, sessions, signing keys and the shard map.

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
  updated_at timestamptz(3) NOT NULL,
  timezone text NOT NULL DEFAULT 'UTC',
  -- by the platform
  suspended_at timestamptz(3),
  suspended_because text,
  -- by an admin of its own; null again when it is restored
  deletion_due_at timestamptz(3),
  deletion_requested_by uuid,
  -- from here on there is no way back
  erasing_at timestamptz(3)
);
-- every process asks for the last minute's changes
CREATE INDEX organizations_by_change ON control.organizations (updated_at);
CREATE INDEX organizations_to_erase ON control.organizations (deletion_due_at) WHERE deletion_due_at IS NOT NULL;
SELECT pg_temp.tenant_table('control.organizations', platform => true, tenant => 'id');

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
SELECT pg_temp.tenant_table('control.users', platform => true);

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
SELECT pg_temp.tenant_table('control.sessions', platform => true);

CREATE TABLE control.signing_keys (
  kid text PRIMARY KEY,
  public_jwk jsonb NOT NULL,
  sealed_private_jwk bytea NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  -- names the MASTER_KEY it is under; null: one from before this was noted
  master_key_id text,
  -- published from the beginning, it signs from here on: whoever verifies has it by then
  signs_from timestamptz(3) NOT NULL DEFAULT now()
);
CREATE TABLE control.shard_map (
  logical_shard integer PRIMARY KEY,
  database_index integer NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON control.signing_keys TO sangam_platform;
GRANT SELECT, INSERT ON control.shard_map TO sangam_platform;

-- Who leads, and which ticks of the clock were served.

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

-- What programs sign in with, on behalf of the user who made it.

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
SELECT pg_temp.tenant_table('control.api_keys', platform => true);

-- How often somebody failed to prove who they are, of late.

CREATE TABLE control.sign_in_failures (
  -- SHA-256 of what is counted: an account, an address
  key text PRIMARY KEY,
  failures integer NOT NULL,
  ends_at timestamptz(3) NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON control.sign_in_failures TO sangam_platform;

-- The second factor of users who turned it on.

CREATE TABLE control.totp_factors (
  user_id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  sealed_secret bytea NOT NULL,
  -- null: begun, and asked of nobody
  confirmed_at timestamptz(3),
  -- of the last code that was accepted; no code of this step or one before is accepted again
  last_step bigint NOT NULL DEFAULT 0,
  created_at timestamptz(3) NOT NULL,
  -- whether the seed is sealed with the organization's data key; before, MASTER_KEY itself sealed it
  is_under_organization_key boolean NOT NULL DEFAULT false,
  FOREIGN KEY (organization_id, user_id) REFERENCES control.users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX totp_factors_to_reseal ON control.totp_factors (user_id) WHERE NOT is_under_organization_key;
SELECT pg_temp.tenant_table('control.totp_factors', platform => true);

-- Those not used yet.
CREATE TABLE control.recovery_codes (
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  hash text NOT NULL,
  PRIMARY KEY (user_id, hash),
  FOREIGN KEY (organization_id, user_id) REFERENCES control.users (organization_id, id) ON DELETE CASCADE
);
SELECT pg_temp.tenant_table('control.recovery_codes', platform => true);

-- The data key of each organization, wrapped by MASTER_KEY. In the control database: rows of control and of shards are
-- sealed with the one key, a move between shards need not carry it along, and a shard's backup alone opens nothing.

CREATE TABLE control.organization_keys (
  organization_id uuid PRIMARY KEY,
  wrapped bytea NOT NULL,
  -- names the MASTER_KEY it is under, without telling anything of it
  master_key_id text NOT NULL,
  wrapped_at timestamptz(3) NOT NULL DEFAULT now(),
  created_at timestamptz(3) NOT NULL DEFAULT now()
);
CREATE INDEX organization_keys_by_master_key ON control.organization_keys (master_key_id);
SELECT pg_temp.tenant_table('control.organization_keys', platform => true);

-- Links that are mailed to people, and the mails of installations that send none.

CREATE TABLE control.password_resets (
  -- SHA-256 of the token in the link
  hash text PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  FOREIGN KEY (organization_id, user_id) REFERENCES control.users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX password_resets_by_user ON control.password_resets (organization_id, user_id);
SELECT pg_temp.tenant_table('control.password_resets', platform => true);

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
SELECT pg_temp.tenant_table('control.invites', platform => true);

CREATE TABLE control.kept_mails (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES control.organizations (id) ON DELETE CASCADE,
  recipient text NOT NULL,
  subject text NOT NULL,
  body text NOT NULL,
  created_at timestamptz(3) NOT NULL
);
SELECT pg_temp.tenant_table('control.kept_mails', platform => true);

-- What happened to users, sessions and keys.

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
SELECT pg_temp.tenant_table('control.audit_log', platform => true);
-- the app appends; only the platform forgets
REVOKE UPDATE, DELETE ON control.audit_log FROM sangam_app;

-- Roles that organizations make; users and invitations name them by id.

CREATE TABLE control.roles (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES control.organizations (id) ON DELETE CASCADE,
  name text NOT NULL,
  permissions text[] NOT NULL,
  sees text NOT NULL CHECK (sees IN ('own', 'team', 'all')),
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  version integer NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX roles_name ON control.roles (organization_id, lower(name));
SELECT pg_temp.tenant_table('control.roles', platform => true);

-- Organizations whose database is not, or not only, the one their logical shard names.

CREATE TABLE control.organization_shards (
  organization_id uuid PRIMARY KEY,
  -- where it lives
  database_index integer NOT NULL,
  -- where it is copied to, or where its rows are still to be deleted
  other_index integer,
  state text NOT NULL CHECK (state IN ('settled', 'moving', 'cleaning')),
  -- rises with each move: an older one is fenced by it
  epoch bigint NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX organization_shards_by_change ON control.organization_shards (changed_at);
SELECT pg_temp.tenant_table('control.organization_shards', platform => true);

-- What stays of an erased organization, and what each has used of its plan.

CREATE TABLE control.erasure_receipts (
  organization_id uuid PRIMARY KEY,
  requested_by uuid,
  started_at timestamptz(3) NOT NULL,
  -- null: not finished
  erased_at timestamptz(3),
  -- table → rows
  counts jsonb NOT NULL DEFAULT '{}'
);
SELECT pg_temp.tenant_table('control.erasure_receipts', platform => true);
REVOKE INSERT, UPDATE, DELETE ON control.erasure_receipts FROM sangam_app;

-- Requests by API in a day (UTC); gateways add theirs every few seconds.
CREATE TABLE control.api_usage (
  organization_id uuid NOT NULL,
  day date NOT NULL,
  calls bigint NOT NULL,
  PRIMARY KEY (organization_id, day)
);
SELECT pg_temp.tenant_table('control.api_usage', platform => true);

-- Sign-in with providers outside: whom they vouch for, and what is kept while a sign-in leads over them.

CREATE TABLE control.identities (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  -- iss and sub of OpenID Connect: together they name one person for good
  issuer text NOT NULL,
  subject text NOT NULL,
  provider text NOT NULL,
  -- what the provider called them when it was linked
  email text,
  last_used_at timestamptz(3),
  created_at timestamptz(3) NOT NULL,
  CONSTRAINT identities_issuer_subject_key UNIQUE (issuer, subject),
  FOREIGN KEY (organization_id, user_id) REFERENCES control.users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX identities_by_user ON control.identities (organization_id, user_id);
SELECT pg_temp.tenant_table('control.identities', platform => true);

-- Sign-ins that have begun here and not come back yet.
CREATE TABLE control.sign_in_attempts (
  -- SHA-256 of the state (OpenID Connect) or the id of the request (SAML)
  hash text PRIMARY KEY,
  -- null where nobody is known yet
  organization_id uuid REFERENCES control.organizations (id) ON DELETE CASCADE,
  -- who links a provider to themselves
  user_id uuid,
  provider text NOT NULL,
  -- SHA-256 of the cookie of the browser it began in
  browser_hash text NOT NULL,
  -- nonce and code verifier
  sealed_secrets bytea,
  redirect text,
  -- SHA-256 of what the front end proves itself with
  challenge text,
  expires_at timestamptz(3) NOT NULL,
  FOREIGN KEY (organization_id, user_id) REFERENCES control.users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX sign_in_attempts_by_end ON control.sign_in_attempts (expires_at);
SELECT pg_temp.tenant_table('control.sign_in_attempts', platform => true);

-- Sign-ins that came back and wait for the front end, or the second factor.
CREATE TABLE control.sign_in_codes (
  hash text PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  provider text NOT NULL,
  is_second_factor_done boolean NOT NULL,
  -- one of both says who may use it
  challenge text,
  browser_hash text,
  expires_at timestamptz(3) NOT NULL,
  CHECK (challenge IS NOT NULL OR browser_hash IS NOT NULL),
  FOREIGN KEY (organization_id, user_id) REFERENCES control.users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX sign_in_codes_by_end ON control.sign_in_codes (expires_at);
SELECT pg_temp.tenant_table('control.sign_in_codes', platform => true);

CREATE TABLE control.federation_settings (
  organization_id uuid PRIMARY KEY REFERENCES control.organizations (id) ON DELETE CASCADE,
  links_by_email boolean NOT NULL DEFAULT false,
  -- null: no SAML
  saml jsonb,
  updated_at timestamptz(3) NOT NULL
);
SELECT pg_temp.tenant_table('control.federation_settings', platform => true);

-- Assertions that were accepted, until they end.
CREATE TABLE control.saml_assertions (
  organization_id uuid NOT NULL REFERENCES control.organizations (id) ON DELETE CASCADE,
  -- SHA-256 of issuer and id
  hash text NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, hash)
);
CREATE INDEX saml_assertions_by_end ON control.saml_assertions (expires_at);
SELECT pg_temp.tenant_table('control.saml_assertions', platform => true);
