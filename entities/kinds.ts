import type { AnyKind, AnyRow } from "../mixins/records/kind.ts";
import { company } from "./company.ts";
import { contact } from "./contact.ts";
import { lead } from "./lead.ts";

/** Every kind of record, by name. */
export const kinds: ReadonlyMap<string, AnyKind> = new Map(
  [lead, contact, company].map((kind) => [kind.name, kind]),
);

const referenceOfDeals = (refersTo: string, field: string, column: string) => ({
  refersTo,
  ...{ table: "deals", column },
  event: (row: AnyRow) => ({
    ...{ type: "deal.updated", kind: "deal", owner: row.owner_id as string | null },
    data: { dealId: row.id, changes: [field] },
  }),
});
/** References from tables that are no kinds yet. */
export const references = [
  referenceOfDeals("contact", "contactId", "contact_id"),
  referenceOfDeals("company", "companyId", "company_id"),
  { refersTo: "lead", table: "lead_reminders", column: "lead_id" },
];
