import { Readable } from "node:stream";
import { stringify } from "csv-stringify/sync";
import type { Context } from "moleculer";
import { can, requirePermission, type Principal } from "../../access/principal.ts";
import { visibleRows } from "../../access/visibility.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { xlsxStream, type XlsxCell } from "../../files/xlsx-writer.ts";
import { inertCell } from "../../values/cells.ts";
import type { CallFields } from "../custom/of-call.ts";
import type { Counter, RecordContext } from "../writing/desk.ts";
import { associationsOf, type Association } from "../importing/associations.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { columnOf, eachField, Values, type Listing, type ListParams } from "../finding/listing.ts";
import { readPage } from "../finding/page.ts";
import { underView, viewOfList } from "../finding/views.ts";
import { fieldsOf, visibleTo } from "./crud.ts";

const batchSize = 500;

type Cell = string | number | null;
type View = Readonly<Record<string, unknown>> & { id: string };
/** What an export is asked for: as a list is, but for the page. */
type ExportParams = Omit<ListParams, "limit" | "cursor" | "count" | "sort"> & {
  format: "csv" | "xlsx";
  sort?: string | undefined;
  view?: string | undefined;
};

/** Records of a kind as files. */
export function exportHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, desk } = counter;
  return {
    /**
     * All records that match, as a stream made while it is read: a batch a transaction, so that neither memory nor an open
     * transaction grows with the list. Records changed meanwhile may show before or after their change. What the audit log
     * cannot be told of is not exported.
     */
    async export(ctx: RecordContext<ExportParams>): Promise<NodeJS.ReadableStream> {
      const { principal, tx } = ctx.locals;
      requirePermission(principal, `${kind.plural}:read`);
      const { format, view: viewId, ...given } = ctx.params;
      const reader = desk.database.reader(principal.organizationId);
      const fields = await fieldsOf(counter, ctx);
      const view = viewId && (await viewOfList(reader, principal, kind, fields.defined, viewId));
      const params = underView(kind, given, view || undefined);
      // names of fields only: what was looked for may be personal data
      const asked = new Set<string>(params.q === undefined ? [] : ["q"]);
      eachField(params, (field) => asked.add(field));
      if (params.kept) eachField({ where: params.kept }, (field) => asked.add(field));
      await fields.requireKnown(reader, params);
      const shown = params.fields ?? Object.keys(kind.listing.fields);
      // what a record refers to, by what it is known by elsewhere too
      const along = params.fields
        ? []
        : associationsOf(kind, desk.kinds).filter(({ target }) => can(principal, `${target.plural}:read`));
      const columns = [
        ...shown,
        ...along.flatMap(({ relation, keys }) => keys.map((key) => `${relation}.${key}`)),
      ];
      const batches = readBatches(counter, principal, {
        params: { ...params, limit: batchSize, count: false, timeZone: tx.timeZone },
        listing: fields.listing(kind.listing, params),
        fields,
        along,
        isSensitiveShown: shown.includes("customFields"),
      });
      // read before there is an answer: a filter that is wrong is a 400 then, and not a file that breaks off
      const first = await batches.next();
      await (ctx as RecordContext & Pick<Context, "call">).call("identity.noteExport", {
        ...{ format, filteredBy: [...asked] },
        // nodes of the release before know leads alone
        ...(kind.name !== "lead" && { kind: kind.name }),
      });
      const all = startingWith(first, batches);
      const name = kind.plural.charAt(0).toUpperCase() + kind.plural.slice(1);
      return format === "csv"
        ? Readable.from(csvChunks(kind, columns, all))
        : xlsxStream({ name, columns, rows: sheetRows(kind, columns, all) });
    },
  };
}

async function* startingWith<T>(
  first: IteratorResult<T, void>,
  rest: AsyncGenerator<T, void>,
): AsyncGenerator<T> {
  if (first.done !== true) yield first.value;
  yield* rest;
}

