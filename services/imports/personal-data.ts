import {
  exportBytes,
  exportPage,
  nobody,
  tracesOf,
  type Person,
} from "../../mixins/privacy/personal-data.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { importsContract } from "./imports.contract.ts";

const atOnce = 500;
const scannedAtOnce = 5_000;

/** Finds, exports, erases and forgets what imports hold of persons. */
export const importsPersonalDataHandlers: PersonalDataHandlersOf<typeof importsContract> = {
  imports: {
    find: () => Promise.resolve(nobody),
    async export({ locals: { tx }, params: { person, after } }) {
      if (person) return { records: [], next: null };
      const rows = await tx.query<{ id: string }>({
        text: `SELECT id, created_by, file_name, mapping, options, on_duplicate, is_dry_run, status, processed, created, updated, skipped,
            failed, created_at, finished_at
          FROM imports WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT ${atOnce}`,
        values: [after],
      });
      return exportPage(rows, atOnce, ({ id }) => id);
    },
    async erase({ locals: { tx }, params: { requestedAt } }) {
      const unfinished = await tx.query({
        text: `SELECT FROM imports WHERE status IN ('uploading', 'pending', 'running', 'rolling_back') AND created_at <= $1 LIMIT 1`,
        values: [requestedAt],
      });
      return { count: 0, kept: 0, next: null, isBusy: unfinished.length > 0 };
    },
    async expire({ locals: { tx }, params: { before } }) {
      const count = await tx.execute({
        // one at a time: it takes its changes of leads with it, which may be a million
        text: "DELETE FROM imports WHERE id = (SELECT id FROM imports WHERE finished_at < $1 ORDER BY id LIMIT 1)",
        values: [before],
      });
      return { count, next: count === 1 ? "more" : null };
    },
  },
  "rejected-rows": {
    find: () => Promise.resolve(nobody),
    async export({ locals: { tx }, params: { person, after } }) {
      const [importId, row] = placeOf(after);
      const { rows, isCut } = await tx.queryWithin<{ import_id: string; row_number: number }>({
        text: `SELECT import_id, row_number, reason, record FROM import_errors
          WHERE (import_id, row_number) > ($1, $2) AND ($3 OR ${mentions("record::text", 4)})
          ORDER BY import_id, row_number LIMIT ${atOnce}`,
        values: [importId, row, person === null, ...tracesIn(person)],
        mostBytes: exportBytes,
      });
      return exportPage(rows, atOnce, (last) => `${last.import_id} ${last.row_number}`, isCut);
    },
    async erase({ locals: { tx }, params: { person, after } }) {
      const [importId, row] = placeOf(after);
      const [step] = await tx.query<{ count: number; scanned: number; last: string | null }>({
        text: `WITH page AS MATERIALIZED (
            SELECT import_id, row_number, record FROM import_errors WHERE (import_id, row_number) > ($1, $2)
            ORDER BY import_id, row_number LIMIT ${scannedAtOnce}
          ), gone AS (
            DELETE FROM import_errors e USING page p
            WHERE (e.import_id, e.row_number) = (p.import_id, p.row_number) AND ${mentions("p.record::text", 3)}
            RETURNING 1
          ) SELECT (SELECT count(*)::int FROM gone) AS count, (SELECT count(*)::int FROM page) AS scanned,
            (SELECT import_id || ' ' || row_number FROM page ORDER BY import_id DESC, row_number DESC LIMIT 1) AS last`,
        values: [importId, row, ...tracesIn(person)],
      });
      const { count, scanned, last } = step ?? { count: 0, scanned: 0, last: null };
      return { count, kept: 0, next: scanned === scannedAtOnce ? last : null };
    },
  },
};

/** The test of whether a text shows a person; `at` is the place of the first of two values, see tracesIn. */
const mentions = (text: string, at: number): string =>
  `(${text} ~* ANY ($${at}::text[]) OR regexp_replace(${text}, '[^0-9]', '', 'g') LIKE ANY ($${at + 1}::text[]))`;

function tracesIn(person: Person | null): [string[], string[]] {
  const { patterns, digits } = tracesOf(person ?? nobody);
  return [patterns, digits];
}

/** `<import> <row>`. */
function placeOf(after: string | null): [string, number] {
  const [importId = "", row = ""] = after?.split(" ") ?? [];
  return after === null ? ["00000000-0000-0000-0000-000000000000", 0] : [importId, Number(row)];
}
