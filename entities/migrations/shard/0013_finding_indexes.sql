-- breaking: no
-- concurrently: yes
-- The indexes that finding asks, of tables full of rows, and those of orders that lists have. Building them is what takes up
-- the rows that are there; an erasure reaches them as it reaches the row.

CREATE INDEX CONCURRENTLY IF NOT EXISTS leads_find ON leads USING gin (organization_id,
  (find_words(ARRAY[first_name, last_name, company_name, title, email, phone]::text[], ARRAY[phone]::text[])
    || find_terms(ARRAY['externalId', external_id, 'firstName', first_name, 'lastName', last_name, 'companyName', company_name, 'title', title,
      'source', source, 'status', status]::text[], tags, custom_fields))) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS leads_like ON leads USING gin (organization_id,
  find_text(ARRAY[external_id, first_name, last_name, email, phone, company_name, title, source, status]::text[], tags) gin_trgm_ops)
  WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS contacts_find ON contacts USING gin (organization_id,
  (find_words(ARRAY[first_name, last_name, email, phone]::text[], ARRAY[phone]::text[])
    || find_terms(ARRAY['externalId', external_id, 'firstName', first_name, 'lastName', last_name, 'title', title,
      'lifecycleStage', lifecycle_stage]::text[], tags, custom_fields))) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS contacts_like ON contacts USING gin (organization_id,
  find_text(ARRAY[external_id, first_name, last_name, email, phone, title, lifecycle_stage]::text[], tags) gin_trgm_ops)
  WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS companies_find ON companies USING gin (organization_id,
  (find_words(ARRAY[name, domain, phone]::text[], ARRAY[phone]::text[])
    || find_terms(ARRAY['externalId', external_id, 'name', name, 'domain', domain, 'industry', industry, 'phone', phone]::text[],
      tags, custom_fields))) WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS companies_like ON companies USING gin (organization_id,
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
