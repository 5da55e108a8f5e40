import { appError, conflict } from "../../contract/errors.ts";
import { withRows, type Statement } from "../../database/statement.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { Principal } from "../../access/principal.ts";
import { isVisible } from "../../access/visibility.ts";
import type { AnyRow, AnyKind } from "../kind/kind.ts";
import { completeOwners } from "./named-owners.ts";
import { partRowsOf, type Holder, type PartRows } from "../kind/part-rows.ts";

/** How rows of a kind are read and written, inside a transaction of whoever asks. */
export interface Store<R extends AnyRow = AnyRow> {
  /** One that is not deleted and that the principal may see. @throws 404 */
  get(tx: UnitOfWork, principal: Principal, id: string): Promise<R>;
  /** As `get`, and nobody else changes it until the end of the transaction. */
  lock(tx: UnitOfWork, principal: Principal, id: string): Promise<R>;
  /** As `lock`, deleted or not. */
  lockAny(tx: UnitOfWork, principal: Principal, id: string): Promise<R>;
  /** The one with an external id that is not deleted, whoever sees it. */
  findByExternalId(tx: UnitOfWork, externalId: string, lock?: boolean): Promise<R | undefined>;
  /** Refuses an external id whose record is part of another now, unless a record has it. @throws 410 MERGED */
  requireNotMerged(tx: UnitOfWork, principal: Principal, externalId: string): Promise<void>;
  /** Inserts a row at commit; a clash of external ids, or of parts that one record has alone, is a 409 then. */
  insert(tx: UnitOfWork, row: R, principal?: Principal): void;
  /** External ids of inputs that belong to records that were merged, each with that of the record that they are part of now, if it has one. */
  mergedExternalIds(
    tx: Pick<UnitOfWork, "query">,
    inputs: readonly Readonly<Record<string, unknown>>[],
  ): Promise<ReadonlyMap<unknown, string | null>>;
  /** Inserts rows now, and their parts at commit; answers the ids of those whose external id was free. */
  insertFree(tx: UnitOfWork, rows: readonly R[], principal?: Principal): Promise<ReadonlySet<string>>;
  /**
   * Takes now the parts that rows would have alone, before `insertFree`; answers the ids of those that cannot have theirs. One of the
   * others that is not inserted after all gives them up by `giveUpParts`.
   */
  claimParts(tx: UnitOfWork, rows: readonly R[]): Promise<ReadonlySet<string>>;
  giveUpParts(tx: UnitOfWork, ids: readonly string[]): void;
  /** Which external ids of these inputs records have that are not deleted, or that were merged. */
  takenExternalIds(
    tx: Pick<UnitOfWork, "query">,
    inputs: readonly Readonly<Record<string, unknown>>[],
  ): Promise<ReadonlySet<unknown>>;
  /** What to answer rows whose parts others have now, or one before them, by their ids: 409 VALUE_TAKEN that names who has it. */
  partsTaken(
    tx: Pick<UnitOfWork, "query">,
    rows: readonly R[],
    principal: Principal,
  ): Promise<ReadonlyMap<string, Error>>;
  /** As `lock`, by their ids, in the order of those: two who lock many never wait for each other in a circle. */
  lockAll(tx: UnitOfWork, principal: Principal, ids: readonly string[]): Promise<ReadonlyMap<string, R>>;
  /**
   * Writes all mutable columns of locked rows, at commit. A clash of parts that one record has alone is a 409 then.
   * @param taken what a clash of external ids means; default 409 EXTERNAL_ID_TAKEN
   * @param principal who is told which record has what is taken; default nobody
   */
  update(tx: UnitOfWork, rows: readonly R[], taken?: () => Error, principal?: Principal): void;
  /** @throws 404 for a row that is not there, or that the principal may not see */
  visible(principal: Principal, row: R | undefined): R;
}

/** Nobody else changes the row until the end of the transaction; others may refer to it meanwhile. */
const forChange = " FOR NO KEY UPDATE";

