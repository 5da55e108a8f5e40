import { errorType, invalid, type appError, type FieldError } from "../../contract/errors.ts";
import { fieldErrors } from "../../contract/field-errors.ts";
import { unknownUser } from "../active-users.ts";
import { normalised } from "../changes.ts";
import { about, firstOwner, type Counter, type RecordContext } from "../desk.ts";
import type { AnyRow } from "../kind.ts";
import { requireReferences } from "../references.ts";
import { externalIdTaken } from "../store.ts";
import { newRow } from "./crud.ts";

const mostErrorsOfItem = 10;

/** Why an item of a batch was not taken, as the API says it. */
export interface Refusal {
  status: number;
  error: { code: string; detail: string; errors?: FieldError[] };
}
type Input = Readonly<Record<string, unknown>>;
const isRefusal = (item: Input | AnyRow | Refusal): item is Refusal => "error" in item && "status" in item;

export function refusal({ code, type, message, data }: ReturnType<typeof appError>): Refusal {
  // a batch of a thousand bad items must not be answered with megabytes
  const errors = (data as { errors?: FieldError[] } | undefined)?.errors?.slice(0, mostErrorsOfItem);
  return { status: code, error: { code: type, detail: message, ...(errors && { errors }) } };
}
/** What `judge` makes of an item, or why it refuses it. */
async function judged<T>(judge: () => T | Promise<T>): Promise<T | Refusal> {
  try {
    return await judge();
  } catch (error) {
    if (errorType(error) === undefined) throw error;
    return refusal(error as ReturnType<typeof appError>);
  }
}

/** Make many records in one transaction; each item is judged by itself, in order. */
export function bulkHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, store, rules, desk } = counter;
  return {
    async bulkCreate(ctx: RecordContext<{ items: unknown[] }>) {
      const { actor, tx } = ctx.locals;
      const owner = kind.owner;
      const inputs = await Promise.all(
        ctx.params.items.map((item) =>
          judged((): Input => {
            const parsed = kind.newInput.safeParse(item);
            if (!parsed.success) throw invalid(fieldErrors(parsed.error));
            const input: Input = normalised(kind, parsed.data as Input);
            if (owner === undefined) return input;
            return { ...input, [owner]: firstOwner(kind, actor, input[owner] as string | null | undefined) };
          }),
        ),
      );
      const taken = inputs.filter((input): input is Input => !isRefusal(input));
      const named = owner === undefined ? [] : taken.map((input) => input[owner]);
      const active = await desk.users.among(ctx, new Set(named.filter((id) => typeof id === "string")));
      const prepared = (await rules.prepare?.(ctx, taken)) as P;
      const seen = new Set<unknown>();
      const outcomes: (R | Refusal)[] = [];
      for (const input of inputs)
        outcomes.push(
          isRefusal(input)
            ? input
            : await judged(async () => {
                const user = owner === undefined ? null : (input[owner] as string | null);
                if (user !== null && user !== actor.userId && !active.has(user))
                  throw unknownUser(owner ?? "");
                // of the items of one batch with the same external id the first stands
                if (input.externalId != null && seen.has(input.externalId)) throw externalIdTaken(kind);
                const row = newRow(counter, tx, input, prepared);
                await requireReferences(tx, counter, actor, [input]);
                seen.add(input.externalId);
                return row;
              }),
        );
      const rows = outcomes.filter((outcome): outcome is R => !isRefusal(outcome));
      const inserted = await store.insertFree(tx, rows);
      for (const row of rows) {
        if (!inserted.has(row.id)) continue;
        about(tx, { kind, verb: "created", row, actorId: actor.userId });
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
