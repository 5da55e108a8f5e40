import { Readable } from "node:stream";
import { stringify } from "csv-stringify/sync";
import { lead } from "../../entities/lead.ts";
import { canSee, sightOf } from "../../mixins/access/principal.ts";
import type { Database } from "../../mixins/database/database.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import type { Ctx, Result } from "../contracts.ts";
import { visibleRows } from "../../mixins/access/visibility.ts";
import type { Values } from "../../mixins/records/finding/listing.ts";
import { readPage } from "../../mixins/records/finding/page.ts";
import { importListing } from "./imports.contract.ts";
import { inertCell } from "../../mixins/values/cells.ts";
import { isReport, reportColumns } from "./file/format.ts";
import {
  dryRunNotRolledBack,
  importAlreadyRolledBack,
  importNotFinished,
  importNotFound,
  mayNotReachAll,
} from "./imports.errors.ts";
import {
  countBytes,
  findImport,
  findRejectedRows,
  startRollback,
  type ImportRecord,
  type RejectedRow,
} from "./imports.repository.ts";
import { enqueueRun } from "./import-file.ts";
import { importView } from "./imports.view.ts";

/** How much the organization's files take. */
export async function getUsage(ctx: Ctx<"imports.getUsage">): Promise<Result<"imports.getUsage">> {
  return { storageBytes: await countBytes(ctx.locals.tx) };
}

/** A page of the imports that the caller may see: as records assigned to who began them would be. */
export async function list(ctx: Ctx<"imports.list">): Promise<Result<"imports.list">> {
  const { principal, tx } = ctx.locals;
  const where = (values: Values) => [
    "status <> 'uploading'",
    ...visibleRows(principal, values, "created_by"),
  ];
  return readPage(tx, importListing, ctx.params, importView, where);
}

/** Answers how far an import is. */
export async function get(ctx: Ctx<"imports.get">): Promise<Result<"imports.get">> {
  return importView(await getImport(ctx));
}

const rejectedRowsPerRead = 500;

/**
 * Streams the rows that did not come in, or not whole, as CSV: row (the first after the heading is 1), reason, and the columns of
 * the file. Mended, it can be imported as it is: what such a file had added itself does not show again.
 */
export async function errors(ctx: Ctx<"imports.errors">, database: Database): Promise<Readable> {
  const { id, organization_id: organizationId, mapping } = await getImport(ctx);
  const all = mapping.map(([column]) => column);
  const columns = isReport(all) ? all.slice(reportColumns.length) : all;
  const line = (cells: string[]) => stringify([cells.map(inertCell)]);
  return Readable.from(
    (async function* () {
      yield line([...reportColumns, ...columns]);
      for (let after = 0; ;) {
        const { rows, isCut } = await database.transaction({ organizationId }, (tx) =>
          findRejectedRows(tx, id, after, rejectedRowsPerRead),
        );
        if (rows.length > 0) yield rows.map((row) => line(rejectedCells(row, columns, all))).join("");
        if (!isCut && rows.length < rejectedRowsPerRead) return;
        after = rows.at(-1)?.row_number ?? after;
      }
    })(),
    { objectMode: false },
  );
}

/** Every cell under its column; behind them those that a row had too many of. */
function rejectedCells(
  { row_number, reason, record }: RejectedRow,
  columns: string[],
  all: string[],
): string[] {
  const surplus = Object.keys(record).filter((column) => !all.includes(column));
  return [String(row_number), reason, ...[...columns, ...surplus].map((column) => record[column] ?? "")];
}

/** Starts turning an ended import back. */
export async function rollback(ctx: Ctx<"imports.rollback">): Promise<Result<"imports.rollback">> {
  const { principal, tx } = ctx.locals;
  if (sightOf(principal) !== "all") {
    const { kind } = await getImport(ctx);
    throw mayNotReachAll(kinds.get(kind) ?? lead);
  }
  const found = await startRollback(tx, ctx.params.id);
  if (!found) throw whyNotRolledBack(await getImport(ctx));
  enqueueRun(tx, found);
  return { id: found.id, status: found.status };
}

function whyNotRolledBack({ status, is_dry_run }: ImportRecord): Error {
  if (status === "pending" || status === "running") return importNotFinished();
  return is_dry_run ? dryRunNotRolledBack() : importAlreadyRolledBack();
}

/** An import is seen as a record assigned to who began it would be: rejected rows hold what may become records. */
async function getImport(
  ctx: Ctx<"imports.get" | "imports.errors" | "imports.rollback">,
): Promise<ImportRecord> {
  const { principal, tx } = ctx.locals;
  const found = await findImport(tx, ctx.params.id);
  if (!found || !canSee(principal, { assignedTo: found.created_by })) throw importNotFound();
  return found;
}
