import { deal, type DealRow } from "../../entities/deal.ts";
import { nobody, subjectIds, type Person } from "../../mixins/privacy/personal-data.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { mentionsOf } from "../../mixins/records/mentions.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { dealsContract } from "./deals.contract.ts";

type Deal = DealRow & { company_name: string | null };

/** Deals of which the person is the first contact are the person's; others may name somebody, as companies do. */
export function dealsPersonalData({
  organizationKeys,
}: Pick<Runtime, "organizationKeys">): PersonalDataHandlersOf<typeof dealsContract> {
  return {
    deals: {
      async find({ locals: { tx }, params: { person } }) {
        const rows = await tx.query<{ id: string }>({
          text: "SELECT id FROM deals WHERE contact_id = ANY ($1)",
          values: [subjectIds(person, "contact")],
        });
        return { ...nobody, subjects: rows.map(({ id }) => ({ kind: "deal", id })) };
      },
      ...mentionsOf<Deal, "deal", typeof deal.fields>(deal, {
        organizationKeys,
        along: "(SELECT name FROM companies c WHERE c.id = deals.company_id) AS company_name",
        fieldsOf: namesIn,
      }),
    },
  };
}

/** What a deal is called says whose it is, and so does why it was lost; of others it may name somebody. */
function namesIn(row: Deal, shows: (value: unknown) => boolean, person: Person) {
  const fields: Record<string, unknown> = {};
  const own = new Set<string | null>(subjectIds(person, "contact"));
  const isOf = (value: unknown) => value !== null && (own.has(row.contact_id) || shows(value));
  const plain = row.company_name ?? erased;
  if (isOf(row.name) && row.name !== plain) fields.name = plain;
  if (isOf(row.lost_reason)) fields.lostReason = null;
  const { contacts, lineItems } = deal.show(row);
  const says = ({ contactId, role }: (typeof contacts)[number]) =>
    role !== null && (own.has(contactId) || shows(role));
  if (contacts.some(says))
    fields.contacts = contacts.map((one) => (says(one) ? { ...one, role: null } : one));
  if (lineItems.some(({ name }) => shows(name)))
    fields.lineItems = lineItems.map((one) => (shows(one.name) ? { ...one, name: erased } : one));
  return fields;
}
const erased = "Erased person";
