import { canSee, sightOf, type Principal } from "../../access/principal.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { AnyKind } from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";

/** Whether a record that an answer showed is still shown to the principal: it may have been given to somebody else. */
export function mayStillSee<K extends Pick<AnyKind, "name" | "table" | "owner">>({ name, table, owner }: K) {
  return async (tx: UnitOfWork, principal: Principal, answer: unknown): Promise<boolean> => {
    const shown = (answer ?? {}) as Record<string, unknown>;
    const id = shown.id;
    if (owner === undefined || id === undefined || shown[owner] === undefined || sightOf(principal) === "all")
      return true;
    // of what they made for others, the first answer told them all the same
    if (!canSee(principal, { assignedTo: shown[owner] as string | null })) return true;
    const [now] = await tx.query<{ owner: string | null }>({
      name: `owner_of_${name}`,
      text: `SELECT ${columnOf(owner)} AS owner FROM ${table} WHERE id = $1`,
      values: [id],
    });
    return now === undefined || canSee(principal, { assignedTo: now.owner });
  };
}
