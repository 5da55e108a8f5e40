import { Migration } from "@mikro-orm/migrations";
import { tenantTable } from "./row-level-security.ts";

/** Sign-in with providers outside: whom they vouch for, and what is kept while a sign-in leads over them. */
export class CreateFederation extends Migration {
  override name = "008_create_federation";
  override up() {
    this.addSql(`
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
${tenantTable("control.identities", { platform: true })}

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
${tenantTable("control.sign_in_attempts", { platform: true })}

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
${tenantTable("control.sign_in_codes", { platform: true })}

CREATE TABLE control.federation_settings (
  organization_id uuid PRIMARY KEY REFERENCES control.organizations (id) ON DELETE CASCADE,
  links_by_email boolean NOT NULL DEFAULT false,
  -- null: no SAML
  saml jsonb,
  updated_at timestamptz(3) NOT NULL
);
${tenantTable("control.federation_settings", { platform: true })}

-- Assertions that were accepted, until they end.
CREATE TABLE control.saml_assertions (
  organization_id uuid NOT NULL REFERENCES control.organizations (id) ON DELETE CASCADE,
  -- SHA-256 of issuer and id
  hash text NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, hash)
);
CREATE INDEX saml_assertions_by_end ON control.saml_assertions (expires_at);
${tenantTable("control.saml_assertions", { platform: true })}
`);
  }
}
