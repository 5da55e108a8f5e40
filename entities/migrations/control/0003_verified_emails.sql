-- breaking: yes
-- concurrently: no
-- Emails and domains count once they are proved; invitations know who gave them. Breaking: the code of 0.1.0 takes an address for
-- one user's, and would sign in or link whichever of several accounts it meets first.

ALTER TABLE control.users
  -- since when the address is proved to be the user's; null: anybody may have written it
  ADD COLUMN email_verified_at timestamptz(3),
  DROP CONSTRAINT users_email_key,
  ADD CONSTRAINT users_organization_email UNIQUE (organization_id, email);
-- an address that is proved is one user's; not proved, it may stand in any number of organizations
CREATE UNIQUE INDEX users_verified_email ON control.users (email) WHERE email_verified_at IS NOT NULL;
CREATE INDEX users_by_email ON control.users (email, created_at);

ALTER TABLE control.organizations
  DROP CONSTRAINT organizations_domain_key,
  -- since when the domain is proved to be the organization's
  ADD COLUMN domain_verified_at timestamptz(3);
CREATE UNIQUE INDEX organizations_verified_domain ON control.organizations (domain) WHERE domain_verified_at IS NOT NULL;

-- null of invitations from before whose giver nobody knows any more: they count for nothing
ALTER TABLE control.invites ADD COLUMN invited_by uuid;

CREATE TABLE control.email_verifications (
  -- SHA-256 of the token in the link
  hash text PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  FOREIGN KEY (organization_id, user_id) REFERENCES control.users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX email_verifications_by_user ON control.email_verifications (organization_id, user_id);
SELECT pg_temp.tenant_table('control.email_verifications', platform => true);

-- What is random and the same for good in this installation; one row.
CREATE TABLE control.installation (
  id boolean PRIMARY KEY DEFAULT true CHECK (id),
  -- the salt of an address's passwords is made of it; no secret
  password_salt_key bytea NOT NULL
);
INSERT INTO control.installation (password_salt_key)
  VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
GRANT SELECT ON control.installation TO sangam_platform;

-- What the audit log proves of those who are here. The role sees every organization, which the owner of the tables does not.
SET LOCAL ROLE sangam_platform;
-- who came by a mailed link, or a provider of the platform, had the address; until now it was one user's
UPDATE control.users u SET email_verified_at = l.at
  FROM (
    SELECT organization_id, subject_id, min(created_at) AS at FROM control.audit_log
    WHERE type = 'user.password_reset'
      OR (type = 'user.joined' AND actor_id = subject_id AND details ->> 'provider' IS DISTINCT FROM 'saml')
    GROUP BY organization_id, subject_id
  ) l
  WHERE l.organization_id = u.organization_id AND l.subject_id = u.id AND u.email NOT LIKE '%@erased.invalid';
UPDATE control.invites i SET invited_by = l.actor_id
  FROM control.audit_log l
  WHERE l.organization_id = i.organization_id AND l.type = 'user.invited' AND l.subject_id = i.id;
RESET ROLE;
