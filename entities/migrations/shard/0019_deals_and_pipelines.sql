-- breaking: yes
-- concurrently: no
-- Deals, pipelines and products as records of their own. Amounts become whole minor units, as money is in every kind.

ALTER TABLE pipelines
  ADD COLUMN removed_stages jsonb NOT NULL DEFAULT '[]',
  ADD COLUMN deleted_at timestamptz(3),
  ADD COLUMN merged_into uuid;
ALTER TABLE pipelines ALTER COLUMN name DROP NOT NULL;
DROP INDEX pipelines_default;
CREATE UNIQUE INDEX pipelines_default ON pipelines (organization_id) WHERE is_default AND deleted_at IS NULL;
CREATE INDEX pipelines_by_creation ON pipelines (organization_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX pipelines_by_change ON pipelines (organization_id, updated_at, id) WHERE deleted_at IS NULL;
-- stages of before say nothing of what they ask for
UPDATE pipelines SET stages = (
  SELECT jsonb_agg('{"requiredFields": [], "rottingDays": null, "forecastCategory": "pipeline"}'::jsonb || stage
    ORDER BY (stage ->> 'position')::integer) FROM jsonb_array_elements(stages) AS stage);

-- In: an amount as a decimal, and its currency. Out: its minor units (ISO 4217).
CREATE FUNCTION pg_temp.minor_units(amount numeric, currency text) RETURNS bigint LANGUAGE sql AS $$
  SELECT (amount * 10 ^ CASE
    WHEN currency IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF') THEN 0
    WHEN currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
    WHEN currency IN ('CLF', 'UYW') THEN 4
    ELSE 2 END)::bigint $$;
-- In: milliseconds since 1970, and an id. Out: a place at the end of a board's column, see mixins/sales/positions.ts.
CREATE FUNCTION pg_temp.last_position(ms bigint, id uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  digits text := '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  time_part text := '';
  id_part text := '';
  rest bigint := ('x' || right(id::text, 8))::bit(32)::bigint;
BEGIN
  FOR place IN 1 .. 8 LOOP time_part := substr(digits, (ms % 62)::integer + 1, 1) || time_part; ms := ms / 62; END LOOP;
  FOR place IN 1 .. 6 LOOP id_part := substr(digits, (rest % 62)::integer + 1, 1) || id_part; rest := rest / 62; END LOOP;
  RETURN 'h' || time_part || id_part || 'V';
END $$;

ALTER TABLE deals DROP CONSTRAINT deals_amount;
ALTER TABLE deals RENAME COLUMN currency TO amount_currency;
ALTER TABLE deals
  ALTER COLUMN amount TYPE bigint USING pg_temp.minor_units(amount, amount_currency),
  ALTER COLUMN amount_currency TYPE text,
  ALTER COLUMN name DROP NOT NULL,
  ADD COLUMN external_id text,
  ADD COLUMN stage_entered_at timestamptz(3),
  ADD COLUMN position text COLLATE "C",
  ADD COLUMN closed_at timestamptz(3),
  ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
  ADD COLUMN custom_fields jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN merged_into uuid;
UPDATE deals SET stage_entered_at = created_at, closed_at = CASE WHEN status <> 'open' THEN updated_at END,
  position = pg_temp.last_position((extract(epoch FROM created_at) * 1000)::bigint, id);
ALTER TABLE deals
  ALTER COLUMN stage_entered_at SET NOT NULL,
  ALTER COLUMN position SET NOT NULL,
  ADD CHECK ((amount IS NULL) = (amount_currency IS NULL));
DROP INDEX deals_by_pipeline;
CREATE UNIQUE INDEX deals_external_id ON deals (organization_id, external_id)
  WHERE external_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX deals_by_pipeline ON deals (organization_id, pipeline_id, created_at, id) WHERE deleted_at IS NULL;
-- a board: its cards in their order, and what they add up to
CREATE INDEX deals_by_place ON deals (organization_id, stage_id, position, id) INCLUDE (amount, amount_currency, owner_id)
  WHERE deleted_at IS NULL;
CREATE INDEX deals_by_status ON deals (organization_id, status, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX deals_merged_external_id ON deals (organization_id, external_id) WHERE merged_into IS NOT NULL;
CREATE INDEX deals_by_creation ON deals (organization_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX deals_by_change ON deals (organization_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX deals_by_name ON deals (organization_id, name COLLATE "und-x-icu", id) WHERE deleted_at IS NULL;
CREATE INDEX deals_by_expected_close ON deals (organization_id, expected_close_at, id) WHERE deleted_at IS NULL;
CREATE INDEX deals_by_close ON deals (organization_id, closed_at, id) WHERE deleted_at IS NULL;
CREATE INDEX deals_by_stage_entry ON deals (organization_id, stage_entered_at, id) WHERE deleted_at IS NULL;
CREATE INDEX deals_by_owner ON deals (organization_id, owner_id, created_at, id)
  WHERE owner_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX deals_by_contact ON deals (organization_id, contact_id) WHERE contact_id IS NOT NULL;
CREATE INDEX deals_by_company ON deals (organization_id, company_id) WHERE company_id IS NOT NULL;
SELECT pg_temp.findable('deals', texts => '{name}', phones => '{}', terms => '{externalId,external_id,name,name,status,status}',
  likes => '{external_id,name,status}');

CREATE TABLE products (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  deleted_at timestamptz(3),
  merged_into uuid,
  external_id text,
  name text,
  sku text,
  description text,
  unit_price bigint,
  unit_price_currency text,
  is_active boolean NOT NULL DEFAULT true,
  tags text[] NOT NULL DEFAULT '{}',
  custom_fields jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (organization_id, id),
  CHECK ((unit_price IS NULL) = (unit_price_currency IS NULL))
);
SELECT pg_temp.tenant_table('products');
CREATE UNIQUE INDEX products_external_id ON products (organization_id, external_id)
  WHERE external_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX products_by_sku ON products (organization_id, sku) WHERE sku IS NOT NULL;
CREATE INDEX products_merged_external_id ON products (organization_id, external_id) WHERE merged_into IS NOT NULL;
CREATE INDEX products_by_creation ON products (organization_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX products_by_change ON products (organization_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX products_by_name ON products (organization_id, name COLLATE "und-x-icu", id) WHERE deleted_at IS NULL;
CREATE INDEX products_by_activity ON products (organization_id, is_active, created_at, id) WHERE deleted_at IS NULL;
SELECT pg_temp.findable('products', texts => '{name,sku}', phones => '{}', terms => '{externalId,external_id,name,name}',
  likes => '{external_id,name,sku}');

SELECT pg_temp.indexes_custom_fields('deals', 'deal');
SELECT pg_temp.indexes_custom_fields('products', 'product');
