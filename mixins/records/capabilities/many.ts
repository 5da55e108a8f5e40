import { z } from "zod";
import { action } from "../../contract/contract.ts";
import { fieldError, id } from "../../contract/schemas.ts";
import { conditionInput } from "../conditions/schema.ts";
import * as fields from "../kind/fields.ts";
import type { AnyKind, Fields, Kind } from "../kind/kind.ts";
import { queryableOf } from "../finding/listing.ts";
import { operationBegun } from "../writing/operations.ts";
import { partsOf } from "../kind/parts.ts";

const bulkResult = z.strictObject({
  index: z.number().int(),
  status: z.number().int(),
  id: id.optional(),
  error: z
    .strictObject({
      code: z.string(),
      detail: z.string(),
      /** The first ten. */
      errors: z.array(fieldError).optional(),
    })
    .optional(),
});
/** What many are given as, and how each fared. */
export const bulkItems = z.strictObject({ items: z.array(z.unknown()).min(1).max(1000) });
export const bulkResults = z.strictObject({ results: z.array(bulkResult) });
const begins = {
  location: (begun: z.output<typeof operationBegun>) => `/operations/${"id" in begun ? begun.id : ""}`,
  isDone: (begun: z.output<typeof operationBegun>) => "matched" in begun,
};
/** Many at once. */
export const bulk = <N extends string, F extends Fields>(kind: Kind<N, F>) => ({
  bulkCreate: action({
    summary: `Makes up to 1,000 ${kind.plural}; a bad one does not fail the rest`,
    params: bulkItems,
    returns: bulkResults,
    permission: `${kind.plural}:create`,
    rest: `POST /${kind.plural}/bulk`,
    example: {
      params: { items: [kind.example] },
      result: { results: [{ index: 0, status: 201, id: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f" }] },
    },
  }),
});

/** Of which records: of a condition, as `where` of a list, or some by their ids. */
const selection = (kind: AnyKind) => ({
  where: conditionInput(queryableOf(kind.listing)).optional(),
  ids: z.array(id).min(1).max(10_000).optional(),
  dryRun: z.boolean().default(false),
});
const isOneSelection = ({ where, ids }: { where?: unknown; ids?: unknown }) =>
  (where === undefined) !== (ids === undefined);
/** Lists of what many records cannot have at once; they can be emptied. */
const onlyEmptied = ({ fields: of }: { fields: Fields }): Record<string, z.ZodType> =>
  Object.fromEntries(
    partsOf(of).flatMap(([key, { isExclusive }]) =>
      isExclusive === undefined ? [] : [[key, z.null().optional()]],
    ),
  );
const created2026 = { field: "createdAt", op: "lt", value: "2026-01-01" };
const label = fields.tags().input;
/** Change or delete many, as work that goes on. */
export const bulkChangeable = <N extends string, F extends Fields>(kind: Kind<N, F>) => ({
  bulkUpdate: action({
    summary: `Changes many ${kind.plural}, those of a condition or by their ids; with dryRun says how many`,
    params: z
      .strictObject({
        ...selection(kind),
        changes: kind.input.omit({ externalId: true } as never).extend({
          ...onlyEmptied(kind),
          tags: z.union([label, z.strictObject({ add: label, remove: label }).partial()]).optional(),
        }),
      })
      .refine(isOneSelection, "give where or ids"),
    returns: operationBegun,
    permission: `${kind.plural}:update`,
    rest: `PATCH /${kind.plural}/bulk`,
    status: 202,
    ...begins,
    example: { params: { where: created2026, changes: { tags: { add: ["fair-2026"] } } } },
  }),
  bulkRemove: action({
    summary: `Deletes many ${kind.plural}, those of a condition or by their ids; with dryRun says how many`,
    params: z.strictObject(selection(kind)).refine(isOneSelection, "give where or ids"),
    returns: operationBegun,
    permission: `${kind.plural}:delete`,
    rest: `POST /${kind.plural}/bulk-delete`,
    status: 202,
    ...begins,
    example: { params: { where: created2026, dryRun: true } },
  }),
  /** The next step of such an operation, for its job. */
  applyOperation: action({
    summary: `Changes or deletes the next ${kind.plural} of an operation, in one transaction`,
    params: z.strictObject({ operationId: id }),
    returns: z.strictObject({ isOver: z.boolean() }),
    permission: "authenticated",
  }),
});
