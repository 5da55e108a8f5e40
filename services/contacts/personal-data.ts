import { contact, type ContactRow } from "../../entities/contact.ts";
import { keysOfMarks, personOf } from "../../mixins/privacy/person.ts";
import {
  emailMark,
  exportBytes,
  exportPage,
  mergePersons,
  nobody,
  subjectIds,
  type Person,
} from "../../mixins/privacy/personal-data.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { forgetValues, openSensitive } from "../../mixins/records/custom/values-apart.ts";
import { about } from "../../mixins/records/desk.ts";
import { forgetImported } from "../../mixins/records/importing/import.repository.ts";
import type { AnyRow } from "../../mixins/records/kind.ts";
import { storeOf } from "../../mixins/records/store.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { contactsContract } from "./contacts.contract.ts";

const atOnce = 200;
const store = storeOf<ContactRow & AnyRow>(contact);
/** Whether a contact still says who it is. */
const isSomebody = `(num_nonnulls(external_id, first_name, last_name, email, phone, title) > 0
  OR tags <> '{}' OR custom_fields <> '{}' OR consent <> '{}' OR identities <> '[]' OR companies <> '[]')`;

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
export const contactsPersonalData = ({
  organizationKeys,
}: Pick<Runtime, "organizationKeys">): PersonalDataHandlersOf<typeof contactsContract> => ({
  contacts: {
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
    async export({ locals: { tx }, params: { person, after } }) {
      const cipher = await organizationKeys.of(tx.organizationId); // before a connection is held
      const { rows, isCut } = await tx.queryWithin<{ id: string }>({
        text: `SELECT ${contact.columns.join(", ")},
            (SELECT name FROM companies c WHERE c.id = contacts.company_id) AS company_name
          FROM contacts WHERE ($1::uuid[] IS NULL OR id = ANY ($1)) AND ($2::uuid IS NULL OR id > $2)
          ORDER BY id LIMIT ${atOnce}`,
        values: [person && subjectIds(person, "contact"), after],
        mostBytes: exportBytes,
      });
      const ids = rows.map(({ id }) => id);
      const sensitive = await openSensitive(tx, cipher, contact, ids);
      const whole = rows.map((row) => ({ ...row, sensitive_fields: sensitive.get(row.id) ?? {} }));
      return exportPage(whole, atOnce, ({ id }) => id, isCut);
    },
    async erase({ locals: { tx }, params: { person } }) {
      const rows = await tx.query<ContactRow & AnyRow>({
        text: `SELECT ${contact.columns.join(", ")} FROM contacts
          WHERE id = ANY ($1) AND (deleted_at IS NULL OR ${isSomebody}) ORDER BY id LIMIT ${atOnce} FOR NO KEY UPDATE`,
        values: [subjectIds(person, "contact")],
      });
      const now = tx.now.toISOString();
      const erased = rows.map((row) => ({
        ...row,
        ...{ external_id: null, first_name: null, last_name: null, email: null, phone: null, title: null },
        ...{ tags: [], custom_fields: {}, consent: {}, identities: [], companies: [] },
        ...{ deleted_at: row.deleted_at ?? now, updated_at: now, version: row.version + 1 },
      }));
      store.update(tx, erased);
      forgetValues(tx, subjectIds(person, "contact"));
      forgetImported(tx, subjectIds(person, "contact"));
      tx.defer({
        text: "DELETE FROM merges WHERE record_ids && $1::uuid[]",
        values: [subjectIds(person, "contact")],
      });
      // merges of companies know which role they had
      tx.defer({
        text: `UPDATE merges SET moved = (SELECT coalesce(jsonb_agg(one), '[]') FROM jsonb_array_elements(moved) AS one
            WHERE one ->> 'id' <> ALL ($1))
          WHERE EXISTS (SELECT FROM jsonb_array_elements(moved) AS one WHERE one ->> 'id' = ANY ($1))`,
        values: [subjectIds(person, "contact")],
      });
      for (const row of erased) about(tx, { kind: contact, verb: "deleted", row, actorId: null });
      return { count: erased.length, kept: 0, next: erased.length === atOnce ? "more" : null };
    },
  },
});
