import { conflict, invalidField } from "../../contract/errors.ts";
import { isVisible } from "../../access/visibility.ts";
import { loopsOf } from "../writing/ancestors.ts";
import { changesBetween, composeRecord, isIdentified, nextVersion } from "../writing/changes.ts";
import { about, type Counter, type RecordContext } from "../writing/desk.ts";
import { givenFields, newOwn, requireVersion } from "../writing/input.ts";
import { unidentified, type AnyKind, type AnyRow } from "../kind/kind.ts";
import { requireReferences } from "../writing/references.ts";
import { externalIdTaken, notFound } from "../writing/store.ts";
import { fieldsOf, ownAccepted, readerOf, storeChange } from "./crud.ts";

type ByExternalId = Readonly<Record<string, unknown>> & {
  externalId: string;
  expectedVersion?: number | undefined;
};

/** Find, make or change a record by the id that it has elsewhere. */
export function upsertHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store, rules, desk } = counter;
  return {
    async getByExternalId(ctx: RecordContext<{ externalId: string }>) {
      const { principal, tx } = ctx.locals;
      const fields = await fieldsOf(counter, ctx);
      const { externalId } = ctx.params;
      const found = await store.findByExternalId(tx, externalId);
      if (!found) await store.requireNotMerged(tx, principal, externalId);
      return fields.showOne(tx, kind.show(store.visible(principal, found)));
    },
    /** Of two at once the second changes what the first made. */
    async upsert(ctx: RecordContext<ByExternalId>) {
      const { principal, tx } = ctx.locals;
      const { externalId, expectedVersion } = ctx.params;
      const given = { ...givenFields(ctx.params), externalId };
      const fields = await fieldsOf(counter, ctx);
      await fields.prepare(ctx, [given]);
      // of a record that is there nothing is required that is not given, and it gets no defaults
      const known = fields.accept(given, { isNew: false });
      const input = await ownAccepted(counter, ctx, fields, known.input, { isNew: true });
      const own = newOwn(tx);
      const isExpected = expectedVersion !== undefined;
      const composed = composeRecord<R>(kind, input, own);
      if (rules.prepareUpsert)
        await requireReferences(readerOf(counter, tx), counter, principal, input, fields);
      const room = await desk.quota.of(tx.organizationId, kind);
      const prepared = (await (rules.prepareUpsert
        ? rules.prepareUpsert(ctx, composed, isExpected)
        : rules.prepare?.(ctx, [composed]))) as P;
      let before = await store.findByExternalId(tx, externalId, true);
      await requireReferences(tx, counter, principal, input, fields, before);
      if (!before) await store.requireNotMerged(tx, principal, externalId);
      if (!before && !isExpected) {
        rules.requireNew?.(prepared, [composed]);
        room.take(1);
        const { input: whole, apart } = fields.accept(given, { isNew: true });
        const { customFields } = whole as { customFields?: unknown };
        const completed = composeRecord<R>(kind, { ...input, customFields }, own);
        const fresh = rules.complete?.(completed, prepared) ?? completed;
        if ((await store.insertFree(tx, [fresh], principal)).has(fresh.id)) {
          fields.store(tx, [{ id: fresh.id, apart }]);
          about(tx, { kind, verb: "created", row: fresh, actorId: principal.userId, fields });
          await rules.also?.(tx, null, { row: fresh, changes: {} }, prepared);
          ctx.locals.isNew = true;
          return fields.showNew(kind.show(fresh), apart);
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
      const change = { input: wanted, apart: known.apart };
      return storeChange(counter, { tx, principal, fields }, before, change, prepared);
    },
  };
}

const isMerged = ({ name }: AnyKind) =>
  conflict("IS_MERGED", `The ${name} is part of another now; undo the merge instead.`);

/** Bring deleted records back. */
export function restoreHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store, rules, desk } = counter;
  return {
    /** @throws 422 for one that was erased; 403 QUOTA_EXCEEDED; 409 EXTERNAL_ID_TAKEN, VALUE_TAKEN naming who has it, where another record took what is unique meanwhile */
    async restore(ctx: RecordContext<{ id: string }>) {
      const { principal, tx } = ctx.locals;
      const fields = await fieldsOf(counter, ctx);
      const room = await desk.quota.of(tx.organizationId, kind);
      const prepared = (await rules.prepare?.(ctx, [])) as P;
      const before = await store.lockAny(tx, principal, ctx.params.id);
      if (before.deleted_at === null) return fields.showOne(tx, kind.show(before));
      if (before.merged_into !== null) throw isMerged(kind);
      if (!isIdentified(kind, before))
        throw invalidField("", unidentified, `nothing is left of the ${kind.name}: it was erased`);
      const externalId = before.external_id as string | null | undefined;
      const other = externalId == null ? undefined : await store.findByExternalId(tx, externalId);
      if (other) {
        throw externalIdTaken(kind, isVisible(principal, kind.owners, other) ? other.id : undefined);
      }
      room.take(1);
      const back = nextVersion(before, tx.now.toISOString(), { deleted_at: null });
      const row = rules.restored?.(back, prepared) ?? back;
      const changes = changesBetween(kind, before, row);
      store.update(tx, [row], undefined, principal);
      await fields.claim(tx, [row.id]);
      const isAsItWas = Object.keys(changes).length === 0;
      about(tx, {
        ...{ kind, verb: "restored", row, actorId: principal.userId, fields },
        ...(!isAsItWas && { changes }),
      });
      await rules.also?.(tx, before, { row, changes }, prepared);
      return fields.showOne(tx, kind.show(row));
    },
  };
}
