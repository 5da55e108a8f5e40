import { exportPage, nobody, subjectIds, tracesOf } from "../../mixins/privacy/personal-data.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import { entryColumns } from "./lists.repository.ts";
import type { listsContract } from "./lists.contract.ts";

const atOnce = 500;
const recordsOf = (person: Parameters<typeof subjectIds>[0]) =>
  [...kinds.keys()].flatMap((kind) => subjectIds(person, kind));

/** What lists say of a person's records; values may name others. */
export const listsPersonalData: PersonalDataHandlersOf<typeof listsContract> = {
  lists: {
    find: () => Promise.resolve(nobody),
    async export({ locals: { tx }, params: { person, after } }) {
      const rows = await tx.query<{ id: string }>({
        text: `SELECT ${entryColumns.replaceAll(/\w+/g, "e.$&")}, l.name AS list, l.kind FROM list_entries e JOIN lists l ON l.id = e.list_id
          WHERE ($1::uuid[] IS NULL OR e.record_id = ANY ($1)) AND ($2::uuid IS NULL OR e.id > $2) ORDER BY e.id LIMIT ${atOnce}`,
        values: [person && recordsOf(person), after],
      });
      return exportPage(rows, atOnce, ({ id }) => id);
    },
    async erase({ locals: { tx }, params: { person } }) {
      const { patterns, digits } = tracesOf(person);
      const users = subjectIds(person, "user");
      // as JSON: whatever traces look for stands between marks
      const shows = (text: string) =>
        `(${text} ~* ANY ($2::text[]) OR regexp_replace(${text}, '[^0-9]', '', 'g') LIKE ANY ($3::text[]))`;
      const entries = await tx.execute({
        text: `DELETE FROM list_entries WHERE record_id = ANY ($1::uuid[]) OR ${shows("jsonb_build_array(custom_fields)::text")}`,
        values: [recordsOf(person), patterns, digits],
      });
      const lists = await tx.execute({
        text: `DELETE FROM lists WHERE (owner_id = ANY ($1::uuid[]) AND NOT is_shared) OR ${shows("jsonb_build_array(name)::text")}`,
        values: [users, patterns, digits],
      });
      tx.defer({
        text: "UPDATE lists SET owner_id = NULL WHERE owner_id = ANY ($1::uuid[])",
        values: [users],
      });
      tx.defer({
        text: "UPDATE list_entries SET added_by = NULL WHERE added_by = ANY ($1::uuid[])",
        values: [users],
      });
      return { count: entries + lists, kept: 0, next: null };
    },
  },
};
