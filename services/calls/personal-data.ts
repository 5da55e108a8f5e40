import { exportPage, nobody, subjectIds, type Person } from "../../mixins/privacy/personal-data.ts";
import { phoneForms } from "../../mixins/values/phone.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import { callColumns } from "./calls.repository.ts";
import { callableKinds } from "./callees.ts";
import type { callsContract } from "./calls.contract.ts";

const atOnce = 500;

const whose = (person: Person) => [
  [...callableKinds().keys()].flatMap((kind) => subjectIds(person, kind)),
  person.phones.flatMap(phoneForms),
];

/** Calls of a person's records, and of their numbers. */
export const callsPersonalData: PersonalDataHandlersOf<typeof callsContract> = {
  calls: {
    async find({ locals: { tx }, params: { person } }) {
      const rows = await tx.query<{ id: string }>({
        text: "SELECT id FROM calls WHERE record_id = ANY ($1::uuid[]) OR phone = ANY ($2::text[])",
        values: whose(person),
      });
      return { ...nobody, subjects: rows.map(({ id }) => ({ kind: "call", id })) };
    },
    async export({ locals: { tx }, params: { person, after } }) {
      const rows = await tx.query<{ id: string }>({
        text: `SELECT ${callColumns.join(", ")} FROM calls
          WHERE ($1::uuid[] IS NULL OR id = ANY ($1)) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT ${atOnce}`,
        values: [person && subjectIds(person, "call"), after],
      });
      return exportPage(rows, atOnce, ({ id }) => id);
    },
    async erase({ locals: { tx }, params: { person } }) {
      const count = await tx.execute({
        text: "DELETE FROM calls WHERE record_id = ANY ($1::uuid[]) OR phone = ANY ($2::text[])",
        values: whose(person),
      });
      return { count, kept: 0, next: null };
    },
  },
};
