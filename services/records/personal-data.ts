import { exportBytes, exportPage, nobody, subjectIds } from "../../mixins/privacy/personal-data.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { recordsContract } from "./records.contract.ts";

const atOnce = 500;

/** What users said of a person's records, and what a user said: the one goes with the person, the other stays without its author's name. */
export const recordsPersonalData: PersonalDataHandlersOf<typeof recordsContract> = {
  comments: {
    find: () => Promise.resolve(nobody),
    async export({ locals: { tx }, params: { person, after } }) {
      const { rows, isCut } = await tx.queryWithin<{ id: string }>({
        text: `SELECT id, record_kind, record_id, author_id, body, mentions, created_at, updated_at FROM comments
          WHERE ($1::uuid[] IS NULL OR record_id = ANY ($1) OR author_id = ANY ($2)) AND ($3::uuid IS NULL OR id > $3)
          ORDER BY id LIMIT ${atOnce}`,
        values: [person?.subjects.map(({ id }) => id) ?? null, person && subjectIds(person, "user"), after],
        mostBytes: exportBytes,
      });
      return exportPage(rows, atOnce, ({ id }) => id, isCut);
    },
    async erase({ locals: { tx }, params: { person } }) {
      const records = person.subjects.flatMap(({ kind, id }) => (kind === "user" ? [] : [id]));
      const count = await tx.execute({
        text: `DELETE FROM comments WHERE id IN (SELECT id FROM comments WHERE record_id = ANY ($1) ORDER BY id LIMIT ${atOnce})`,
        values: [records],
      });
      return { count, kept: 0, next: count === atOnce ? "more" : null };
    },
  },
};
