import { exportPage, nobody, tracesOf } from "../../mixins/privacy/personal-data.ts";
import { entomb } from "../../mixins/privacy/tombstones.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { reportsContract } from "./reports.contract.ts";

const atOnce = 100;
const eventsAtOnce = 1_000;
/** What an event of a report says of what it looks for. */
const told = new Set(["name", "where"]);

/** In what a report looks for, and in what it answered, persons may stand. */
export const reportsPersonalData: PersonalDataHandlersOf<typeof reportsContract> = {
  report_runs: {
    find: () => Promise.resolve(nobody),
    async export({ locals: { tx }, params: { person, after } }) {
      if (person) return { records: [], next: null };
      const rows = await tx.query<{ id: string }>({
        text: `SELECT id, name, kind, measures, group_by, condition, period, schedule, created_at, updated_at FROM reports
          WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT ${atOnce}`,
        values: [after],
      });
      return exportPage(rows, atOnce, ({ id }) => id);
    },
    async erase({ locals: { tx }, params: { person } }) {
      const { patterns, digits } = tracesOf(person);
      const shows = (text: string) =>
        `(${text} ~* ANY ($1::text[]) OR regexp_replace(${text}, '[^0-9]', '', 'g') LIKE ANY ($2::text[]))`;
      const runs = await tx.execute({
        text: `DELETE FROM report_runs WHERE ${shows("jsonb_build_array(asked, rows)::text")}`,
        values: [patterns, digits],
      });
      const reports = await tx.query<{ id: string }>({
        text: `DELETE FROM reports WHERE ${shows("jsonb_build_array(name, condition)::text")} RETURNING id`,
        values: [patterns, digits],
      });
      const ids = reports.map(({ id }) => id);
      if (ids.length > 0) while ((await entomb(tx, ids, told, eventsAtOnce)).hasMore);
      return { count: runs + ids.length, kept: 0, next: null };
    },
  },
};
