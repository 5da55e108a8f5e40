import type { Contract } from "../../mixins/contract/contract.ts";
import {
  exportBytes,
  exportPage,
  nobody,
  tracesOf,
  type Person,
} from "../../mixins/privacy/personal-data.ts";
import { entomb } from "../../mixins/privacy/tombstones.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { eventsContract } from "./events.contract.ts";

const atOnce = 500;
const scannedAtOnce = 5_000;
const lastPosition = "9223372036854775807";

/** Finds, exports, erases and forgets what the feed and the kept answers say of persons. */
export function eventsPersonalDataHandlers(
  contracts: readonly Contract[],
): PersonalDataHandlersOf<typeof eventsContract> {
  const fields = new Set(
    contracts.flatMap(({ personalData }) => Object.values(personalData).flatMap((kind) => kind.fields ?? [])),
  );
  return {
    events: {
      find: () => Promise.resolve(nobody),
      async export({ locals: { tx }, params: { person, after } }) {
        const columns = `seq, id, type, entity_kind, entity_id, entity_version, actor_id, occurred_at, data, position`;
        const statement =
          person === null
            ? {
                text: `SELECT ${columns} FROM events WHERE seq > $1 ORDER BY seq LIMIT ${atOnce}`,
                values: [after ?? 0],
              }
            : {
                text: `SELECT ${columns} FROM events WHERE entity_id = ANY ($1) AND position > $2
                  ORDER BY position LIMIT ${atOnce}`,
                values: [recordIds(person), after ?? 0],
              };
        const { rows, isCut } = await tx.queryWithin<{ position: string; seq: string }>({
          ...statement,
          mostBytes: exportBytes,
        });
        const placeOf = ({ position, seq }: { position: string; seq: string }) =>
          person === null ? seq : position;
        return exportPage(rows, atOnce, placeOf, isCut);
      },
      async erase({ locals: { tx }, params: { person } }) {
        const { count, hasMore } = await entomb(tx, recordIds(person), fields, atOnce);
        return { count, kept: 0, next: hasMore ? "more" : null };
      },
      /** From the beginning of the feed alone, and only what every listener has heard: it must have no holes. */
      async expire({ locals: { tx }, params: { before } }) {
        const count = await tx.execute({
          text: `WITH page AS MATERIALIZED (
              SELECT entity_id, position, occurred_at, seq FROM events WHERE seq IS NOT NULL ORDER BY seq LIMIT ${scannedAtOnce}
            ) DELETE FROM events e USING page p
            WHERE (e.entity_id, e.position, e.occurred_at) = (p.entity_id, p.position, p.occurred_at)
              AND p.seq < coalesce((SELECT min(seq) FROM page WHERE occurred_at >= $1), ${lastPosition})
              AND p.seq <= coalesce((SELECT min(seq) FROM listener_cursors WHERE seq < target), ${lastPosition})
              AND p.seq < coalesce((SELECT min(seq) FROM listener_holds), ${lastPosition})`,
          values: [before],
        });
        return { count, next: count === scannedAtOnce ? "more" : null };
      },
    },
    answers: {
      find: () => Promise.resolve(nobody),
      // copies of what the other kinds hold
      export: () => Promise.resolve({ records: [], next: null }),
      async erase({ locals: { tx }, params: { person, after } }) {
        const { patterns } = tracesOf({ ...person, names: [] });
        const phones = person.phones.filter((phone) => phone.startsWith("+"));
        const [step] = await tx.query<{ count: number; scanned: number; last: string | null }>({
          text: `WITH page AS MATERIALIZED (
              SELECT key, response::text AS response FROM idempotency_keys WHERE key > $1 ORDER BY key LIMIT ${scannedAtOnce}
            ), gone AS (
              DELETE FROM idempotency_keys k USING page p WHERE k.key = p.key AND (p.response LIKE ANY ($2::text[]) OR p.response ~* ANY ($3::text[]))
              RETURNING 1
            ) SELECT (SELECT count(*)::int FROM gone) AS count, (SELECT count(*)::int FROM page) AS scanned,
              (SELECT max(key) FROM page) AS last`,
          values: [after ?? "", [...recordIds(person), ...phones].map((trace) => `%${trace}%`), patterns],
        });
        const { count, scanned, last } = step ?? { count: 0, scanned: 0, last: null };
        return { count, kept: 0, next: scanned === scannedAtOnce ? last : null };
      },
    },
  };
}

const recordIds = (person: Person): string[] => person.subjects.map(({ id }) => id);
