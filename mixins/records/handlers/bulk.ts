import { invalid } from "../../contract/errors.ts";
import { fieldErrors } from "../../contract/field-errors.ts";
import { unknownUser } from "../active-users.ts";
import { isRefusal, judged, refusal, type Refusal } from "../bulk-items.ts";
import { normalised } from "../changes.ts";
import { about, type Counter, type RecordContext } from "../desk.ts";
import type { AnyRow } from "../kind.ts";
import { firstOwner } from "../ownership.ts";
import { referencesOf } from "../references.ts";
import { externalIdTaken } from "../store.ts";
import { newRow } from "./crud.ts";

type Input = Readonly<Record<string, unknown>>;

/** Make many records in one transaction; each item is judged by itself, in order. */
export function bulkHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store, rules, desk } = counter;
  const { owner } = kind;
  return {
    async bulkCreate(ctx: RecordContext<{ items: unknown[] }>) {
      const { principal, tx } = ctx.locals;
      const inputs = ctx.params.items.map((item) =>
        judged((): Input => {
          const parsed = kind.newInput.safeParse(item);
          if (!parsed.success) throw invalid(fieldErrors(parsed.error));
          const input: Input = normalised(kind, parsed.data as Input);
          if (owner === undefined) return input;
          return {
            ...input,
            [owner]: firstOwner(kind, principal, input[owner] as string | null | undefined),
          };
        }),
      );
      const taken = inputs.filter((input): input is Input => !isRefusal(input));
      const named = owner === undefined ? [] : taken.map((input) => input[owner]);
      const active = await desk.users.among(ctx, new Set(named.filter((id) => typeof id === "string")));
      const prepared = (await rules.prepare?.(ctx, taken)) as P;
      const requireKnown = await referencesOf(tx, counter, principal, taken);
      const seen = new Set<unknown>();
      const outcomes = inputs.map((input): R | Refusal =>
        isRefusal(input)
          ? input
          : judged(() => {
              const user = owner === undefined ? null : (input[owner] as string | null);
              if (user !== null && user !== principal.userId && !active.has(user))
                throw unknownUser(owner ?? "");
              // of the items of one batch with the same external id the first stands
              if (input.externalId != null && seen.has(input.externalId)) throw externalIdTaken(kind);
              requireKnown(input);
              const row = newRow(counter, tx, input, prepared);
              seen.add(input.externalId);
              return row;
            }),
      );
      const rows = outcomes.filter((outcome): outcome is R => !isRefusal(outcome));
      const inserted = await store.insertFree(tx, rows);
      for (const row of rows) {
        if (!inserted.has(row.id)) continue;
        about(tx, { kind, verb: "created", row, actorId: principal.userId });
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
