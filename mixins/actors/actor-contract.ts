import type { z } from "zod";
import type { Principal } from "../access/principal.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";

/** One message an actor answers. */
export interface MessageSpec<P extends z.ZodType = z.ZodType, R extends z.ZodType = z.ZodType> {
  /** A strict object. */
  params: P;
  /** What the sender gets; `z.null()` for nothing. */
  returns: R;
}

/** Everything the rest of the system knows about a kind of actor. */
export interface ActorSpec<
  S extends z.ZodType = z.ZodType,
  M extends Record<string, MessageSpec> = Record<string, MessageSpec>,
> {
  /** Plain JSON. Stored states are read through it, so a new field needs a default. */
  state: S;
  messages: M;
}

/** Gives `spec` its precise type; there is nothing to learn from it at run time. */
export const actor = <S extends z.ZodType, M extends Record<string, MessageSpec>>(
  spec: ActorSpec<S, M>,
): ActorSpec<S, M> => spec;

/** Which actor: `kind` is the service and the actor's name in its contract, as `leads.router`. */
export interface ActorAddress {
  organizationId: string;
  kind: string;
  /** Any text; commonly the id of an entity. */
  id: string;
}

/** One message on its way through an actor. Nothing of it outlives the handler. */
export interface Turn<S extends ActorSpec = ActorSpec> {
  readonly organizationId: string;
  readonly id: string;
  /**
   * This turn's own copy: change it or replace it. It is stored with COMMIT, and forgotten when the turn fails.
   */
  state: z.output<S["state"]>;
  /** The turn's transaction, already fenced: what it writes happens together with the state, or not at all. */
  readonly tx: UnitOfWork;
  readonly now: Date;
  /** Who sent the message: a user, or the system for timers and reminders. */
  readonly sender: Principal;
  /**
   * Has this message sent at `at` or soon after, whatever dies until then; once, for one effect. Tried again with growing
   * pauses while the handler fails. A reminder of the same name is replaced.
   */
  remind<K extends keyof S["messages"] & string>(
    name: string,
    at: Date,
    message: K,
    params: z.input<S["messages"][K]["params"]>,
  ): void;
  cancelReminder(name: string): void;
  /** As remind, but in memory: lost when the actor moves or its node dies. Replaces a timer of the same name. */
  timer<K extends keyof S["messages"] & string>(
    name: string,
    afterMs: number,
    message: K,
    params: z.input<S["messages"][K]["params"]>,
  ): void;
  cancelTimer(name: string): void;
}

/**
 * What a service does for a kind of actor. Handlers run one at a time for each actor. They may read and write through
 * `turn.tx` and must not wait for anything else, neither calls nor other actors: meanwhile every message of the
 * actor waits, and a connection is held. What is to happen outside leaves as an event or a job.
 */
export interface ActorHandlers<S extends ActorSpec = ActorSpec> {
  /** State of an actor that has none yet; asked again until a turn has changed it. */
  initial: (address: ActorAddress, tx: UnitOfWork) => z.input<S["state"]> | Promise<z.input<S["state"]>>;
  messages: {
    [K in keyof S["messages"]]: (
      turn: Turn<S>,
      params: z.output<S["messages"][K]["params"]>,
    ) => z.input<S["messages"][K]["returns"]> | Promise<z.input<S["messages"][K]["returns"]>>;
  };
}

export interface SendOptions {
  /**
   * Names the message: of several with one name to one actor within 24 h, the first is applied and each is answered
   * with its result. Default: a fresh one, which covers the retries of this send but not a send of its own.
   */
  messageId?: string;
  /** How long the sender waits and the message may wait for its turn; default 15,000. */
  timeoutMs?: number;
}

/** An actor to send to: one function a message. */
export type ActorRef<S> =
  S extends ActorSpec<z.ZodType, infer M>
    ? {
        [K in keyof M]: (
          params: z.input<M[K]["params"]>,
          options?: SendOptions,
        ) => Promise<z.input<M[K]["returns"]>>;
      }
    : never;
