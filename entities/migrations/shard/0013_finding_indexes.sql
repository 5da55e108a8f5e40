-- breaking: no
-- concurrently: yes
-- The indexes that finding asks, of tables full of rows, and those of orders that lists have. Building them is what takes up
-- the rows that are there; an erasure reaches them as it reaches the row.

CREATE INDEX CONCURRENTLY IF NOT EXISTS leads_find ON leads USING gin (uuid_hash(organization_id),
  (find_words(ARRAY[first_name, last_name, company_name, title, email, phone]::text[], ARRAY[phone]::text[])
    || find_terms(ARRAY[find_term('externalId', external_id), find_term('firstName', first_name), find_term('lastName', last_name),
      find_term('companyName', company_name), find_term('title', title), find_term('source', source),
      find_term('status', status)],
      tags, custom_fields)), custom_fields jsonb_path_ops,
  find_text(ARRAY[external_id, first_name, last_name, email, phone, company_name, title, source, status]::text[], tags) gin_trgm_ops) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS contacts_find ON contacts USING gin (uuid_hash(organization_id),
  (find_words(ARRAY[first_name, last_name, email, phone]::text[], ARRAY[phone]::text[])
    || find_terms(ARRAY[find_term('externalId', external_id), find_term('firstName', first_name), find_term('lastName', last_name),
      find_term('title', title), find_term('lifecycleStage', lifecycle_stage)],
      tags, custom_fields)), custom_fields jsonb_path_ops,
  find_text(ARRAY[external_id, first_name, last_name, email, phone, title, lifecycle_stage]::text[], tags) gin_trgm_ops) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS companies_find ON companies USING gin (uuid_hash(organization_id),
  (find_words(ARRAY[name, domain, phone]::text[], ARRAY[phone]::text[])
    || find_terms(ARRAY[find_term('externalId', external_id), find_term('name', name), find_term('domain', domain),
      find_term('industry', industry), find_term('phone', phone)],
      tags, custom_fields)), custom_fields jsonb_path_ops,
  find_text(ARRAY[external_id, name, domain, industry, phone]::text[], tags) gin_trgm_ops) WHERE deleted_at IS NULL;
-- what q asked of leads before
DROP INDEX CONCURRENTLY IF EXISTS leads_search;

CREATE INDEX CONCURRENTLY IF NOT EXISTS leads_by_change ON leads (organization_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS leads_by_activity ON leads (organization_id, last_activity_at, id) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS leads_by_last_name ON leads (organization_id, last_name COLLATE "und-x-icu", id) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS leads_by_company_name ON leads (organization_id, company_name COLLATE "und-x-icu", id) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS contacts_by_change ON contacts (organization_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS contacts_by_last_name ON contacts (organization_id, last_name COLLATE "und-x-icu", id) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS companies_by_change ON companies (organization_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS companies_by_title ON companies (organization_id, name COLLATE "und-x-icu", id) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS companies_by_employees ON companies (organization_id, employees, id) WHERE deleted_at IS NULL;
-- nobody plans by them, and making them computes every expression of 30,000 rows
ALTER INDEX leads_find ALTER COLUMN 1 SET STATISTICS 0, ALTER COLUMN 2 SET STATISTICS 0, ALTER COLUMN 4 SET STATISTICS 0;
ALTER INDEX contacts_find ALTER COLUMN 1 SET STATISTICS 0, ALTER COLUMN 2 SET STATISTICS 0, ALTER COLUMN 4 SET STATISTICS 0;
ALTER INDEX companies_find ALTER COLUMN 1 SET STATISTICS 0, ALTER COLUMN 2 SET STATISTICS 0, ALTER COLUMN 4 SET STATISTICS 0;
