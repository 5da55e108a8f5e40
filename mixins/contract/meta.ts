import type { Claims } from "../access/access-token.ts";
import type { Idempotency } from "../database/idempotency.ts";

/** What travels with a call. Only the gateway and system jobs set it. */
export interface Meta {
  organizationId?: string;
  userId?: string;
  sessionId?: string;
  role?: string;
  /** Of an API key; see Principal. */
  scopes?: readonly string[] | undefined;
  requestId?: string;
  traceparent?: string;
  /** Key and fingerprint of the request; taken by the first command and not passed on. */
  idempotency?: Idempotency;
  /** Set by a callee that answered from the record of an earlier call. */
  replayed?: boolean;
  /** Set by a callee that made what it was asked to make or change. */
  isNew?: boolean;
}

/** The meta of calls by whoever bears these claims: made here alone, so that no part of it is ever left out. */
export function metaOf({ organizationId, userId, sessionId, role, scopes }: Claims): Meta {
  return { organizationId, userId, sessionId, role, ...(scopes === undefined ? {} : { scopes }) };
}
