import { type Ctx, type Result } from "../contracts.ts";
import { leadFields, type Desk } from "./desk.ts";
import { findChanges, forgetChanges, type ImportChange } from "./import.repository.ts";
import { about } from "../../mixins/records/desk.ts";
import { changesBetween } from "../../mixins/records/changes.ts";
import { lead, type LeadRow } from "../../entities/lead.ts";
import { importFenced, importOvertaken } from "./leads.errors.ts";
import { findHolders, leadStore, lockLeads } from "./leads.store.ts";
import { rescored, type Scoring } from "./leads.rules.ts";

/**
 * Undoes some changes of an import, in one transaction that also forgets them: run again, it goes on with the rest.
 * A lead somebody has worked on since stays as it is.
 */
export async function rollbackImport(
  ctx: Ctx<"leads.rollbackImport">,
  desk: Desk,
): Promise<Result<"leads.rollbackImport">> {
  const { principal, tx } = ctx.locals;
  const fields = await leadFields(ctx, desk);
  const { scoring } = await desk.settings.of(tx.organizationId);
  const found = await findChanges(tx, ctx.params);
  if (!found) throw importFenced();
  const { total } = found;
  const lostIds = found.changes.flatMap(({ before }) => before?.external_id ?? []);
  const [{ rows: locked, isCut }, holders] = await Promise.all([
    lockLeads(
      tx,
      found.changes.map(({ lead_id }) => lead_id),
    ),
    findHolders(tx, lostIds),
  ]);
  // large leads are turned back a few at a time
  const end = isCut ? locked.at(-1)?.id : undefined;
  const changes = found.changes.filter(({ lead_id }) => end === undefined || lead_id <= end);
  const stored = new Map(locked.map((row) => [row.id, row]));
  const holderOf = new Map<string | null, string>(holders.map((row) => [row.external_id, row.id]));
  const now = tx.now.toISOString();
  const undone = changes.flatMap((change) => {
    const former = stored.get(change.lead_id);
    if (former?.version !== change.version) return [];
    const row = undo(former, change, scoring, now);
    // another lead has the external id now, and keeps it
    if ((holderOf.get(row.external_id) ?? row.id) !== row.id) row.external_id = former.external_id;
    return [{ row, former }];
  });
  const rows = undone.map(({ row }) => row);
  leadStore.update(tx, rows, importOvertaken);
  fields.release(
    tx,
    rows.filter((row) => row.deleted_at !== null).map((row) => row.id),
  );
  // what an import changed of unique values is as it was
  fields.store(
    tx,
    rows
      .filter((row) => row.deleted_at === null)
      .map((row) => ({ id: row.id, apart: fields.marksOf({ ...row }) })),
  );
  for (const { row, former } of undone) {
    const verb = row.deleted_at === null ? "updated" : "deleted";
    const changes = changesBetween(lead, former, row);
    about(tx, { kind: lead, verb, row, actorId: principal.userId, changes, fields });
  }
  forgetChanges(tx, ctx.params.importId, changes);
  return { undone: undone.length, kept: changes.length - undone.length, remaining: total - changes.length };
}

/** A lead the import made is deleted; one it changed gets its fields back and today's score for them. */
function undo(row: LeadRow, { before }: ImportChange, scoring: Scoring, now: string): LeadRow {
  const next = { version: row.version + 1, updated_at: now };
  if (before === null) return { ...row, ...next, deleted_at: now };
  return rescored({ ...before, ...next, import_id: row.import_id }, scoring);
}
