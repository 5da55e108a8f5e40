import { conflict } from "../../contract/errors.ts";
import { canSee } from "../../access/principal.ts";
import { loopsOf } from "../ancestors.ts";
import { changeRecord } from "../changes.ts";
import { about, type Counter, type RecordContext } from "../desk.ts";
import { givenFields, requireVersion } from "../input.ts";
import type { AnyKind, AnyRow } from "../kind.ts";
import { columnOf } from "../listing.ts";
import { requireReferences } from "../references.ts";
import { externalIdTaken, notFound } from "../store.ts";
import { accepted, newRow, storeChange } from "./crud.ts";

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
      const { externalId } = ctx.params;
      const found = await store.findByExternalId(tx, externalId);
      if (!found) await store.requireNotMerged(tx, principal, externalId);
      return kind.show(store.visible(principal, found));
    },
    /** Of two at once the second changes what the first made. */
    async upsert(ctx: RecordContext<ByExternalId>) {
      const { principal, tx } = ctx.locals;
      const { externalId, expectedVersion } = ctx.params;
      const given = { ...givenFields(ctx.params), externalId };
      const input = await accepted(counter, ctx, given, { isNew: true });
      const prepared = (await rules.prepare?.(ctx, [input])) as P;
      const fresh = newRow(counter, tx, input, prepared);
      let before = await store.findByExternalId(tx, externalId, true);
      await requireReferences(tx, counter, principal, input);
      if (!before) await store.requireNotMerged(tx, principal, externalId);
      if (!before && expectedVersion === undefined) {
        if ((await store.insertFree(tx, [fresh])).has(fresh.id)) {
          about(tx, { kind, verb: "created", row: fresh, actorId: principal.userId });
          await rules.also?.(tx, null, { row: fresh, changes: {} }, prepared);
          ctx.locals.isNew = true;
          return kind.show(fresh);
        }
        before = await store.findByExternalId(tx, externalId, true);
      }
      if (!before) throw notFound(kind);
      store.visible(principal, before);
      requireVersion(before, expectedVersion);
      // whose it is stays, unless somebody is named
      const { owner = "" } = kind;
      const wanted = owner in given ? input : { ...input, [owner]: undefined };
      (await loopsOf(tx, kind, input))(before.id);
      const change = changeRecord(kind, before, wanted, tx.now.toISOString());
      return kind.show(
        change ? await storeChange(counter, { tx, principal }, before, change, prepared) : before,
      );
    },
  };
}

const isMerged = ({ name }: AnyKind) =>
  conflict("IS_MERGED", `The ${name} is part of another now; undo the merge instead.`);

/** Bring deleted records back. */
export function restoreHandlers<R extends AnyRow>({ kind, store }: Counter<R, never>) {
  return {
    /** @throws 409 EXTERNAL_ID_TAKEN naming who has it, where another record took its external id meanwhile */
    async restore(ctx: RecordContext<{ id: string }>) {
      const { principal, tx } = ctx.locals;
      const before = await store.lockAny(tx, principal, ctx.params.id);
      if (before.deleted_at === null) return kind.show(before);
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
      return kind.show(row);
    },
  };
}
