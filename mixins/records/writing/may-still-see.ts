import { canSee, sightOf, type Principal } from "../../access/principal.ts";
import { isVisible } from "../../access/visibility.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { AnyKind } from "../kind/kind.ts";

/** Whether a record that an answer showed is still shown to the principal: it may have been given to somebody else. */
export function mayStillSee<K extends Pick<AnyKind, "name" | "table" | "owner" | "owners">>({
  name,
  table,
  owner,
  owners,
}: K) {
  return async (tx: UnitOfWork, principal: Principal, answer: unknown): Promise<boolean> => {
    const shown = (answer ?? {}) as Record<string, unknown>;
    const id = shown.id;
    if (owner === undefined || id === undefined || shown[owner] === undefined || sightOf(principal) === "all")
      return true;
    // of what they made for others, the first answer told them all the same
    if (owners.length === 1 && !canSee(principal, { assignedTo: shown[owner] as string | null })) return true;
    const [now] = await tx.query<Record<string, string | null>>({
      name: `owners_of_${name}`,
      text: `SELECT ${owners.join(", ")} FROM ${table} WHERE id = $1`,
      values: [id],
    });
    return now === undefined || isVisible(principal, owners, now);
  };
}
