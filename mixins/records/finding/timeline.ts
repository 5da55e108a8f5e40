import { can, type Principal } from "../../access/principal.ts";
import { visibleRows } from "../../access/visibility.ts";
import { parseTime } from "../../contract/schemas.ts";
import { isUuid, pageBytes } from "../../database/statement.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { commentColumns, commentView, type CommentRow } from "./comment-view.ts";
import type { CallFields } from "../custom/of-call.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { anyRefsOf, kinds } from "../kind/kinds.ts";
import { eventsBefore, timelineItem, type PageOfOne, type TimelineItem } from "../writing/record-events.ts";
import { decodeCursor, encodeCursor, invalidCursor } from "./cursor.ts";
import { columnOf, Values } from "./listing.ts";

/** What a part has next of a timeline, newest first. */
interface Read {
  entries: { item: TimelineItem; key: Key }[];
  /** Whether there may be more than these. */
  hasMore: boolean;
  /** Of an order by something else than times: the place right before the first of them. */
  start?: Key;
}
/** Where a part goes on. */
type Key = readonly [string, string];
/** Something that a timeline is merged from: one statement a page. */
interface TimelinePart {
  name: string;
  read(after: Key | undefined, limit: number): Promise<Read>;
}
/** Greatest of all ids. */
const lastId = "ffffffff-ffff-ffff-ffff-ffffffffffff";
interface Asking {
  tx: UnitOfWork;
  principal: Principal;
  /** Whose timeline it is. */
  kind: AnyKind;
  id: string;
}

/** A kind whose records name records of any kind, and the custom fields of these as the call sees them. */
export interface NamingKind {
  kind: AnyKind;
  key: string;
  fields: CallFields;
}

/** Kinds whose records may name one of this kind, as far as the principal may read them. */
export const namingKinds = (kind: AnyKind, principal: Principal): { kind: AnyKind; key: string }[] =>
  anyRefsOf(kind).length > 0
    ? []
    : [...kinds.values()].flatMap((other) =>
        can(principal, `${other.plural}:read`) ? anyRefsOf(other).map((key) => ({ kind: other, key })) : [],
      );

/**
 * A page of what happened to a record and with it, newest first: its changes, the records that name it and comments, each read from where
 * the last page left it. A cursor holds a place of each, so that none is read twice or left out whatever is added meanwhile.
 * @throws 400 INVALID_CURSOR
 */
export async function timelinePage(
  asking: Asking,
  { limit, cursor }: PageOfOne,
  naming: readonly NamingKind[],
) {
  const parts = [changes(asking), ...naming.map((one) => named(asking, one)), comments(asking)];
  const bound = ["timeline", asking.id, ...parts.map(({ name }) => name)];
  const place = cursor === undefined ? [] : decodeCursor(bound, cursor, 2 * parts.length);
  const keys = parts.map((_part, at): Key | undefined => {
    const [first, second] = place.slice(2 * at);
    return typeof first === "string" && typeof second === "string" ? [first, second] : undefined;
  });
  const reads = await Promise.all(parts.map((part, at) => part.read(keys[at], limit + 1)));
  const data: TimelineItem[] = [];
  const taken = reads.map(() => 0);
  while (data.length < limit) {
    const next = reads
      .map(({ entries }, at) => ({ at, entry: entries[taken[at] ?? 0] }))
      .filter(({ entry }) => entry !== undefined)
      // of one instant the part that is named first
      .reduce<{ at: number; entry: Read["entries"][number] } | undefined>(
        (best, { at, entry }) =>
          entry && (!best || entry.item.occurredAt > best.entry.item.occurredAt) ? { at, entry } : best,
        undefined,
      );
    // where a part was cut, what comes after its last entry is not known: the page ends there
    if (!next) break;
    data.push(next.entry.item);
    taken[next.at] = (taken[next.at] ?? 0) + 1;
    keys[next.at] = next.entry.key;
    const read = reads[next.at] as Read;
    if (taken[next.at] === read.entries.length && read.hasMore) break;
  }
  const hasMore = reads.some(({ entries, hasMore: more }, at) => more || entries.length > (taken[at] ?? 0));
  // of a part that gave nothing yet, what comes meanwhile belongs before this page
  const end: Key = [data.at(-1)?.occurredAt ?? "", lastId];
  for (const [at, { start }] of reads.entries()) keys[at] ??= start ?? end;
  const nextCursor = hasMore
    ? encodeCursor(
        bound,
        keys.flatMap((key) => key ?? end),
      )
    : null;
  return { data, page: { nextCursor, hasMore } };
}

