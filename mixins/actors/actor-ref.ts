import type { Principal } from "../access/principal.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import { remainingMs } from "../contract/deadline.ts";
import type { Meta } from "../contract/meta.ts";
import type { ActorAddress, ActorRef, SendOptions } from "./actor-contract.ts";
import { sentInsideTransaction } from "./actors.errors.ts";
import { defaultTimeoutMs, type ActorClient } from "./client.ts";

/** The part of an action's context that sends. */
export interface Sender {
  options: { timeout?: number | null };
  meta: Meta;
  locals: { principal: Principal; tx: UnitOfWork; actors: ActorClient };
}

/**
 * An actor of the caller's organization, to send messages to from an action: before the action's first statement, because
 * the actor's turn takes a connection of perhaps the same pool. Waits no longer than the action has left.
 */
export function actorRef<S>(ctx: Sender, kind: string, id: string): ActorRef<S> {
  const { principal, tx, actors } = ctx.locals;
  return refTo(
    { organizationId: principal.organizationId, kind, id },
    (address, message, params, options) => {
      if (tx.isOpen) throw sentInsideTransaction(kind);
      const timeoutMs = Math.min(options?.timeoutMs ?? defaultTimeoutMs, remainingMs(ctx));
      return actors.send(address, message, params, ctx.meta, { ...options, timeoutMs });
    },
  );
}

/** As actorRef, for work outside an action: jobs, pollers, tests. The system is the sender. */
export const systemActorRef = <S>(client: ActorClient, address: ActorAddress): ActorRef<S> =>
  refTo(address, (...message) => client.sendAsSystem(...message));

type Send = (
  address: ActorAddress,
  message: string,
  params: unknown,
  options?: SendOptions,
) => Promise<unknown>;

/** One function a message, made when it is asked for: the contract is known to the types only. */
function refTo<S>(address: ActorAddress, send: Send): ActorRef<S> {
  return new Proxy(
    {},
    {
      get: (_target, message) =>
        // an actor is no promise, also to an `await` that meets one
        typeof message !== "string" || message === "then"
          ? undefined
          : async (params: unknown, options?: SendOptions) => send(address, message, params, options),
    },
  ) as ActorRef<S>;
}
