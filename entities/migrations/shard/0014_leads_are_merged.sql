-- breaking: no
-- concurrently: yes
-- Leads are merged as contacts and companies are. A deleted lead keeps its external id, which another may take: it comes back
-- only where none has.

ALTER TABLE leads ADD COLUMN IF NOT EXISTS merged_into uuid;
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS leads_external_id_of_living ON leads (organization_id, external_id)
  WHERE external_id IS NOT NULL AND deleted_at IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS leads_external_id;
ALTER INDEX leads_external_id_of_living RENAME TO leads_external_id;
-- what was merged is found by the external id that it had
CREATE INDEX CONCURRENTLY IF NOT EXISTS leads_merged_external_id ON leads (organization_id, external_id) WHERE merged_into IS NOT NULL;