const changes = ({ tx, kind, id }: Asking): TimelinePart => ({
  name: "changes",
  async read(after, limit) {
    const { rows, isCut } = await eventsBefore(
      tx,
      kind.name,
      { id, limit, before: after?.[0] },
      "NOT data ? 'comment'",
    );
    return {
      entries: rows.map((row) => ({ item: timelineItem(row), key: [row.position, ""] })),
      hasMore: isCut || rows.length === limit,
      start: [rows[0] ? String(BigInt(rows[0].position) + 1n) : "0", ""],
    };
  },
});

/** A place in an order of times, and of ids within one. @throws 400 INVALID_CURSOR */
function requireTime(after: Key | undefined): void {
  if (after && (parseTime(after[0]) === undefined || !isUuid(after[1]))) throw invalidCursor();
}

/** Records that name it, such as activities: as they are now, at when they happened or were made. */
const named = (
  { tx, principal, kind, id }: Asking,
  { kind: other, key, fields }: NamingKind,
): TimelinePart => ({
  name: other.plural,
  async read(after, limit) {
    requireTime(after);
    const values = new Values();
    const column = columnOf(key);
    const happens = other.fields[key]?.happens;
    const at = happens === undefined ? "created_at" : `coalesce(${columnOf(happens)}, created_at)`;
    const conditions = [
      `${column} = ${values.add(id)}`,
      `${column}_kind = ${values.add(kind.name)}`,
      "deleted_at IS NULL",
      ...visibleRows(principal, values, other.owners),
      ...(after
        ? [`(${at}, id) < (${values.add(after[0])}::timestamptz, ${values.add(after[1])}::uuid)`]
        : []),
    ];
    const { rows, isCut } = await tx.queryWithin<AnyRow & { happened_at: string }>({
      text: `SELECT ${other.columns.join(", ")}, ${at} AS happened_at FROM ${other.table}
        WHERE ${conditions.join(" AND ")} ORDER BY ${at} DESC, id DESC LIMIT ${limit}`,
      values: values.list,
      mostBytes: pageBytes,
    });
    const entries = rows.map(({ happened_at: occurredAt, ...row }): Read["entries"][number] => ({
      item: {
        ...{ part: other.plural, id: row.id, type: other.name, actorId: null, occurredAt },
        ...{ entityVersion: row.version, data: { record: fields.hide(other.show(row)) } },
      },
      key: [occurredAt, row.id],
    }));
    return { entries, hasMore: isCut || rows.length === limit };
  },
});

const comments = ({ tx, kind, id }: Asking): TimelinePart => ({
  name: "comments",
  async read(after, limit) {
    requireTime(after);
    const beyond = after ? "AND (created_at, id) < ($4::timestamptz, $5::uuid)" : "";
    const { rows, isCut } = await tx.queryWithin<CommentRow>({
      text: `SELECT ${commentColumns} FROM comments WHERE record_id = $1 AND record_kind = $2 ${beyond}
        ORDER BY created_at DESC, id DESC LIMIT $3`,
      values: [id, kind.name, limit, ...(after ?? [])],
      mostBytes: pageBytes,
    });
    const entries = rows.map((row): Read["entries"][number] => ({
      item: {
        ...{
          part: "comments",
          id: row.id,
          type: "comment",
          actorId: row.author_id,
          occurredAt: row.created_at,
        },
        ...{ entityVersion: row.version, data: { comment: commentView(row) } },
      },
      key: [row.created_at, row.id],
    }));
    return { entries, hasMore: isCut || rows.length === limit };
  },
});
