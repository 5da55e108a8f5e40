import { NIL } from "uuid";
import { invalidField } from "../../contract/errors.ts";
import { newId } from "../../database/new-id.ts";
import { requirePermission } from "../../access/principal.ts";
import { loopsOf } from "../writing/ancestors.ts";
import { isRefusal, judged } from "../writing/bulk-items.ts";
import type { Condition } from "../conditions/condition.ts";
import type { CallFields } from "../custom/of-call.ts";
import type { Counter, RecordContext } from "../writing/desk.ts";
import type { AnyRow } from "../kind/kind.ts";
import { allMatching, matchConditions, Values } from "../finding/listing.ts";
import {
  findOperation,
  insertOperation,
  isOver,
  mostErrors,
  operationNotFound,
  sealedWork,
  storeProgress,
  workOf,
  type OperationRow,
  type Selection,
} from "../writing/operations.ts";
import { requireReferences } from "../writing/references.ts";
import {
  accepted,
  changeOf,
  fieldsOf,
  visibleTo,
  writeChanges,
  writeDeletions,
  type Written,
} from "./crud.ts";

type Input = Readonly<Record<string, unknown>>;
/** Records a step looks at, in one transaction. */
const stepSize = 200;

interface Begin {
  where?: Condition | undefined;
  ids?: string[] | undefined;
  dryRun: boolean;
}
interface TagChange {
  add?: string[];
  remove?: string[];
}

/** Change or delete many records by a condition or by their ids, as work that goes on; see services/records for its job. */
export function operationHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, rules, desk } = counter;

  async function begin(
    ctx: RecordContext<Begin>,
    fields: CallFields,
    { verb, changes }: Pick<OperationRow, "verb" | "changes">,
    requireFit: () => Promise<void> = () => Promise.resolve(),
  ): Promise<unknown> {
    const { principal, tx } = ctx.locals;
    const { where, ids, dryRun } = ctx.params;
    if (principal.userId === null) throw invalidField("where", "user_needed", "can only be asked by a user");
    const cipher = await desk.keys.of(tx.organizationId);
    const selection: Selection = { where, ids, timeZone: tx.timeZone };
    if (where) await fields.requireKnown(counter.desk.database.reader(tx.organizationId), { where });
    await requireFit();
    const values = new Values();
    const conditions = conditionsOf(counter, ctx, fields, selection, values);
    const [counted] = await tx.query<{ matched: number; last: string | null }>({
      text: `SELECT count(*)::int AS matched, max(id::text) AS last FROM ${kind.plural} WHERE ${conditions.join(" AND ")}`,
      values: values.list,
    });
    const matched = counted?.matched ?? 0;
    if (dryRun) return { matched };
    const operationId = newId();
    const saysSensitive = fields.saysSensitive(changes, where);
    const { id, status } = insertOperation(tx, {
      ...{ id: operationId, kind: kind.name, verb, started_by: principal.userId, total: matched },
      ...sealedWork(operationId, { selection, changes }, saysSensitive ? cipher : undefined),
      // what is made from now on, it does not reach
      until_id: counted?.last ?? NIL,
    });
    tx.enqueue({ task: "records.runOperation", payload: { operationId: id }, key: id });
    return { id, status };
  }

  return {
    async bulkUpdate(ctx: RecordContext<Begin & { changes: Input }>) {
      const { changes } = ctx.params;
      const { input } = split(changes);
      if (Object.keys(changes).length === 0)
        throw invalidField("changes", "too_small", "must change something");
      // what is wrong with it is said now, not of each record
      const fields = await fieldsOf(counter, ctx);
      const given = await accepted(counter, ctx, fields, input, { isNew: false });
      const [unique] = fields.uniqueIn(given.apart);
      if (unique !== undefined)
        throw invalidField(
          `changes.customFields.${unique}`,
          "unique",
          "is unique: only one record can have a value",
        );
      const { tx, principal } = ctx.locals;
      return begin(ctx, fields, { verb: "update", changes }, () =>
        requireReferences(tx, counter, principal, given.input, fields),
      );
    },
    async bulkRemove(ctx: RecordContext<Begin>) {
      return begin(ctx, await fieldsOf(counter, ctx), { verb: "delete", changes: {} });
    },

    /**
     * The next step of an operation, as whoever began it: what they may not see or change any more stays as it is. The checkpoint
     * moves in the transaction that writes the records, so that a step that is repeated does nothing twice.
     */
    async applyOperation(ctx: RecordContext<{ operationId: string }>) {
      const { principal, tx } = ctx.locals;
      const { operationId } = ctx.params;
      const seen = await findOperation(counter.desk.database.reader(tx.organizationId), operationId);
      if (!seen) throw operationNotFound();
      if (isOver(seen)) return { isOver: true };
      requirePermission(principal, `${kind.plural}:${seen.verb}`);
      const { selection, changes } = workOf(seen, await desk.keys.of(tx.organizationId));
      const { input, tags } = split(changes);
      const fields = await fieldsOf(counter, ctx);
      const { input: taken, apart } = await accepted(counter, ctx, fields, input, { isNew: false });
      const prepared = (await rules.prepare?.(ctx, [], [taken])) as P;
      const operation = await findOperation(tx, operationId, true);
      if (!operation || isOver(operation)) return { isOver: true };
      await requireReferences(tx, counter, principal, taken, fields);
      const requireNoLoop = await loopsOf(tx, kind, taken);
      const rows = await nextRows<R>(counter, ctx, fields, selection, operation);
      const writing = { tx, principal, fields };
      const errors = [...operation.errors];
      const written: Written<R>[] = [];
      let failed = 0;
      for (const before of operation.verb === "delete" ? [] : rows) {
        const change = judged(() => {
          requireNoLoop(before.id);
          const given = { input: withTags(taken, tags, before), apart };
          return changeOf(counter, writing, before, given, prepared);
        });
        if (change === null) continue;
        if (!isRefusal(change)) {
          written.push({ before, change });
          continue;
        }
        failed += 1;
        const { code, detail } = change.error;
        if (errors.length < mostErrors) errors.push({ id: before.id, code, detail });
      }
      await writeChanges(counter, writing, written, apart, prepared);
      if (operation.verb === "delete") writeDeletions(counter, writing, rows);
      const isLast = rows.length < stepSize;
      storeProgress(tx, operation, {
        status: isLast ? "completed" : "running",
        after_id: rows.at(-1)?.id ?? operation.after_id,
        processed: operation.processed + rows.length,
        failed: operation.failed + failed,
        errors,
      });
      return { isOver: isLast };
    },
  };
}

