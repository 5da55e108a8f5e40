import { invalid } from "../../mixins/contract/errors.ts";
import { leadsCreated } from "../../mixins/process/metrics.ts";
import { fieldErrors } from "../../mixins/contract/field-errors.ts";
import { unknownUser } from "../../mixins/records/active-users.ts";
import { isRefusal, judged, refusal, type Refusal } from "../../mixins/records/bulk-items.ts";
import { newOwn } from "../../mixins/records/input.ts";
import { valueTaken } from "../../mixins/records/custom/custom.errors.ts";
import type { Apart } from "../../mixins/records/custom/values-apart.ts";
import { referencesOf, requireReferences } from "../../mixins/records/references.ts";
import { firstOwner } from "../../mixins/records/ownership.ts";
import { record, type Ctx, type Result } from "../contracts.ts";
import { leadFields, type Desk } from "./desk.ts";
import type { LeadRow } from "./lead-row.ts";
import { newLead, type LeadInput, type LeadView } from "./lead.schemas.ts";
import { externalIdTaken } from "./leads.errors.ts";
import { leadEvent } from "./leads.events.ts";
import { insertFreeLeads, insertLead } from "./leads.repository.ts";
import { composeLead, leads, normalise } from "./leads.rules.ts";
import { leadView } from "./leads.view.ts";
import { leadReferences } from "./lead-references.ts";
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
  const fields = await leadFields(ctx, desk);
  await fields.prepare(ctx, [given]);
  const { input, apart } = fields.accept(given, { isNew: true });
  const assignedTo = firstOwner(leads, principal, input.assignedTo);
  (await desk.quota.of(tx.organizationId)).take(1);
  await desk.users.require(ctx, assignedTo);
  const row = composeLead({ ...input, assignedTo }, newOwn(tx), settings.scoring);
  await assignByPools(ctx, settings.pools, [row], await desk.users.among(ctx, membersOf(settings.pools)));
  await requireReferences(tx, leadReferences(), principal, input, fields);
  insertLead(tx, row);
  fields.store(tx, [{ id: row.id, apart }]);
  record(tx, leadEvent("lead.created", row, principal.userId));
  tx.afterCommit(() => leadsCreated.inc({ origin: "api" }));
  return fields.showNew(leadView(row), apart);
}

/** Captures many leads in one transaction; each item is judged by itself, in order. */
export async function bulkCreate(
  ctx: Ctx<"leads.bulkCreate">,
  desk: Desk,
): Promise<Result<"leads.bulkCreate">> {
  const { principal, tx } = ctx.locals;
  const settings = await desk.settings.of(tx.organizationId);
  const fields = await leadFields(ctx, desk);
  const apartOf = new Map<string, Apart>();
  const parsed = ctx.params.items.map(judgeItem);
  await fields.prepare(
    ctx,
    parsed.filter((item): item is LeadInput => !isRefusal(item)),
  );
  const items = parsed.map((item) =>
    isRefusal(item) ? item : judged(() => fields.accept(item, { isNew: true })),
  );
  const active = await desk.users.among(
    ctx,
    new Set([...namedAssignees(items), ...membersOf(settings.pools)]),
  );
  const requireKnown = await referencesOf(
    desk.database.reader(tx.organizationId),
    leadReferences(),
    principal,
    items.flatMap((item) => (isRefusal(item) ? [] : [item.input])),
    fields,
  );
  const outcomes = items.map((item): LeadRow | Refusal => {
    if (isRefusal(item)) return item;
    return judged(() => {
      const { input, apart } = item;
      const assignedTo = firstOwner(leads, principal, input.assignedTo);
      if (assignedTo !== null && assignedTo !== principal.userId && !active.has(assignedTo))
        throw unknownUser("assignedTo");
      requireKnown(input);
      const row = composeLead({ ...input, assignedTo }, newOwn(tx), settings.scoring);
      if (apart.size > 0) apartOf.set(row.id, apart);
      return row;
    });
  });
  refuseRepeatedExternalIds(outcomes);
  const holders = () => [...apartOf].map(([id, apart]) => ({ id, apart }));
  const clashing = await fields.clashing(desk.database.reader(tx.organizationId), holders());
  for (const [index, outcome] of outcomes.entries())
    if (isRow(outcome) && clashing.has(outcome.id)) outcomes[index] = refusal(valueTaken({ name: "lead" }));
  const rows = outcomes.filter(isRow);
  (await desk.quota.of(tx.organizationId)).take(rows.length);
  await assignByPools(ctx, settings.pools, rows, active);
  const inserted = await insertFreeLeads(tx, rows);
  const created = rows.filter((row) => inserted.has(row.id));
  fields.store(
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

const namedAssignees = (items: readonly ({ input: LeadInput } | Refusal)[]): string[] =>
  items.flatMap((item) => (!isRefusal(item) && item.input.assignedTo ? [item.input.assignedTo] : []));

/** Of the items of one batch with the same external id the first stands. */
function refuseRepeatedExternalIds(outcomes: (LeadRow | Refusal)[]): void {
  const seen = new Set<string>();
  for (const [index, outcome] of outcomes.entries()) {
    if (!isRow(outcome) || outcome.external_id === null) continue;
    if (seen.has(outcome.external_id)) outcomes[index] = refusal(externalIdTaken());
    seen.add(outcome.external_id);
  }
}
