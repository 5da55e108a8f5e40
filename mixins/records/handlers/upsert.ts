import { conflict } from "../../contract/errors.ts";
import { canSee } from "../../access/principal.ts";
import { composeRecord } from "../changes.ts";
import { showOne, valuesOf } from "../values.ts";
import { about, type Counter, type RecordContext } from "../desk.ts";
import { givenFields, newOwn, requireVersion } from "../input.ts";
import type { AnyKind, AnyRow } from "../kind.ts";
import { columnOf } from "../listing.ts";
import { requireReferences } from "../references.ts";
import { externalIdTaken, notFound } from "../store.ts";
import { accepted, changeOf, storeChange } from "./crud.ts";

type ByExternalId = Readonly<Record<string, unknown>> & {
  externalId: string;
  expectedVersion?: number | undefined;
};

/** Find, make or change a record by the id that it has elsewhere. */
export function upsertHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store, rules } = counter;
  return {
    async getByExternalId(ctx: RecordContext<{ externalId: string }>) {
      const { principal, tx } = ctx.locals;
      const values = await valuesOf(counter, ctx);
      const found = await store.findByExternalId(tx, ctx.params.externalId);
      return showOne(counter, values, tx, store.visible(principal, found));
    },
    /** Of two at once the second changes what the first made. */
    async upsert(ctx: RecordContext<ByExternalId>) {
      const { principal, tx } = ctx.locals;
      const { externalId, expectedVersion } = ctx.params;
      const given = { ...givenFields(ctx.params), externalId };
      const values = await valuesOf(counter, ctx);
      const { input, apart } = values.split(await accepted(counter, ctx, given, { isNew: true }));
      const composed = composeRecord<R>(kind, input, newOwn(tx));
      const prepared = (await rules.prepare?.(ctx, [composed])) as P;
      const fresh = rules.complete?.(composed, prepared) ?? composed;
      let before = await store.findByExternalId(tx, externalId, true);
      await requireReferences(tx, counter, principal, input);
      if (!before && expectedVersion === undefined) {
        if ((await store.insertFree(tx, [fresh])).has(fresh.id)) {
          about(tx, { kind, verb: "created", row: fresh, actorId: principal.userId });
          await rules.also?.(tx, null, { row: fresh, changes: {} }, prepared);
          ctx.locals.isNew = true;
          await values.store(tx, [{ id: fresh.id, apart }]);
          return showOne(counter, values, tx, fresh);
        }
        before = await store.findByExternalId(tx, externalId, true);
      }
      if (!before) throw notFound(kind);
      store.visible(principal, before);
      requireVersion(before, expectedVersion);
      // whose it is stays, unless somebody is named
      const { owner = "" } = kind;
      const wanted = owner in given ? input : { ...input, [owner]: undefined };
      const change = changeOf(kind, before, { input: wanted, apart, now: tx.now.toISOString() });
      const row = change ? await storeChange(counter, ctx.locals, before, change, prepared) : before;
      await values.store(tx, [{ id: row.id, apart }]);
      return showOne(counter, values, tx, row);
    },
  };
}

const isMerged = ({ name }: AnyKind) =>
  conflict("IS_MERGED", `The ${name} is part of another now; undo the merge instead.`);

/** Bring deleted records back. */
export function restoreHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store, rules } = counter;
  return {
    /** @throws 409 EXTERNAL_ID_TAKEN naming who has it, where another record took its external id meanwhile */
    async restore(ctx: RecordContext<{ id: string }>) {
      const { principal, tx } = ctx.locals;
      const values = await valuesOf(counter, ctx);
      const prepared = (await rules.prepare?.(ctx, [])) as P;
      const before = await store.lockAny(tx, principal, ctx.params.id);
      if (before.deleted_at === null) return showOne(counter, values, tx, before);
      if (before.merged_into !== null) throw isMerged(kind);
      const externalId = before.external_id as string | null | undefined;
      const other = externalId == null ? undefined : await store.findByExternalId(tx, externalId);
      if (other) {
        const assignedTo = kind.owner === undefined ? null : (other[columnOf(kind.owner)] as string | null);
        throw externalIdTaken(kind, canSee(principal, { assignedTo }) ? other.id : undefined);
      }
      const row = {
        ...before,
        deleted_at: null,
        updated_at: tx.now.toISOString(),
        version: before.version + 1,
      };
      store.update(tx, [row]);
      about(tx, { kind, verb: "restored", row, actorId: principal.userId });
      await rules.also?.(tx, before, { row, changes: {} }, prepared);
      return showOne(counter, values, tx, row);
    },
  };
}
