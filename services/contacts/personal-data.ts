import { contact, type ContactRow } from "../../entities/contact.ts";
import { keysOfMarks, personOf } from "../../mixins/privacy/person.ts";
import {
  emailMark,
  mergePersons,
  nobody,
  subjectIds,
  type Person,
} from "../../mixins/privacy/personal-data.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { recordPersonalData, tellsOfSomebody } from "../../mixins/records/personal-data.ts";
import type { AnyRow } from "../../mixins/records/kind/kind.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { contactsContract } from "./contacts.contract.ts";

const isSomebody = tellsOfSomebody(contact);

/** What contacts say of a person: all that they are known by, WhatsApp's numbers as phones. */
function personOfContacts(rows: readonly ContactRow[]): Person {
  const person = personOf("contact", rows);
  const identities = rows.flatMap((row) => contact.show(row).identities);
  const emails = identities.flatMap(({ kind, value }) => (kind === "email" ? (value ?? []) : []));
  const phones = identities.flatMap(({ kind, value }) =>
    kind === "phone" ? (value ?? []) : kind === "wa_id" ? `+${value ?? ""}` : [],
  );
  const more = { ...nobody, emails, phones, marks: emails.map(emailMark) };
  return mergePersons(person, more);
}

/** Finds, exports and erases contacts of a person. */
export function contactsPersonalData({
  organizationKeys,
}: Pick<Runtime, "organizationKeys">): PersonalDataHandlersOf<typeof contactsContract> {
  const records = recordPersonalData(contact, {
    organizationKeys,
    along: "(SELECT name FROM companies c WHERE c.id = contacts.company_id) AS company_name",
  });
  const contacts: typeof records = {
    ...records,
    async find({ locals: { tx }, params: { person } }) {
      const { emails, phones } = keysOfMarks(person);
      const rows = await tx.query<ContactRow & AnyRow>({
        text: `SELECT ${contact.columns.join(", ")} FROM contacts
          WHERE (deleted_at IS NULL OR ${isSomebody}) AND id IN (
            SELECT id FROM contacts WHERE email = ANY ($1)
            UNION SELECT id FROM contacts WHERE phone = ANY ($2)
            UNION SELECT record_id FROM contact_identities WHERE value = ANY ($5) AND kind IN ('email', 'phone', 'wa_id')
            -- of those that are deleted, the list alone knows
            UNION SELECT id FROM contacts WHERE deleted_at IS NOT NULL AND EXISTS (
              SELECT FROM jsonb_array_elements(identities) AS one WHERE one ->> 'value' = ANY ($5))
            UNION SELECT id FROM contacts WHERE lead_id = ANY ($3)
            UNION SELECT id FROM contacts WHERE id = ANY ($4))`,
        values: [
          ...[emails, phones, subjectIds(person, "lead"), subjectIds(person, "contact")],
          [...emails, ...phones, ...phones.map((phone) => phone.slice(1))],
        ],
      });
      return personOfContacts(rows);
    },
    async erase(call) {
      const answer = await records.erase(call);
      // merges of companies know which role they had
      call.locals.tx.defer({
        text: `UPDATE merges SET moved = (SELECT coalesce(jsonb_agg(one), '[]') FROM jsonb_array_elements(moved) AS one
            WHERE one ->> 'id' <> ALL ($1))
          WHERE EXISTS (SELECT FROM jsonb_array_elements(moved) AS one WHERE one ->> 'id' = ANY ($1))`,
        values: [subjectIds(call.params.person, "contact")],
      });
      return answer;
    },
  };
  return { contacts };
}
