import type { ScoringRule } from "../../entities/lead-settings.ts";
import { pageBytes } from "../../mixins/database/statement.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { CustomFields } from "../../mixins/records/finding/listing.ts";
import { changesBetween } from "../../mixins/records/writing/changes.ts";
import { enqueue, type JobCtx } from "../contracts.ts";
import type { Desk } from "./desk.ts";
import { lead, type LeadRow } from "../../entities/lead.ts";
import { about } from "../../mixins/records/writing/desk.ts";
import { leadStore } from "./leads.store.ts";
import { rescored, type Scoring } from "./leads.rules.ts";

const batchSize = 500;
/** After this long a pass goes on in another job, behind those of other organizations. */
const turnMs = 2000;
/** Longer than settings are cached and an action may last: nobody can write a score of older rules any more. */
const settleMs = 60_000;

/**
 * Sees to it that every lead gets the score of these rules: a pass at once, and one when captures that had read
 * the older rules have ended. Newer rules replace passes that have not begun.
 */
export function rescoreAll(tx: UnitOfWork, version: number): void {
  enqueue(tx, "leads.rescore", { version }, { key: "at once" });
  enqueue(tx, "leads.rescore", { version }, { key: "settled", delayMs: settleMs });
}

/**
 * Walks over the leads that have another score version, batch by batch, each in a transaction. Repeated, it passes over
 * those that are done; under rules that were replaced it ends, for they brought jobs of their own.
 */
export async function rescore(
  ctx: JobCtx<"leads.rescore">,
  parts: { desk: Pick<Desk, "database" | "settings">; onEvents: (organizationId: string) => void },
): Promise<void> {
  const { tx } = ctx.locals;
  const { organizationId } = tx;
  const { version } = ctx.params;
  const until = performance.now() + turnMs;
  let { after } = ctx.params;
  for (;;) {
    const from = after;
    const { defined } = await parts.desk.settings.of(organizationId);
    const step = await parts.desk.database.transaction({ organizationId }, (batch) =>
      rescoreNext(batch, version, from, defined),
    );
    if (step.isChanged) parts.onEvents(organizationId);
    if (step.next === undefined) return;
    after = step.next;
    if (performance.now() > until) {
      enqueue(tx, "leads.rescore", { version, after });
      return;
    }
  }
}

/** Rescores the next leads of a pass; none when the rules were replaced. `next` is where it goes on, if it does. */
async function rescoreNext(
  tx: UnitOfWork,
  version: number,
  after: string,
  definitions: CustomFields,
): Promise<{ isChanged: boolean; next: string | undefined }> {
  const [rules] = await tx.query<{ version: number; rules: ScoringRule[] }>({
    text: "SELECT version, rules FROM scoring_rules",
  });
  if (rules?.version !== version) return { isChanged: false, next: undefined };
  const { rows, isCut } = await tx.queryWithin<LeadRow>({
    text: `SELECT ${lead.columns.join(", ")} FROM leads
      WHERE scoring_version <> $1 AND id > $2 ORDER BY id LIMIT ${batchSize} FOR NO KEY UPDATE`,
    values: [version, after],
    mostBytes: pageBytes,
  });
  rescoreBatch(tx, rows, { ...rules, definitions });
  const hasMore = isCut || rows.length === batchSize;
  return { isChanged: tx.hasEvents, next: hasMore ? rows.at(-1)?.id : undefined };
}

/** Writes the new scores, and events for those that differ. */
function rescoreBatch(tx: UnitOfWork, rows: LeadRow[], rules: Scoring): void {
  const scored = rows.map((before) => {
    const row = rescored(before, rules);
    if (row.score === before.score) return row;
    return { ...row, version: before.version + 1, updated_at: tx.now.toISOString() };
  });
  const before = new Map(rows.map((row) => [row.id, row]));
  const changed = scored.filter((row) => row.score !== before.get(row.id)?.score);
  leadStore.update(tx, scored);
  followImports(tx, changed);
  for (const row of changed.filter((one) => one.deleted_at === null))
    about(tx, {
      ...{ kind: lead, verb: "updated", row, actorId: null },
      changes: changesBetween(lead, before.get(row.id) as LeadRow, row),
    });
}

/** A new score is nobody's work on the lead: its import may still be rolled back. */
function followImports(tx: UnitOfWork, rows: LeadRow[]): void {
  const imported = rows.filter((row) => row.import_id !== null);
  if (imported.length === 0) return;
  tx.defer({
    text: `UPDATE import_record_changes c SET version = l.version
      FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS l (import_id, id, version)
      WHERE c.import_id = l.import_id AND c.record_id = l.id AND c.version = l.version - 1`,
    values: [
      imported.map((row) => row.import_id),
      imported.map((row) => row.id),
      imported.map((row) => row.version),
    ],
  });
}
