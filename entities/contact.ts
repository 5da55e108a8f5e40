import * as f from "../mixins/records/kind/fields.ts";
import { defineKind, type RowOf } from "../mixins/records/kind/kind.ts";
import { identities } from "../mixins/records/kind/identities.ts";
import { ofPersons, titleHeadings } from "./person.ts";

export const lifecycleStages = [
  ...(["subscriber", "lead", "mql", "sql", "opportunity", "customer", "evangelist"] as const),
] as const;

/** Where they work. */
const companies = f.parts(
  {
    companyId: f.ref("company"),
    role: f.text(200, { personal: true }),
    isPrimary: f.flag(),
  },
  {
    ...{ table: "contact_companies", key: ["companyId"], most: 50, flag: "isPrimary" },
    primaries: [{ field: "companyId", value: "companyId" }],
    filters: { companyId: (id) => [id] },
  },
  { personal: true },
);
/** What other programs call them. */
const stageWords: Partial<Record<(typeof lifecycleStages)[number], readonly string[]>> = {
  mql: ["marketingqualifiedlead", "marketingqualified"],
  sql: ["salesqualifiedlead", "salesqualified"],
  customer: ["client", "won"],
};

/** A person whom the organization knows. */
export const contact = defineKind("contact", {
  plural: "contacts",
  title: ["firstName", "lastName", "email", "phone"],
  identifiedBy: ["email", "phone", "firstName", "lastName", "externalId", "identities"],
  fields: {
    externalId: f.externalId({ personal: true, aliases: ["contact id"] }),
    ...ofPersons,
    identities: identities("contact_identities"),
    title: f.text(200, { personal: true, aliases: titleHeadings }),
    lifecycleStage: f.oneOf(lifecycleStages, "lead", { aliases: ["stage"], words: stageWords }),
    companyId: f.ref("company", { isAssociated: true }),
    companies,
    leadId: f.byService(f.ref("lead")),
    assignedTo: f.user({ isOwner: true }),
    tags: f.tags(),
    customFields: f.customFields(),
    consent: f.consent(),
  },
  example: { firstName: "Asha", lastName: "Rao", email: "asha.rao@example.com", phone: "+919876543210" },
});
export type ContactRow = RowOf<typeof contact>;