async function* readBatches<R extends AnyRow, P>(
  { kind, desk: { database } }: Counter<R, P>,
  principal: Principal,
  {
    params,
    listing,
    fields,
    along,
    isSensitiveShown,
  }: {
    params: Parameters<typeof readPage>[2];
    listing: Listing;
    fields: CallFields;
    along: readonly Association[];
    isSensitiveShown: boolean;
  },
): AsyncGenerator<View[], void> {
  const show = (row: R) => kind.show(row) as View;
  let cursor: string | undefined;
  do {
    const page = await database.transaction({ organizationId: principal.organizationId }, async (tx) => {
      const read = await readPage(tx, listing, { ...params, cursor }, show, visibleTo({ kind }, principal));
      const views = isSensitiveShown ? await fields.show(tx, read.data) : read.data;
      return { ...read, data: await withKeys(tx, principal, along, views) };
    });
    yield page.data;
    cursor = page.page.nextCursor ?? undefined;
  } while (cursor !== undefined);
}

/** Adds to views the keys of what they refer to, as far as the caller sees it: `company.name`. */
async function withKeys(
  tx: UnitOfWork,
  principal: Principal,
  along: readonly Association[],
  views: View[],
): Promise<View[]> {
  let whole = views;
  for (const { relation, field, target, keys } of along) {
    const ids = [...new Set(views.map((view) => view[field]))].filter((id) => typeof id === "string");
    if (ids.length === 0) continue;
    const values = new Values();
    const conditions = [
      `id = ANY (${values.add(ids)}::uuid[])`,
      "deleted_at IS NULL",
      ...visibleRows(principal, values, target.owners),
    ];
    const rows = await tx.query<{ id: string } & Record<string, unknown>>({
      text: `SELECT id, ${keys.map(columnOf).join(", ")} FROM ${target.plural} WHERE ${conditions.join(" AND ")}`,
      values: values.list,
    });
    const known = new Map(
      rows.map((row) => [
        row.id,
        Object.fromEntries(keys.map((key) => [`${relation}.${key}`, row[columnOf(key)]])),
      ]),
    );
    whole = whole.map((view) => ({ ...view, ...known.get(String(view[field])) }));
  }
  return whole;
}

async function* csvChunks(
  kind: AnyKind,
  columns: string[],
  batches: AsyncIterable<View[]>,
): AsyncGenerator<string> {
  yield stringify([columns]);
  for await (const batch of batches)
    if (batch.length > 0)
      yield stringify(batch.map((view) => columns.map((column) => csvCell(kind, view, column))));
}

/** A phone begins with + but is nothing else than digits, so it may stay as it is and be imported again. */
function csvCell({ fields }: AnyKind, view: View, column: string): Cell {
  const cell = cellOf(view[column]);
  return fields[column]?.format === "phone" ? cell : disarm(cell);
}

async function* sheetRows(
  kind: AnyKind,
  columns: string[],
  batches: AsyncIterable<View[]>,
): AsyncGenerator<readonly XlsxCell[][]> {
  for await (const batch of batches)
    yield batch.map((view) => columns.map((column) => sheetCell(kind, view, column)));
}

/** A time as a spreadsheet knows it; the rest as in CSV. */
function sheetCell({ listing }: AnyKind, view: View, column: string): XlsxCell {
  const cell = cellOf(view[column]);
  return listing.fields[column] === "timestamp" && typeof cell === "string" ? new Date(cell) : cell;
}

/** One value as a cell; what is not a text or number, as JSON. */
function cellOf(value: unknown): Cell {
  if (value === null || value === undefined) return null;
  return typeof value === "string" || typeof value === "number" ? value : JSON.stringify(value);
}

/** Keeps a spreadsheet from running a text as a formula; an import takes it back. */
export const disarm = (cell: Cell): Cell => (typeof cell === "string" ? inertCell(cell) : cell);
