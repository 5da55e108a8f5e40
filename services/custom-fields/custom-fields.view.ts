import type { CustomType, CustomValue } from "../../mixins/values/custom-value.ts";
import type { CustomFieldView } from "./custom-fields.contract.ts";

/** A row of `custom_fields`, as the actions read it. */
export interface Row extends Record<string, unknown> {
  id: string;
  kind: string;
  key: string;
  label: string;
  type: CustomType;
  options: { value: string; label: string }[];
  references: string | null;
  is_required: boolean;
  is_unique: boolean;
  is_sensitive: boolean;
  is_indexed: boolean;
  indexed_at: string | null;
  default: CustomValue | null;
  created_at: string;
  updated_at: string;
  deleted_at: string | null;
  version: number;
}
type ListedRow = Partial<Row> & { id: string };
/** A definition as the API shows it; of a list that shows some fields, those. */
export const view = (row: ListedRow): Partial<CustomFieldView> & { id: string } => ({
  id: row.id,
  kind: row.kind,
  key: row.key,
  label: row.label,
  type: row.type,
  options: row.options,
  references: row.references,
  isRequired: row.is_required,
  isUnique: row.is_unique,
  isSensitive: row.is_sensitive,
  isIndexed: row.is_indexed,
  default: row.default,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  version: row.version,
});
export const whole = (row: Row) => view(row) as CustomFieldView;
