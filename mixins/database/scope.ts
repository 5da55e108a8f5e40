import { appError } from "../contract/errors.ts";
import { isUuid, type Statement } from "./statement.ts";

/**
 * Under whose eyes a transaction runs: one organization's (row-level security), or the platform's. `home` is `control`
 * where an organization's transaction is about this very database, wherever the organization lives: control tables stay where
 * they are when it moves.
 */
export type Scope = ({ organizationId: string; home?: "control" } | { platform: true }) & {
  readOnly?: boolean;
  /** Longest for each of its statements; default what connections have, 30,000. */
  timeoutMs?: number;
};

/** Whose share of the connections a transaction takes; undefined: nobody's. */
export const holderOf = (scope: Scope): string | undefined =>
  "platform" in scope ? undefined : scope.organizationId;

export const begin: Statement = { name: "begin", text: "BEGIN" };

/** The statement that puts a transaction under its scope; it must come first in it. */
export function enter(scope: Scope): Statement {
  const { timeoutMs } = scope;
  const limit = timeoutMs === undefined ? "" : `set_config('statement_timeout', '${timeoutMs}', true), `;
  const mode = limit + (scope.readOnly ? "set_config('transaction_read_only', 'on', true), " : "");
  const purpose = `${scope.readOnly ? "_to_read" : ""}${timeoutMs === undefined ? "" : `_in_${timeoutMs}`}`;
  if ("platform" in scope) {
    // the lock whoever closes a gate waits for, see mixins/database/moves/gates.ts
    const lock = scope.readOnly ? "" : ", pg_advisory_xact_lock_shared(7236003)";
    const text = `SELECT ${mode}set_config('role', 'sangam_platform', true)${lock}`;
    return { name: `enter_platform${purpose}`, text };
  }
  if (!isUuid(scope.organizationId)) throw appError(401, "UNAUTHENTICATED", "No organization.");
  const gate = scope.home === "control" ? "" : `, moves.enter($1::uuid, ${!scope.readOnly})`;
  return {
    name: `enter_${scope.home ?? "organization"}${purpose}`,
    text: `SELECT ${mode}set_config('role', 'sangam_app', true), set_config('app.organization_id', $1, true)${gate}`,
    values: [scope.organizationId],
  };
}
