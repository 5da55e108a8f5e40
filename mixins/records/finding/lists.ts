import { badQuery } from "../../contract/errors.ts";
import type { Principal } from "../../access/principal.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { AnyKind } from "../kind/kind.ts";

/** Who may see a list: whoever it belongs to, and everybody if it is shared. */
export const seesList = (
  { userId }: Pick<Principal, "userId">,
  list: { is_shared: boolean; owner_id: string | null },
): boolean => list.is_shared || (userId !== null && list.owner_id === userId);

/** The ids of the records of a list, as SQL. @param list its id, as SQL */
export const recordsInList = (list: string): string =>
  `ARRAY(SELECT e.record_id FROM list_entries e WHERE e.list_id = ${list}::uuid)`;

/** The list whose records are asked for. @throws 400 for one that there is not, that the principal may not see, of another kind */
export async function requireList(
  tx: Pick<UnitOfWork, "query">,
  principal: Principal,
  kind: Pick<AnyKind, "name">,
  id: string,
): Promise<void> {
  const [list] = await tx.query<{ kind: string; is_shared: boolean; owner_id: string | null }>({
    name: "list_of_records",
    text: "SELECT kind, is_shared, owner_id FROM lists WHERE id = $1",
    values: [id],
  });
  const refuse = (code: string, message: string) => badQuery([{ path: "list", code, message }]);
  if (!list || !seesList(principal, list)) throw refuse("not_found", "There is no such list.");
  if (list.kind !== kind.name)
    throw refuse("invalid_value", `It is a list of another kind of record: ${list.kind}.`);
}
