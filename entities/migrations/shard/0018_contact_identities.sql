-- breaking: no
-- concurrently: no
-- By what contacts are known besides their email and phone, and the companies besides theirs. The lists stand in the contact's row:
-- of what its own columns say, nothing, so that contacts of before need not be written. The tables are what they are found by,
-- and told apart from those of others: rows of the lists of contacts that are not deleted, written with them.

ALTER TABLE contacts
  ADD COLUMN identities jsonb NOT NULL DEFAULT '[]',
  ADD COLUMN companies jsonb NOT NULL DEFAULT '[]';

CREATE TABLE contact_identities (
  organization_id uuid NOT NULL,
  -- the contact
  record_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('phone', 'email', 'wa_id', 'bsuid', 'username', 'visitor')),
  value text NOT NULL,
  channel text NOT NULL,
  verified_at timestamptz(3),
  -- whether no other contact may have it
  is_exclusive boolean NOT NULL,
  PRIMARY KEY (organization_id, record_id, kind, value)
);
CREATE UNIQUE INDEX contact_identities_exclusive ON contact_identities (organization_id, kind, value) WHERE is_exclusive;
CREATE INDEX contact_identities_by_value ON contact_identities (organization_id, value);
SELECT pg_temp.tenant_table('contact_identities');

CREATE TABLE contact_companies (
  organization_id uuid NOT NULL,
  -- the contact
  record_id uuid NOT NULL,
  company_id uuid NOT NULL,
  role text,
  is_exclusive boolean NOT NULL,
  PRIMARY KEY (organization_id, record_id, company_id)
);
CREATE INDEX contact_companies_by_company ON contact_companies (organization_id, company_id);
SELECT pg_temp.tenant_table('contact_companies');
