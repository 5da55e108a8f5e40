import { once } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { stringify } from "csv-stringify/sync";
import exceljs from "exceljs";
import type { Actor } from "../../mixins/access/actor.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { ListParams, Values } from "../../mixins/records/listing.ts";
import { pageStatement, toPage } from "../../mixins/records/page.ts";
import type { Ctx } from "../contracts.ts";
import { visibleTo } from "./leads.actions.ts";
import type { Desk } from "./desk.ts";
import type { ListedLeadRow } from "./lead-row.ts";
import { leadListing, type LeadView } from "./lead.schemas.ts";
import { leadView } from "./leads.view.ts";
import { requireKnownFields } from "./known-fields.ts";
import { SensitiveFields } from "./sensitive-fields.ts";

const batchSize = 500;
/** A sheet of XLSX ends at 1,048,576 rows; a cell at 32,767 characters. */
const sheetRows = 1_000_000;
const cellLength = 32_767;

type Cell = string | number | null;

/**
 * All leads that match, as a stream made while it is read: a batch a transaction, so that neither memory nor an open
 * transaction grows with the list. Leads changed meanwhile may show before or after their change. What the audit log
 * cannot be told of is not exported.
 */
export async function exportLeads(ctx: Ctx<"leads.export">, desk: Desk): Promise<NodeJS.ReadableStream> {
  const { actor } = ctx.locals;
  const { format, ...params } = ctx.params;
  // names of fields only: what was looked for may be personal data
  const filteredBy = [...Object.keys(params.filter ?? {}), ...(params.q === undefined ? [] : ["q"])];
  const settings = await desk.settings.of(actor.organizationId);
  await requireKnownFields(desk.database.reader(actor.organizationId), settings, params);
  await ctx.call("identity.noteExport", { format, filteredBy });
  const fields = params.fields ?? Object.keys(leadListing.fields);
  const sensitive = await SensitiveFields.of(ctx, desk, settings);
  const batches = readBatches(
    desk.database,
    actor,
    { ...params, limit: batchSize, count: false },
    sensitive,
    fields.includes("customFields"),
  );
  return format === "csv" ? Readable.from(csvChunks(fields, batches)) : xlsxStream(fields, batches);
}

async function* readBatches(
  database: Database,
  actor: Actor,
  given: ListParams,
  sensitive: SensitiveFields,
  isSensitiveShown: boolean,
): AsyncGenerator<LeadView[]> {
  const { params, where: matches } = sensitive.filter(given);
  const where = (values: Values) => [...visibleTo(actor)(values), ...matches(values)];
  let cursor: string | undefined;
  do {
    const statement = pageStatement(leadListing, { ...params, cursor }, where);
    const page = await database.transaction({ organizationId: actor.organizationId }, async (tx) => {
      const read = toPage(
        await tx.query<ListedLeadRow>(statement),
        leadListing,
        { ...params, cursor },
        leadView,
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

function xlsxStream(fields: string[], batches: AsyncIterable<LeadView[]>): Readable {
  const output = new PassThrough();
  writeWorkbook(output, fields, batches).catch((error: Error) => output.destroy(error));
  return output;
}

async function writeWorkbook(output: PassThrough, fields: string[], batches: AsyncIterable<LeadView[]>) {
  const workbook = new exceljs.stream.xlsx.WorkbookWriter({ stream: output });
  const addSheet = (number: number) => {
    const added = workbook.addWorksheet(number === 1 ? "Leads" : `Leads ${number}`);
    added.addRow(fields).commit();
    return added;
  };
  let sheet = addSheet(1);
  let sheets = 1;
  let written = 0;
  for await (const batch of batches) {
    if (output.destroyed) return; // nobody reads on
    if (written + batch.length > sheets * sheetRows) {
      sheet.commit();
      sheet = addSheet(++sheets);
    }
    for (const lead of batch) sheet.addRow(fields.map((field) => cut(cellOf(lead, field)))).commit();
    written += batch.length;
    // the writer takes rows as fast as they come: wait until they have been read
    if (output.writableNeedDrain) await Promise.race([once(output, "drain"), once(output, "close")]);
  }
  sheet.commit();
  await workbook.commit();
}

/** One value as a cell; what is not a text or number, as JSON. */
function cellOf(lead: LeadView, field: string): Cell {
  const value = lead[field as keyof LeadView];
  if (value === null || typeof value === "string" || typeof value === "number") return value;
  return JSON.stringify(value);
}

/** Keeps a spreadsheet from running a text as a formula (OWASP, CSV injection). */
export function disarm(cell: Cell): Cell {
  return typeof cell === "string" && /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
}

const cut = (cell: Cell): Cell => (typeof cell === "string" ? cell.slice(0, cellLength) : cell);
