import * as f from "../mixins/records/kind/fields.ts";
import { defineKind, type RowOf } from "../mixins/records/kind/kind.ts";

/** An organization that is sold to. */
export const company = defineKind("company", {
  plural: "companies",
  title: ["name", "domain"],
  identifiedBy: ["name", "domain", "externalId"],
  fields: {
    externalId: f.externalId({ aliases: ["company id", "account id"] }),
    name: f.text(300, {
      search: "A",
      isSortable: true,
      importKey: "asked",
      aliases: ["company", "company name", "account", "account name", "organization", "organisation"],
    }),
    domain: f.text(253, {
      search: "B",
      matches: 0.8,
      aliases: ["company domain", "company domain name"],
      normalise: (value) => ({ value: String(value).toLowerCase() }),
    }),
    industry: f.text(200),
    employees: f.integer(0, 100_000_000, { isSortable: true, aliases: ["number of employees"] }),
    annualRevenue: f.money({ aliases: ["revenue"] }),
    website: f.text(2000, { isFilterable: false, aliases: ["website url", "url"] }),
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
