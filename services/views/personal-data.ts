import { exportPage, nobody, subjectIds, tracesOf } from "../../mixins/privacy/personal-data.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { viewsContract } from "./views.contract.ts";

const atOnce = 500;

/** A user's own views are theirs; in anybody's conditions may stand whom they look for. */
export const viewsPersonalData: PersonalDataHandlersOf<typeof viewsContract> = {
  views: {
    find: () => Promise.resolve(nobody),
    async export({ locals: { tx }, params: { person, after } }) {
      const rows = await tx.query<{ id: string }>({
        text: `SELECT id, kind, name, condition, columns, sort, is_shared, owner_id, created_at, updated_at FROM saved_views
          WHERE ($1::uuid[] IS NULL OR owner_id = ANY ($1)) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT ${atOnce}`,
        values: [person && subjectIds(person, "user"), after],
      });
      return exportPage(rows, atOnce, ({ id }) => id);
    },
    async erase({ locals: { tx }, params: { person } }) {
      const { patterns, digits } = tracesOf(person);
      const users = subjectIds(person, "user");
      // as JSON: whatever traces look for stands between marks
      const text = "jsonb_build_array(name, condition)::text";
      const count = await tx.execute({
        text: `DELETE FROM saved_views WHERE (owner_id = ANY ($1::uuid[]) AND NOT is_shared)
          OR ${text} ~* ANY ($2::text[]) OR regexp_replace(${text}, '[^0-9]', '', 'g') LIKE ANY ($3::text[])`,
        values: [users, patterns, digits],
      });
      tx.defer({
        text: "UPDATE saved_views SET owner_id = NULL WHERE owner_id = ANY ($1::uuid[])",
        values: [users],
      });
      return { count, kept: 0, next: null };
    },
  },
};
