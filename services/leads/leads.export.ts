import { Readable } from "node:stream";
import { stringify } from "csv-stringify/sync";
import type { Principal } from "../../mixins/access/principal.ts";
import type { Database } from "../../mixins/database/database.ts";
import { xlsxStream, type XlsxCell } from "../../mixins/files/xlsx-writer.ts";
import type { CallFields } from "../../mixins/records/custom/of-call.ts";
import { eachField, type Listing, type ListParams } from "../../mixins/records/listing.ts";
import { pageStatement, toPage } from "../../mixins/records/page.ts";
import { inertCell } from "../../mixins/values/cells.ts";
import type { Ctx } from "../contracts.ts";
import { visibleTo } from "../../mixins/records/handlers/crud.ts";
import { leadFields, type Desk } from "./desk.ts";
import { lead as leadKind, type LeadRow, type LeadView } from "../../entities/lead.ts";

const batchSize = 500;

type Cell = string | number | null;

/**
 * All leads that match, as a stream made while it is read: a batch a transaction, so that neither memory nor an open
 * transaction grows with the list. Leads changed meanwhile may show before or after their change. What the audit log
 * cannot be told of is not exported.
 */
export async function exportLeads(ctx: Ctx<"leads.export">, desk: Desk): Promise<NodeJS.ReadableStream> {
  const { principal } = ctx.locals;
  const { format, ...params } = ctx.params;
  // names of fields only: what was looked for may be personal data
  const asked = new Set<string>(params.q === undefined ? [] : ["q"]);
  eachField(params, (field) => asked.add(field));
  const filteredBy = [...asked];
  const sensitive = await leadFields(ctx, desk);
  await sensitive.requireKnown(desk.database.reader(principal.organizationId), params);
  const fields = params.fields ?? Object.keys(leadKind.listing.fields);
  const batches = readBatches(
    desk.database,
    principal,
    { ...params, limit: batchSize, count: false, timeZone: ctx.locals.tx.timeZone },
    sensitive.listing(leadKind.listing, params),
    sensitive,
    fields.includes("customFields"),
  );
  // read before there is an answer: a filter that is wrong is a 400 then, and not a file that breaks off
  const first = await batches.next();
  await ctx.call("identity.noteExport", { format, filteredBy });
  const all = startingWith(first, batches);
  return format === "csv"
    ? Readable.from(csvChunks(fields, all))
    : xlsxStream({ name: "Leads", columns: fields, rows: sheetRows(fields, all) });
}

async function* startingWith<T>(
  first: IteratorResult<T, void>,
  rest: AsyncGenerator<T, void>,
): AsyncGenerator<T> {
  if (first.done !== true) yield first.value;
  yield* rest;
}

async function* readBatches(
  database: Database,
  principal: Principal,
  params: ListParams & { timeZone: string },
  listing: Listing,
  sensitive: CallFields,
  isSensitiveShown: boolean,
): AsyncGenerator<LeadView[], void> {
  let cursor: string | undefined;
  do {
    const statement = pageStatement(listing, { ...params, cursor }, visibleTo({ kind: leadKind }, principal));
    const page = await database.transaction({ organizationId: principal.organizationId }, async (tx) => {
      const read = toPage(
        await tx.queryWithin<LeadRow>(statement),
        listing,
        { ...params, cursor },
        leadKind.show,
      );
      return isSensitiveShown ? { ...read, data: await sensitive.show(tx, read.data) } : read;
    });
    yield page.data;
    cursor = page.page.nextCursor ?? undefined;
  } while (cursor !== undefined);
}

async function* csvChunks(fields: string[], batches: AsyncIterable<LeadView[]>): AsyncGenerator<string> {
  yield stringify([fields]);
  for await (const batch of batches)
    if (batch.length > 0) yield stringify(batch.map((lead) => fields.map((field) => csvCell(lead, field))));
}

/** A phone begins with + but is nothing else than digits, so it may stay as it is and be imported again. */
const csvCell = (lead: LeadView, field: string): Cell =>
  field === "phone" ? lead.phone : disarm(cellOf(lead, field));

async function* sheetRows(
  fields: string[],
  batches: AsyncIterable<LeadView[]>,
): AsyncGenerator<readonly XlsxCell[][]> {
  for await (const batch of batches) yield batch.map((lead) => fields.map((field) => sheetCell(lead, field)));
}

/** A time as a spreadsheet knows it; the rest as in CSV. */
function sheetCell(lead: LeadView, field: string): XlsxCell {
  const cell = cellOf(lead, field);
  return leadKind.listing.fields[field] === "timestamp" && typeof cell === "string" ? new Date(cell) : cell;
}

/** One value as a cell; what is not a text or number, as JSON. */
function cellOf(lead: LeadView, field: string): Cell {
  const value = lead[field as keyof LeadView];
  if (value === null || typeof value === "string" || typeof value === "number") return value;
  return JSON.stringify(value);
}

/** Keeps a spreadsheet from running a text as a formula; an import takes it back. */
export const disarm = (cell: Cell): Cell => (typeof cell === "string" ? inertCell(cell) : cell);
