-- breaking: no
-- concurrently: no
-- What currencies are worth in the organization's own, from a moment on.

CREATE TABLE rates (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  deleted_at timestamptz(3),
  merged_into uuid,
  currency text NOT NULL,
  base_currency text NOT NULL,
  -- a decimal, as it is shown
  rate text NOT NULL,
  source text,
  valid_from timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, id)
);
SELECT pg_temp.tenant_table('rates');
CREATE UNIQUE INDEX rates_moment ON rates (organization_id, base_currency, currency, valid_from) WHERE deleted_at IS NULL;
CREATE INDEX rates_by_creation ON rates (organization_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX rates_by_change ON rates (organization_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX rates_by_moment ON rates (organization_id, valid_from, id) WHERE deleted_at IS NULL;
CREATE INDEX rates_by_currency ON rates (organization_id, currency) WHERE deleted_at IS NULL;
