import * as f from "../mixins/records/kind/fields.ts";
import { defineKind } from "../mixins/records/kind/kind.ts";

/** What is sold; deals list it in their line items. */
export const product = defineKind("product", {
  plural: "products",
  isSetting: true,
  title: ["name", "sku"],
  identifiedBy: ["name", "sku", "externalId"],
  fields: {
    externalId: f.externalId(),
    name: f.text(300, { search: "A", isSortable: true, aliases: ["product"] }),
    /** The number it is stocked by. */
    sku: f.text(100, { search: "B", matches: true }),
    description: f.text(5000, { isFilterable: false }),
    unitPrice: f.money(),
    /** Whether it is still sold. */
    isActive: f.flag({ fallback: true }),
    tags: f.tags(),
    customFields: f.customFields(),
  },
  example: { name: "Loom, 12 shafts", sku: "LM-12", unitPrice: { amount: "1500.00", currency: "INR" } },
});
