import { invalid } from "../../contract/errors.ts";
import { fieldErrors } from "../../contract/field-errors.ts";
import { unknownUser } from "../writing/active-users.ts";
import { isRefusal, judged, refusal, type Refusal } from "../writing/bulk-items.ts";
import { composeRecord, normalised } from "../writing/changes.ts";
import { valueTaken } from "../custom/custom.errors.ts";
import { about, type Counter, type RecordContext } from "../writing/desk.ts";
import type { AnyRow } from "../kind/kind.ts";
import { newOwn } from "../writing/input.ts";
import { firstOwner } from "../writing/ownership.ts";
import { permitted } from "../kind/part-rights.ts";
import { referencesOf } from "../writing/references.ts";
import { externalIdTaken, partTaken } from "../writing/store.ts";
import { fieldsOf, readerOf, type Accepted } from "./crud.ts";

type Input = Readonly<Record<string, unknown>>;
/** An item that may be made. */
interface Fresh<R> extends Accepted {
  id: string;
  row: R;
}

/** Make many records in one transaction; each item is judged by itself, in order. */
export function bulkHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store, rules, desk } = counter;
  const { owner } = kind;
  return {
    async bulkCreate(ctx: RecordContext<{ items: unknown[] }>) {
      const { principal, tx } = ctx.locals;
      const fields = await fieldsOf(counter, ctx);
      const parsed = ctx.params.items.map((item) => kind.newInput.safeParse(item));
      await fields.prepare(
        ctx,
        parsed.flatMap(({ data }) => (data === undefined ? [] : [data as Input])),
      );
      const items = parsed.map((one) =>
        judged((): Accepted => {
          if (!one.success) throw invalid(fieldErrors(one.error));
          const { input: given, apart } = fields.accept(one.data as Input, { isNew: true });
          const input: Input = permitted(kind, principal, normalised(kind, given, fields.country));
          if (owner === undefined) return { input, apart };
          const first = firstOwner(kind, principal, input[owner] as string | null | undefined);
          return { input: { ...input, [owner]: first }, apart };
        }),
      );
      const taken = items.flatMap((one) => (isRefusal(one) ? [] : [one.input]));
      const named = owner === undefined ? [] : taken.map((input) => input[owner]);
      const active = await desk.users.among(ctx, new Set(named.filter((id) => typeof id === "string")));
      const seen = new Set<unknown>();
      const outcomes = items.map((item): Fresh<R> | Refusal =>
        isRefusal(item)
          ? item
          : judged(() => {
              const { input } = item;
              const user = owner === undefined ? null : (input[owner] as string | null);
              if (user !== null && user !== principal.userId && !active.has(user))
                throw unknownUser(owner ?? "");
              // of the items of one batch with the same external id the first stands
              if (input.externalId != null && seen.has(input.externalId)) throw externalIdTaken(kind);
              const row = composeRecord<R>(kind, input, newOwn(tx));
              seen.add(input.externalId);
              return { ...item, row, id: row.id };
            }),
      );
      const refuse = (why: (item: Fresh<R>) => void) => {
        for (const [index, outcome] of outcomes.entries())
          if (!isRefusal(outcome))
            outcomes[index] = judged(() => {
              why(outcome);
              return outcome;
            });
      };
      const isFresh = (outcome: Fresh<R> | Refusal): outcome is Fresh<R> => !isRefusal(outcome);
      const freshRows = () => outcomes.filter(isFresh).map(({ row }) => row);
      const inputs = () => outcomes.filter(isFresh).map(({ input }) => input);
      // what is prepared comes after, for those alone that nothing is known against; what others do meanwhile is seen below
      const reader = readerOf(counter, tx);
      const clashing = await fields.clashing(reader, outcomes.filter(isFresh));
      const known = await store.takenExternalIds(reader, inputs());
      const partsTaken = await store.partsTaken(reader, freshRows(), principal);
      const refers = await referencesOf(reader, counter, principal, inputs(), fields);
      refuse(({ id, input }) => {
        if (clashing.has(id)) throw valueTaken(kind);
        if (known.has(input.externalId)) throw externalIdTaken(kind);
        const taken = partsTaken.get(id);
        if (taken) throw taken;
        refers(input);
      });
      (await desk.quota.of(tx.organizationId, kind)).take(freshRows().length);
      const prepared = (await rules.prepare?.(ctx, freshRows())) as P;
      const requireKnown = await referencesOf(tx, counter, principal, inputs(), fields);
      refuse((item) => {
        requireKnown(item.input);
        item.row = rules.complete?.(item.row, prepared) ?? item.row;
      });
      const unclaimed = await store.claimParts(tx, freshRows());
      const holders = unclaimed.size === 0 ? undefined : await store.partsTaken(tx, freshRows(), principal);
      refuse(({ id }) => {
        // of two items of one batch the first has it
        if (unclaimed.has(id)) throw holders?.get(id) ?? partTaken(kind);
      });
      const fresh = outcomes.filter(isFresh);
      const inserted = await store.insertFree(
        tx,
        fresh.map(({ row }) => row),
        principal,
      );
      store.giveUpParts(
        tx,
        fresh.flatMap(({ id }) => (inserted.has(id) ? [] : [id])),
      );
      const made = fresh.filter(({ id }) => inserted.has(id));
      fields.store(tx, made);
      for (const { row } of made) {
        about(tx, { kind, verb: "created", row, actorId: principal.userId, fields });
        await rules.also?.(tx, null, { row, changes: {} }, prepared);
      }
      return {
        results: outcomes.map((outcome, index) => {
          if (isRefusal(outcome)) return { index, ...outcome };
          if (inserted.has(outcome.id)) return { index, status: 201, id: outcome.id };
          return { index, ...refusal(externalIdTaken(kind)) };
        }),
      };
    },
  };
}
