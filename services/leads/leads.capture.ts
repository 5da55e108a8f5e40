import { invalid } from "../../mixins/contract/errors.ts";
import { leadsCreated } from "../../mixins/process/metrics.ts";
import { fieldErrors } from "../../mixins/contract/field-errors.ts";
import { unknownUser } from "../../mixins/records/active-users.ts";
import { isRefusal, judged, refusal, type Refusal } from "../../mixins/records/bulk-items.ts";
import { newOwn } from "../../mixins/records/input.ts";
import { firstOwner } from "../../mixins/records/ownership.ts";
import { record, type Ctx, type Result } from "../contracts.ts";
import type { Desk } from "./desk.ts";
import type { LeadRow } from "./lead-row.ts";
import { newLead, type LeadInput, type LeadView } from "./lead.schemas.ts";
import { externalIdTaken, sensitiveValueTaken } from "./leads.errors.ts";
import { leadEvent } from "./leads.events.ts";
import { insertFreeLeads, insertLead } from "./leads.repository.ts";
import { composeLead, leads, normalise } from "./leads.rules.ts";
import { leadView } from "./leads.view.ts";
import { SensitiveFields, type SensitiveValues } from "./sensitive-fields.ts";
import { assignByPools, membersOf } from "./pools.assignment.ts";

/**
 * Captures a lead. The hot path: with the settings at hand and no pool that wants the lead, everything travels
 * with COMMIT in one round trip, so a clash of external ids shows there (409 EXTERNAL_ID_TAKEN).
 */
export async function create(ctx: Ctx<"leads.create">, desk: Desk): Promise<LeadView> {
  const { principal, tx } = ctx.locals;
  const { input: given, problems } = normalise(ctx.params);
  if (problems.length > 0) throw invalid(problems);
  const settings = await desk.settings.of(tx.organizationId);
  const fields = await SensitiveFields.of(ctx, desk, settings);
  const { input, sensitive } = fields.split(given);
  const assignedTo = firstOwner(leads, principal, input.assignedTo);
  (await desk.quota.of(tx.organizationId)).take(1);
  await desk.users.require(ctx, assignedTo);
  const row = composeLead({ ...input, assignedTo }, newOwn(tx), settings.scoring);
  await assignByPools(ctx, settings.pools, [row], await desk.users.among(ctx, membersOf(settings.pools)));
  insertLead(tx, row);
  record(tx, leadEvent("lead.created", row, principal.userId));
  tx.afterCommit(() => leadsCreated.inc({ origin: "api" }));
  if (sensitive.size === 0) return leadView(row);
  await fields.store(tx, [{ id: row.id, sensitive }]);
  return fields.showOne(tx, leadView(row));
}

/** Captures many leads in one transaction; each item is judged by itself, in order. */
export async function bulkCreate(
  ctx: Ctx<"leads.bulkCreate">,
  desk: Desk,
): Promise<Result<"leads.bulkCreate">> {
  const { principal, tx } = ctx.locals;
  const settings = await desk.settings.of(tx.organizationId);
  const fields = await SensitiveFields.of(ctx, desk, settings);
  const sensitiveOf = new Map<string, SensitiveValues>();
  const items = ctx.params.items.map(judgeItem);
  const active = await desk.users.among(
    ctx,
    new Set([...namedAssignees(items), ...membersOf(settings.pools)]),
  );
  const outcomes = items.map((item): LeadRow | Refusal => {
    if (isRefusal(item)) return item;
    return judged(() => {
      const assignedTo = firstOwner(leads, principal, item.assignedTo);
      if (assignedTo !== null && assignedTo !== principal.userId && !active.has(assignedTo))
        throw unknownUser("assignedTo");
      const { input, sensitive } = fields.split(item);
      const row = composeLead({ ...input, assignedTo }, newOwn(tx), settings.scoring);
      if (sensitive.size > 0) sensitiveOf.set(row.id, sensitive);
      return row;
    });
  });
  refuseRepeatedExternalIds(outcomes);
  const holders = () => [...sensitiveOf].map(([id, sensitive]) => ({ id, sensitive }));
  const clashing = await fields.clashing(desk.database.reader(tx.organizationId), holders());
  for (const [index, outcome] of outcomes.entries())
    if (isRow(outcome) && clashing.has(outcome.id)) outcomes[index] = refusal(sensitiveValueTaken());
  const rows = outcomes.filter(isRow);
  (await desk.quota.of(tx.organizationId)).take(rows.length);
  await assignByPools(ctx, settings.pools, rows, active);
  const inserted = await insertFreeLeads(tx, rows);
  const created = rows.filter((row) => inserted.has(row.id));
  await fields.store(
    tx,
    holders().filter(({ id }) => inserted.has(id)),
  );
  for (const row of created) record(tx, leadEvent("lead.created", row, principal.userId));
  tx.afterCommit(() => leadsCreated.inc({ origin: "bulk" }, created.length));
  return {
    results: outcomes.map((outcome, index) => {
      if (!isRow(outcome)) return { index, ...outcome };
      if (inserted.has(outcome.id)) return { index, status: 201, id: outcome.id };
      return { index, ...refusal(externalIdTaken()) };
    }),
  };
}

const isRow = (outcome: LeadRow | Refusal): outcome is LeadRow => "version" in outcome;

/** An item as valid input, or why it is none. */
function judgeItem(item: unknown): LeadInput | Refusal {
  return judged(() => {
    const parsed = newLead.safeParse(item);
    if (!parsed.success) throw invalid(fieldErrors(parsed.error));
    const { input, problems } = normalise(parsed.data);
    if (problems.length > 0) throw invalid(problems);
    return input;
  });
}

const namedAssignees = (items: (LeadInput | Refusal)[]): string[] =>
  items.flatMap((item) => ("assignedTo" in item && item.assignedTo ? [item.assignedTo] : []));

/** Of the items of one batch with the same external id the first stands. */
function refuseRepeatedExternalIds(outcomes: (LeadRow | Refusal)[]): void {
  const seen = new Set<string>();
  for (const [index, outcome] of outcomes.entries()) {
    if (!isRow(outcome) || outcome.external_id === null) continue;
    if (seen.has(outcome.external_id)) outcomes[index] = refusal(externalIdTaken());
    seen.add(outcome.external_id);
  }
}
