import * as f from "../mixins/records/fields.ts";
import { defineKind, type RowOf } from "../mixins/records/kind.ts";

export const lifecycleStages = [
  ...(["subscriber", "lead", "mql", "sql", "opportunity", "customer", "evangelist"] as const),
] as const;

/** A person whom the organization knows. */
export const contact = defineKind("contact", {
  plural: "contacts",
  title: ["firstName", "lastName", "email", "phone"],
  identifiedBy: ["email", "phone", "firstName", "lastName", "externalId"],
  fields: {
    externalId: f.externalId({ personal: true }),
    firstName: f.text(200, { search: "A", personal: "name" }),
    lastName: f.text(200, { search: "A", personal: "name", isSortable: true }),
    email: f.email({ search: "B", personal: "email", matches: true }),
    phone: f.phone({ search: "B", personal: "phone", matches: true }),
    title: f.text(200, { personal: true }),
    lifecycleStage: f.oneOf(lifecycleStages, "lead"),
    companyId: f.ref("company"),
    leadId: f.byService(f.ref("lead")),
    assignedTo: f.user({ isOwner: true }),
    tags: f.tags(),
    customFields: f.customFields(),
    consent: f.consent(),
  },
  example: { firstName: "Asha", lastName: "Rao", email: "asha.rao@example.com", phone: "+919876543210" },
});
export type ContactRow = RowOf<typeof contact>;