export const notFound = ({ name }: Pick<AnyKind, "name">) =>
  appError(404, `${name.toUpperCase()}_NOT_FOUND`, `There is no such ${name}.`);
const merged = ({ name }: Pick<AnyKind, "name">, mergedInto: string) =>
  appError(410, "MERGED", `The ${name} was merged into another: ${mergedInto}.`, { mergedInto });
/** @param id of the other record, where it is known */
export const externalIdTaken = ({ name, plural }: Pick<AnyKind, "name" | "plural">, id?: string) =>
  conflict(
    "EXTERNAL_ID_TAKEN",
    `Another ${name} has this externalId${id === undefined ? "" : ` (${id})`}; change that one with PUT /${plural}/by-external-id.`,
  );

/** @param holder of the part, where it is known and may be seen */
export const partTaken = ({ name, plural }: Pick<AnyKind, "name" | "plural">, holder?: Holder) =>
  appError(
    409,
    "VALUE_TAKEN",
    `Another ${name}${holder ? ` (${holder.holderId})` : ""} has ${holder ? holder.part.join(" ") : "what only one may have"}; change that one, or merge the two with POST /${plural}/{id}/merge.`,
    holder && { recordId: holder.holderId },
  );

/** The statements of a kind, made once. Its table has a unique index `<plural>_external_id` over those that are not deleted. */
export function storeOf<R extends AnyRow>(kind: AnyKind): Store<R> {
  const { name, table, columns, mutableColumns, owners } = kind;
  const listed = columns.join(", ");
  const select = `SELECT ${listed} FROM ${table}`;
  const insertText = `INSERT INTO ${table} (${listed}) SELECT ${listed} FROM json_populate_recordset(NULL::${table}, $1)`;
  // one that is part of another now keeps its external id, by which it is still known
  const unmerged =
    "externalId" in kind.fields
      ? ` AS fresh WHERE NOT EXISTS (SELECT FROM ${table} m WHERE m.external_id = fresh.external_id AND m.merged_into IS NOT NULL)`
      : "";
  const updateText = `UPDATE ${table} SET (${mutableColumns.join(", ")}) = ROW (${mutableColumns
    .map((column) => `changed.${column}`)
    .join(", ")}) FROM json_populate_recordset(NULL::${table}, $1) AS changed WHERE ${table}.id = changed.id`;
  const lists = partRowsOf(kind.fields);

  const visible = (principal: Principal, row: R | undefined): R => {
    if (row === undefined || !isVisible(principal, owners, row)) throw notFound(kind);
    return row;
  };
  /** As `visible`, of one that is not deleted; of one that was merged says into what. @throws 404, 410 MERGED */
  const living = async (tx: UnitOfWork, principal: Principal, id: string, row: R | undefined): Promise<R> => {
    if (row) return visible(principal, row);
    const [end] = await tx.query<{ id: string }>({
      text: `WITH RECURSIVE merged AS (
          SELECT merged_into FROM ${table} WHERE id = $1 AND merged_into IS NOT NULL
          UNION SELECT t.merged_into FROM ${table} t JOIN merged m ON t.id = m.merged_into AND t.merged_into IS NOT NULL
        ) SELECT t.id FROM merged m JOIN ${table} t ON t.id = m.merged_into AND t.merged_into IS NULL`,
      values: [id],
    });
    if (!end) throw notFound(kind);
    await store.get(tx, principal, end.id); // who may not see it is not told of it
    throw merged(kind, end.id);
  };
  const one = async (tx: UnitOfWork, statement: Statement): Promise<R | undefined> =>
    (await tx.query<R>(statement))[0];

  /** Errors by the rows that clash. */
  const partsTaken = async (
    tx: Pick<UnitOfWork, "query">,
    rows: readonly R[],
    principal?: Principal,
  ): Promise<ReadonlyMap<string, Error>> => {
    const errors = new Map<string, Error>();
    for (const list of lists) {
      const parts = rows.flatMap((row) => list.of(row));
      for (const id of list.repeated(parts)) errors.set(id, partTaken(kind));
      const holders = await list.holders(tx, parts);
      if (holders.size === 0) continue;
      const seen = await tx.query<R>({
        text: `${select} WHERE id = ANY ($1)`,
        values: [[...holders.values()].map(({ holderId }) => holderId)],
      });
      const isSeen = ({ holderId }: Holder) =>
        principal !== undefined
        && seen.some((row) => row.id === holderId && isVisible(principal, owners, row));
      for (const [id, holder] of holders)
        errors.set(id, partTaken(kind, isSeen(holder) ? holder : undefined));
    }
    return errors;
  };
  const refuseTaken = (
    tx: UnitOfWork,
    list: PartRows,
    rows: readonly R[],
    principal: Principal | undefined,
  ) => {
    tx.onViolation(
      list.constraint,
      () => partTaken(kind),
      async (reader) => [...(await partsTaken(reader, rows, principal)).values()][0],
    );
  };
  const deferParts = (tx: UnitOfWork, rows: readonly R[], principal: Principal | undefined) => {
    for (const list of lists) {
      const parts = rows.flatMap((row) => list.of(row));
      if (parts.length === 0) continue;
      const insert = { ...list.insert, rows: parts.map((part) => JSON.stringify(part)) };
      if (parts.every(({ is_exclusive: is }) => !is)) {
        tx.deferRows(insert);
        continue;
      }
      refuseTaken(tx, list, rows, principal);
      // it may have to wait for whoever is about to take the same
      tx.defer(withRows(insert));
    }
  };

  /** After its insert: who was merged until then is seen. */
  const refuseMerged = (tx: UnitOfWork, { external_id: externalId }: R, principal: Principal | undefined) => {
    tx.onViolation(
      `${table}_merged_external_id`,
      () => externalIdTaken(kind),
      async (reader) => {
        if (principal) await store.requireNotMerged(reader, principal, externalId as string);
        return undefined;
      },
    );
    tx.defer({
      name: `refuse_merged_${name}`,
      text: `SELECT refuse('${table}_merged_external_id') FROM ${table} WHERE external_id = $1 AND merged_into IS NOT NULL LIMIT 1`,
      values: [externalId],
    });
  };

  const byId = (verb: string, id: string, suffix = "") => ({
    name: `${verb}_${name}`,
    text: `${select} WHERE id = $1 AND deleted_at IS NULL${suffix}`,
    values: [id],
  });

  const store: Store<R> = {
    visible,
    get: async (tx, principal, id) => living(tx, principal, id, await one(tx, byId("get", id))),
    lock: async (tx, principal, id) => living(tx, principal, id, await one(tx, byId("lock", id, forChange))),
    lockAny: async (tx, principal, id) =>
      visible(principal, await one(tx, { text: `${select} WHERE id = $1${forChange}`, values: [id] })),
    async lockAll(tx, principal, ids) {
      const rows = await tx.query<R>({
        text: `${select} WHERE id = ANY ($1) AND deleted_at IS NULL ORDER BY id${forChange}`,
        values: [ids],
      });
      const found = new Map(rows.map((row) => [row.id, visible(principal, row)]));
      // says of one that is not there why
      for (const id of ids) if (!found.has(id)) await store.lock(tx, principal, id);
      return found;
    },
    findByExternalId: (tx, externalId, lock = false) =>
      one(tx, {
        name: `${lock ? "lock_" : ""}${name}_by_external_id`,
        text: `${select} WHERE external_id = $1 AND deleted_at IS NULL${lock ? forChange : ""}`,
        values: [externalId],
      }),
    async takenExternalIds(tx, inputs) {
      const given = inputs.map(({ externalId }) => externalId).filter((id) => typeof id === "string");
      if (given.length === 0) return new Set();
      const rows = await tx.query<{ external_id: string }>({
        text: `SELECT external_id FROM ${table} WHERE external_id = ANY ($1) AND deleted_at IS NULL
          UNION SELECT external_id FROM ${table} WHERE external_id = ANY ($1) AND merged_into IS NOT NULL`,
        values: [given],
      });
      return new Set(rows.map(({ external_id: id }) => id));
    },
    async mergedExternalIds(tx, inputs) {
      const given = inputs.map(({ externalId }) => externalId).filter((id) => typeof id === "string");
      if (given.length === 0) return new Map();
      const rows = await tx.query<{ was: string; now: string | null }>({
        name: `merged_external_ids_of_${table}`,
        text: `WITH RECURSIVE merged AS (
            SELECT l.external_id AS was, l.merged_into AS id FROM ${table} l
            WHERE l.external_id = ANY ($1) AND l.merged_into IS NOT NULL
              AND NOT EXISTS (SELECT FROM ${table} o WHERE o.external_id = l.external_id AND o.deleted_at IS NULL)
            UNION SELECT m.was, t.merged_into FROM merged m JOIN ${table} t ON t.id = m.id AND t.merged_into IS NOT NULL
          ) SELECT m.was, CASE WHEN t.deleted_at IS NULL THEN t.external_id END AS now FROM merged m JOIN ${table} t ON t.id = m.id
          WHERE t.merged_into IS NULL ORDER BY now NULLS FIRST`,
        values: [given],
      });
      return new Map(rows.map(({ was, now }) => [was, now]));
    },
    async requireNotMerged(tx, principal, externalId) {
      const [loser] = await tx.query<{ id: string }>({
        name: `merged_${name}_by_external_id`,
        text: `SELECT id FROM ${table} WHERE external_id = $1 AND merged_into IS NOT NULL ORDER BY updated_at DESC LIMIT 1`,
        values: [externalId],
      });
      if (loser) await living(tx, principal, loser.id, undefined);
    },
    insert(tx, row, principal) {
      completeOwners(tx, kind, [row]);
      const insert = { name: `insert_${table}`, text: insertText, rows: [JSON.stringify(row)] };
      if (row.external_id == null) tx.deferRows(insert);
      else {
        tx.onViolation(`${table}_external_id`, () => externalIdTaken(kind));
        // it may have to wait for whoever is about to take the same external id
        tx.defer(withRows(insert));
        refuseMerged(tx, row, principal);
      }
      deferParts(tx, [row], principal);
    },
    partsTaken,
    async claimParts(tx, rows) {
      const refused = new Set<string>();
      for (const list of lists) {
        const parts = rows.flatMap((row) => list.of(row)).filter(({ is_exclusive: is }) => is);
        if (parts.length === 0) continue;
        const taken = await tx.query<{ record_id: string }>({
          text: list.insertFree,
          values: [JSON.stringify(parts)],
        });
        const got = Map.groupBy(taken, ({ record_id: id }) => id);
        for (const [id, wanted] of Map.groupBy(parts, ({ record_id: id }) => id))
          if (got.get(id)?.length !== wanted.length) refused.add(id);
      }
      store.giveUpParts(tx, [...refused]);
      return refused;
    },
    giveUpParts(tx, ids) {
      if (ids.length > 0) for (const list of lists) tx.defer(list.remove(ids));
    },
    async insertFree(tx, rows, principal) {
      if (rows.length === 0) return new Set();
      completeOwners(tx, kind, rows);
      const inserted = await tx.query<{ id: string }>({
        name: `insert_free_${table}`,
        text: `${insertText}${unmerged} ON CONFLICT DO NOTHING RETURNING id`,
        values: [JSON.stringify(rows)],
      });
      const made = new Set(inserted.map(({ id }) => id));
      deferParts(
        tx,
        rows.filter(({ id }) => made.has(id)),
        principal,
      );
      return made;
    },
    update(tx, rows, taken = () => externalIdTaken(kind), principal = undefined) {
      if (rows.length === 0) return;
      completeOwners(tx, kind, rows);
      tx.onViolation(`${table}_external_id`, taken);
      tx.defer({ name: `update_${table}`, text: updateText, values: [JSON.stringify(rows)] });
      for (const list of lists) tx.defer(list.remove(rows.map(({ id }) => id)));
      deferParts(tx, rows, principal);
    },
  };
  return store;
}
