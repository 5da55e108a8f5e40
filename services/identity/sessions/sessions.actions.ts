import type { ServiceBroker } from "moleculer";
import {
  recordRevocations,
  sessionRevoked,
  type Revocation,
  type SessionRevoked,
} from "../../../mixins/access/revocations.ts";
import { can, rightsOf } from "../../../mixins/access/principal.ts";
import { newId } from "../../../mixins/database/new-id.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { readPage } from "../../../mixins/records/finding/page.ts";
import type { Ctx, Result } from "../../contracts.ts";
import { sessionListing } from "../identity.contract.ts";
import { notAUser, sessionNotFound } from "../identity.errors.ts";
import { getOrganization, getUser } from "../identity.repository.ts";
import { organizationView, userView } from "../identity.view.ts";
import { findFactor } from "../second-factor/second-factor.repository.ts";
import { endOwnSession, endSession, liveSessionsOf, sessionView } from "./sessions.repository.ts";

/** The signed-in user, their organization and what their role permits. */
export async function me(ctx: Ctx<"identity.me">): Promise<Result<"identity.me">> {
  const { tx, principal } = ctx.locals;
  if (principal.userId === null) throw notAUser();
  const user = await getUser(tx, principal.userId);
  const organization = await getOrganization(tx, principal.organizationId);
  return {
    user: userView(user),
    organization: organizationView(organization),
    permissions: [...rightsOf(principal).permissions].filter((permission) => can(principal, permission)),
    isMfaOn: (await findFactor(tx, user.id))?.isConfirmed ?? false,
  };
}

/** The user's sessions that have not ended. */
export async function listSessions(
  ctx: Ctx<"identity.listSessions">,
): Promise<Result<"identity.listSessions">> {
  const { tx, principal } = ctx.locals;
  const { userId } = principal;
  if (userId === null) throw notAUser();
  const { sessionId } = ctx.meta;
  return readPage(
    tx,
    sessionListing,
    { ...ctx.params, asked: [userId, ctx.params.filter] },
    sessionView(sessionId),
    liveSessionsOf(userId, tx.now),
  );
}

/** Ends the session of the access token; doing so again changes nothing. */
export async function logout(ctx: Ctx<"identity.logout">): Promise<null> {
  const { tx } = ctx.locals;
  if (ctx.meta.sessionId === undefined) throw notAUser();
  announceEnd(ctx.broker, tx, await endSession(tx, ctx.meta.sessionId, "logout"));
  return null;
}

/** Ends a session of the user. */
export async function revokeSession(ctx: Ctx<"identity.revokeSession">): Promise<null> {
  const { tx, principal } = ctx.locals;
  if (principal.userId === null) throw notAUser();
  const ended = await endOwnSession(tx, principal.userId, ctx.params.id, "revoked");
  if (ended.length === 0) throw sessionNotFound();
  announceEnd(ctx.broker, tx, ended);
  return null;
}

/**
 * Writes down with `tx` that these sessions have ended, and tells every node once it is durable. Where that is lost, or
 * this process dies just then, gateways read it within two seconds.
 */
export function announceEnd(broker: ServiceBroker, tx: UnitOfWork, ended: readonly SessionRevoked[]): void {
  const revocations = ended.map((session): Revocation => ({ ...session, id: newId() }));
  recordRevocations(tx, revocations);
  tx.afterCommit(() => {
    for (const session of revocations)
      broker.broadcast(sessionRevoked, session).catch((error: unknown) => {
        broker.logger.warn(`some node was not told that session ${session.sessionId} ended`, error);
      });
  });
}
