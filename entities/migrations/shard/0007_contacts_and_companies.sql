-- breaking: no
-- concurrently: no
-- Contacts and companies as records of their own: what conversion left out of them, and the indexes of their lists.

ALTER TABLE companies
  ADD COLUMN external_id text,
  ADD COLUMN industry text,
  ADD COLUMN employees integer,
  -- whole minor units
  ADD COLUMN annual_revenue bigint,
  ADD COLUMN annual_revenue_currency text,
  ADD COLUMN website text,
  ADD COLUMN phone text,
  ADD COLUMN address jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN parent_id uuid,
  ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
  ADD COLUMN custom_fields jsonb NOT NULL DEFAULT '{}',
  ADD FOREIGN KEY (organization_id, parent_id) REFERENCES companies (organization_id, id),
  ADD CHECK ((annual_revenue IS NULL) = (annual_revenue_currency IS NULL));
-- a company may be known by its domain alone, or by the id that it has elsewhere
ALTER TABLE companies ALTER COLUMN name DROP NOT NULL;
CREATE UNIQUE INDEX companies_external_id ON companies (organization_id, external_id)
  WHERE external_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX companies_by_creation ON companies (organization_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX companies_by_domain ON companies (organization_id, domain) WHERE domain IS NOT NULL;
CREATE INDEX companies_by_assignee ON companies (organization_id, assigned_to, created_at, id)
  WHERE assigned_to IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX companies_by_parent ON companies (organization_id, parent_id) WHERE parent_id IS NOT NULL;

ALTER TABLE contacts ADD COLUMN external_id text;
CREATE UNIQUE INDEX contacts_external_id ON contacts (organization_id, external_id)
  WHERE external_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX contacts_by_creation ON contacts (organization_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX contacts_by_assignee ON contacts (organization_id, assigned_to, created_at, id)
  WHERE assigned_to IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX contacts_by_company ON contacts (organization_id, company_id) WHERE company_id IS NOT NULL;
