import { systemMeta } from "../mixins/access/principal.ts";
import { appError } from "../mixins/contract/errors.ts";
import type { Meta } from "../mixins/contract/meta.ts";

/** Calls an action as somebody; its answer is the action's. */
export type CallAs = <T>(action: string, params: object, meta: Meta) => Promise<T>;

/**
 * The meta of calls that go on with what a user began, with the role that they have by now.
 * @throws 403 where they are no longer active
 */
export async function actingAs(call: CallAs, organizationId: string, userId: string): Promise<Meta> {
  const user = await call<{ role: string; isActive: boolean }>(
    "identity.getUser",
    { id: userId },
    systemMeta(organizationId),
  );
  if (!user.isActive) throw appError(403, "FORBIDDEN", "Whoever began it is no longer active.");
  return { organizationId, userId, role: user.role };
}
