-- breaking: no
-- concurrently: no
-- What deals sell, and who has a say in them. The lists stand in the deal's row; the tables are what they are found by, see
-- mixins/records/kind/part-rows.ts.

ALTER TABLE deals
  ADD COLUMN line_items jsonb NOT NULL DEFAULT '[]',
  ADD COLUMN contacts jsonb NOT NULL DEFAULT '[]';

CREATE TABLE deal_line_items (
  organization_id uuid NOT NULL,
  -- the deal
  record_id uuid NOT NULL,
  id uuid NOT NULL,
  product_id uuid,
  name text,
  quantity numeric,
  -- minor units
  unit_price bigint,
  unit_price_currency text,
  -- percent
  discount numeric,
  is_exclusive boolean NOT NULL,
  PRIMARY KEY (organization_id, record_id, id)
);
CREATE INDEX deal_line_items_by_product ON deal_line_items (organization_id, product_id) WHERE product_id IS NOT NULL;
SELECT pg_temp.tenant_table('deal_line_items');

CREATE TABLE deal_contacts (
  organization_id uuid NOT NULL,
  -- the deal
  record_id uuid NOT NULL,
  contact_id uuid NOT NULL,
  role text,
  is_exclusive boolean NOT NULL,
  PRIMARY KEY (organization_id, record_id, contact_id)
);
CREATE INDEX deal_contacts_by_contact ON deal_contacts (organization_id, contact_id);
SELECT pg_temp.tenant_table('deal_contacts');
