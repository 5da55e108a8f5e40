import { invalid } from "../../contract/errors.ts";
import { fieldErrors } from "../../contract/field-errors.ts";
import { unknownUser } from "../active-users.ts";
import { isRefusal, judged, refusal, type Refusal } from "../bulk-items.ts";
import { normalised } from "../changes.ts";
import { valueTaken } from "../custom/custom.errors.ts";
import type { Apart } from "../custom/values-apart.ts";
import { about, type Counter, type RecordContext } from "../desk.ts";
import type { AnyRow } from "../kind.ts";
import { firstOwner } from "../ownership.ts";
import { referencesOf } from "../references.ts";
import { externalIdTaken } from "../store.ts";
import { fieldsOf, newRow, type Accepted } from "./crud.ts";

type Input = Readonly<Record<string, unknown>>;

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
      const inputs = parsed.map((one) =>
        judged((): Accepted => {
          if (!one.success) throw invalid(fieldErrors(one.error));
          const { input: given, apart } = fields.accept(one.data as Input, { isNew: true });
          const input: Input = normalised(kind, given);
          if (owner === undefined) return { input, apart };
          const first = firstOwner(kind, principal, input[owner] as string | null | undefined);
          return { input: { ...input, [owner]: first }, apart };
        }),
      );
      const taken = inputs.flatMap((one) => (isRefusal(one) ? [] : [one.input]));
      const named = owner === undefined ? [] : taken.map((input) => input[owner]);
      const active = await desk.users.among(ctx, new Set(named.filter((id) => typeof id === "string")));
      const prepared = (await rules.prepare?.(ctx, taken)) as P;
      const requireKnown = await referencesOf(tx, counter, principal, taken, fields);
      const seen = new Set<unknown>();
      const apartOf = new Map<string, Apart>();
      const outcomes = inputs.map((one): R | Refusal =>
        isRefusal(one)
          ? one
          : judged(() => {
              const { input, apart } = one;
              const user = owner === undefined ? null : (input[owner] as string | null);
              if (user !== null && user !== principal.userId && !active.has(user))
                throw unknownUser(owner ?? "");
              // of the items of one batch with the same external id the first stands
              if (input.externalId != null && seen.has(input.externalId)) throw externalIdTaken(kind);
              requireKnown(input);
              const row = newRow(counter, tx, input, prepared);
              seen.add(input.externalId);
              if (apart.size > 0) apartOf.set(row.id, apart);
              return row;
            }),
      );
      const holders = [...apartOf].map(([id, apart]) => ({ id, apart }));
      const clashing = await fields.clashing(tx, holders);
      for (const [index, outcome] of outcomes.entries())
        if (!isRefusal(outcome) && clashing.has(outcome.id)) outcomes[index] = refusal(valueTaken(kind));
      const rows = outcomes.filter((outcome): outcome is R => !isRefusal(outcome));
      const inserted = await store.insertFree(tx, rows);
      fields.store(
        tx,
        holders.filter(({ id }) => inserted.has(id)),
      );
      for (const row of rows) {
        if (!inserted.has(row.id)) continue;
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
