import { invalid } from "../contract/errors.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import { visibleRows } from "../access/visibility.ts";
import type { Actor } from "../access/actor.ts";
import type { Counter } from "./desk.ts";
import { columnOf, Values } from "./listing.ts";

/**
 * Refuses references to records that are not there, are deleted, or that the actor may not see. One statement for all of an
 * input's; none, and no round trip, where it names none.
 * @throws 422 that names each field
 */
export async function requireReferences(
  tx: UnitOfWork,
  { kind, desk }: Counter,
  actor: Actor,
  inputs: readonly Readonly<Record<string, unknown>>[],
): Promise<void> {
  for (const [key, { refersTo }] of Object.entries(kind.fields)) {
    const target = refersTo === undefined ? undefined : desk.kinds.get(refersTo);
    const wanted = new Set(inputs.map((input) => input[key]).filter((id) => typeof id === "string"));
    if (!target || wanted.size === 0) continue;
    const values = new Values();
    const conditions = [
      `id = ANY (${values.add([...wanted])}::uuid[])`,
      "deleted_at IS NULL",
      ...(target.owner === undefined ? [] : visibleRows(actor, values, columnOf(target.owner))),
    ];
    // held until the end: it cannot be deleted for good meanwhile
    const found = await tx.query<{ id: string }>({
      text: `SELECT id FROM ${target.plural} WHERE ${conditions.join(" AND ")} FOR KEY SHARE`,
      values: values.list,
    });
    if (found.length < wanted.size)
      throw invalid([{ path: key, code: "not_found", message: `is not a ${target.name}` }]);
  }
}