/** Changes of a record's fields, and those of its tags that depend on which it has. */
function split({ tags, ...input }: Input): { input: Input; tags?: TagChange } {
  if (tags === undefined) return { input };
  return Array.isArray(tags) ? { input: { ...input, tags } } : { input, tags: tags as TagChange };
}

function withTags(input: Input, tags: TagChange | undefined, before: AnyRow): Input {
  if (!tags) return input;
  const { add = [], remove = [] } = tags;
  const had = before.tags as string[];
  const wanted = new Set([...had, ...add].map((tag) => tag.normalize("NFC")));
  for (const tag of remove) wanted.delete(tag.normalize("NFC"));
  return { ...input, tags: [...wanted] };
}

/** @throws 422 where the condition does not fit the organization's fields */
export function conditionsOf(
  counter: Pick<Counter, "kind">,
  { locals: { principal } }: Pick<RecordContext, "locals">,
  fields: CallFields,
  { where, ids, timeZone }: Selection,
  values: Values,
): string[] {
  return [
    ...visibleTo(counter, principal)(values),
    ...(ids ? [`id = ANY (${values.add(ids)}::uuid[])`] : []),
    ...(where
      ? allMatching(
          matchConditions(fields.listing(counter.kind.listing, { where }), { where }, values, timeZone),
        )
      : []),
  ];
}

/** The records that come next, in the order of their ids: none can be made that stands before. */
async function nextRows<R extends AnyRow>(
  counter: Pick<Counter, "kind">,
  ctx: Pick<RecordContext, "locals">,
  fields: CallFields,
  selection: Selection,
  { after_id: after, until_id: until }: OperationRow,
): Promise<R[]> {
  const values = new Values();
  const conditions = conditionsOf(counter, ctx, fields, selection, values);
  if (after !== null) conditions.push(`id > ${values.add(after)}`);
  if (until !== null) conditions.push(`id <= ${values.add(until)}`);
  const { plural, columns } = counter.kind;
  return ctx.locals.tx.query<R>({
    text: `SELECT ${columns.join(", ")} FROM ${plural} WHERE ${conditions.join(" AND ")}
      ORDER BY id LIMIT ${stepSize} FOR NO KEY UPDATE`,
    values: values.list,
  });
}
