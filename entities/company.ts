import * as f from "../mixins/records/fields.ts";
import { defineKind, type RowOf } from "../mixins/records/kind.ts";

/** An organization that is sold to. */
export const company = defineKind("company", {
  plural: "companies",
  title: ["name", "domain"],
  identifiedBy: ["name", "domain", "externalId"],
  fields: {
    externalId: f.text(200),
    name: f.text(300, { search: "A", isSortable: true, aliases: ["company", "account", "organization"] }),
    domain: f.text(253, {
      search: "B",
      matches: 0.8,
      normalise: (value) => ({ value: String(value).toLowerCase() }),
    }),
    industry: f.text(200),
    employees: f.integer(0, 100_000_000, { isSortable: true }),
    annualRevenue: f.money({ isFilterable: false }),
    website: f.text(2000, { isFilterable: false }),
    phone: f.phone({ search: "B", personal: "phone" }),
    address: f.texts(["street", "city", "state", "postalCode", "country"], 300),
    parentId: f.ref("company"),
    assignedTo: f.user({ isOwner: true }),
    tags: f.tags(),
    customFields: f.customFields(),
  },
  example: { name: "Rao Textiles", domain: "raotextiles.in", industry: "Textiles", employees: 120 },
});
export type CompanyRow = RowOf<typeof company>;
