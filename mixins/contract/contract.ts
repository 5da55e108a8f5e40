import type { CallingOptions, Context } from "moleculer";
import { z } from "zod";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import type { Principal } from "../access/principal.ts";
import type { ActorSpec } from "../actors/actor-contract.ts";
import type { ActorClient } from "../actors/client.ts";
import type { SequencedEvent } from "../events/feed.ts";
import type { JobSpec } from "../jobs/job-spec.ts";
import type { ListenerSpec } from "../listeners/listener-spec.ts";
import type { Meta } from "./meta.ts";
import type {
  PersonalDataAnswer,
  PersonalDataParams,
  PersonalDataSpec,
  PersonalDataVerb,
} from "../privacy/personal-data.ts";

export type HttpMethod = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
/**
 * `leads:create`; `authenticated` needs any valid token; `session` one that is no API key; `public` needs none;
 * `system` is jobs and timers alone.
 */
export type Permission = `${string}:${string}` | "authenticated" | "session" | "public" | "system";

/** Parameters that come from the connection and its headers; a client that sends them by name is refused. */
export const filledByGateway: readonly string[] = ["expectedVersion", "userAgent", "ip", "browserKey"];

/** Everything the rest of the system knows about one action. */
export interface ActionSpec<P extends z.ZodType = z.ZodType, R extends z.ZodType = z.ZodType> {
  /** One line for the API docs. */
  summary: string;
  /** A strict object: path parameters, query or body fields, and `expectedVersion` if it honours If-Match. */
  params: P;
  /** What a caller gets; `z.null()` for 204, nullable where null is one. */
  returns: R;
  permission: Permission;
  /**
   * Whether it only reads: it runs in a read-only transaction of 5 s at most, and again on another node when its node is lost.
   * Every GET reads, but one whose transfer is `browser`.
   */
  reads?: true;
  /** Method and path under /api/v1, parameters as `:id`. Without it the action is internal. */
  rest?: `${HttpMethod} /${string}`;
  /** Status of success; default 200, 201 for a POST that creates is said here. */
  status?: 200 | 201 | 202 | 204;
  /** Whether it makes what is not there yet, and says so by `ctx.locals.isNew`: such an answer is a 201. */
  upserts?: true;
  /**
   * Path under /api/v1 where a GET finds what a 201 made, or how far what a 202 began is. Default: that of a POST and
   * the result's id.
   */
  location?(result: z.input<R>): string;
  /** Of a 202: whether all of it is done by now, as of a dry run; such an answer is a 200. */
  isDone?(result: z.input<R>): boolean;
  /** Statuses of failures besides those that every route of its kind may have. */
  fails?: readonly (404 | 409 | 410)[];
  /** Whether the organization's users may ask for it while it is suspended, or about to be deleted. */
  whileSuspended?: true;
  /** Days from which on it should not be used, and from which on it is not there; and what to use in its place. */
  deprecated?: { since: string; sunset: string; use: `${HttpMethod} /${string}` };
  /** What a caller may send, and the answer to it: for the docs, and held against the schemas by a test. */
  example?: { params?: Record<string, unknown>; result?: unknown };
  /**
   * `multipart`: the file arrives as `ctx.stream`; `download`: the result is a readable stream; `browser`: the result is
   * a BrowserAnswer, and may follow a change also after a GET. Default `json`.
   */
  transfer?: "json" | "multipart" | "download" | "browser";
  /** Whether an HTML form may send the body too. Default false. */
  isForm?: boolean;
  /**
   * What of the result is kept under an Idempotency-Key and answered again, where the result holds a secret that is
   * shown once. Default: the result.
   */
  kept?(result: z.input<R>): z.input<R>;
  /** What a download is called and is. */
  file?(params: z.output<P>): { name: string; type: string };
}

/** What of a DELETE stands in its address: `?force=true` does what a 409 IN_USE refuses. */
export const queryOfDelete: readonly string[] = ["force"];

/** Names of the parameters in the path of an action's route. */
export const pathParamsOf = ({ rest = "" }: { rest?: string | undefined }): string[] =>
  [...rest.matchAll(/:(\w+)/g)].map((match) => match[1] as string);
/** Names of what an action takes from a query string or a body. */
export const givenParamsOf = (spec: Pick<ActionSpec, "rest" | "params">): string[] =>
  spec.params instanceof z.ZodObject
    ? Object.keys(spec.params.shape).filter(
        (name) => !pathParamsOf(spec).includes(name) && !filledByGateway.includes(name),
      )
    : [];

export interface Contract<
  N extends string = string,
  A extends Record<string, ActionSpec> = Record<string, ActionSpec>,
  E extends Record<string, z.ZodType> = Record<string, z.ZodType>,
  J extends Record<string, JobSpec> = Record<string, JobSpec>,
  L extends Record<string, ListenerSpec> = Record<string, ListenerSpec>,
  K extends Record<string, ActorSpec> = Record<string, ActorSpec>,
  D extends Record<string, PersonalDataSpec> = Record<string, PersonalDataSpec>,
> {
  name: N;
  actions: A;
  /** Payload of each event type the service records. */
  events: E;
  /** Work to be done later. Names are shared with actions: both are `<service>.<name>`. */
  jobs: J;
  /** Durable reactions to events. */
  listeners: L;
  /** Kinds of actors the service hosts. */
  actors: K;
  /** What the service holds of persons. */
  personalData: D;
  tables: Tables;
}

/** Tables that a service's statements name; those of the control database with their schema. A test holds it against them. */
export interface Tables {
  /** Which it alone writes. */
  owns?: readonly string[];
  /** Of other services, which it reads. */
  reads?: readonly string[];
  /** Of other services, which it writes in a transaction of its own, because both must happen or neither. */
  writes?: readonly string[];
}

/** Gives `spec` its precise type; there is nothing to learn from it at run time. */
export const action = <P extends z.ZodType, R extends z.ZodType>(spec: ActionSpec<P, R>): ActionSpec<P, R> =>
  spec;

export const defineContract = <
  const N extends string,
  A extends Record<string, ActionSpec>,
  E extends Record<string, z.ZodType>,
  J extends Record<string, JobSpec> = Record<never, never>,
  L extends Record<string, ListenerSpec> = Record<never, never>,
  K extends Record<string, ActorSpec> = Record<never, never>,
  D extends Record<string, PersonalDataSpec> = Record<never, never>,
>(
  name: N,
  spec: { actions: A; events: E; jobs?: J; listeners?: L; actors?: K; personalData?: D; tables?: Tables },
): Contract<N, A, E, J, L, K, D> => ({
  name,
  actions: spec.actions,
  events: spec.events,
  jobs: spec.jobs ?? ({} as J),
  listeners: spec.listeners ?? ({} as L),
  actors: spec.actors ?? ({} as K),
  personalData: spec.personalData ?? ({} as D),
  tables: spec.tables ?? {},
});

type UnionToIntersection<U> = (U extends unknown ? (x: U) => void : never) extends (x: infer I) => void
  ? I
  : never;
/** `leads.create` → its spec, for every action of a union of contracts. */
export type ActionsOf<C> = Flatten<
  C extends Contract<infer N, infer A> ? { [K in keyof A & string as `${N}.${K}`]: A[K] } : never
>;
/** `leads.router` → its spec, for every actor of a union of contracts. */
export type ActorsOf<C> = Flatten<
  C extends Contract<infer N, infer _A, infer _E, infer _J, infer _L, infer K>
    ? { [X in keyof K & string as `${N}.${X}`]: K[X] }
    : never
>;
export type EventsOf<C> = Flatten<C extends Contract<string, infer _A, infer E> ? E : never>;
export type JobsOf<C> = Flatten<
  C extends Contract<infer N, infer _A, infer _E, infer J>
    ? { [K in keyof J & string as `${N}.${K}`]: J[K] }
    : never
>;
type Flatten<T> = UnionToIntersection<T> extends infer O ? { [K in keyof O]: O[K] } : never;

export type ParamsIn<S> = S extends ActionSpec<infer P> ? z.input<P> : never;
export type ParamsOut<S> = S extends ActionSpec<infer P> ? z.output<P> : never;
export type ResultOf<S> = S extends ActionSpec<z.ZodType, infer R> ? z.input<R> : never;

/** What the pipeline of mixins/contract/service.ts gives a handler. */
export interface Locals {
  principal: Principal;
  /** The transaction of this action; opened by its first statement, committed after the handler. */
  tx: UnitOfWork;
  /** Key of the request, if it has one: names what the action causes elsewhere, so that a repetition does not repeat it. */
  idempotencyKey?: string;
  /** Set by an action that `upserts`: whether it made something. */
  isNew?: boolean;
  /** See actorOf in services/contracts.ts. */
  actors: ActorClient;
}

/** Moleculer's context with calls typed by the contracts `Actions`. */
export type TypedContext<Actions, P = unknown> = Omit<
  Context<P, Meta, Locals>,
  "call" | "mcall" | "emit" | "broadcast" | "locals"
> & {
  locals: Locals;
  call<N extends keyof Actions & string>(
    name: N,
    params: ParamsIn<Actions[N]>,
    options?: CallingOptions,
  ): Promise<ResultOf<Actions[N]>>;
};

/** The handlers a contract asks for, one each action. */
export type Handlers<C, Actions> =
  C extends Contract<string, infer A>
    ? { [K in keyof A]: (ctx: TypedContext<Actions, ParamsOut<A[K]>>) => Promise<HandlerResult<A[K]>> }
    : never;
/** The bodies of the jobs a contract names. */
export type JobHandlers<C, Actions> =
  C extends Contract<string, infer _A, infer _E, infer J>
    ? { [K in keyof J]: (ctx: TypedContext<Actions, z.output<J[K]["payload"]>>) => Promise<void> }
    : never;

/** What a service does with each kind of personal data its contract names; `expire` where that has a retention. */
export type PersonalDataHandlers<C, Actions> =
  C extends Contract<string, infer _A, infer _E, infer _J, infer _L, infer _K, infer D>
    ? {
        [K in keyof D]: {
          [
            V in D[K] extends { retention: object } ? PersonalDataVerb : Exclude<PersonalDataVerb, "expire">
          ]: (ctx: TypedContext<Actions, PersonalDataParams<V>>) => Promise<PersonalDataAnswer<V>>;
        };
      }
    : never;

/** An event as a listener hears it; `data` is what its contract says of the type. */
export type HeardEvent<Events, T> = {
  [K in keyof Events & string as T extends "*" | K ? K : never]: Omit<SequencedEvent, "type" | "data"> & {
    type: K;
    data: Events[K] extends z.ZodType ? z.output<Events[K]> : never;
  };
} extends infer Heard
  ? Heard[keyof Heard]
  : never;
/** The reactions a contract names. */
export type ListenerHandlers<C, Actions, Events> =
  C extends Contract<string, infer _A, infer _E, infer _J, infer L>
    ? {
        [K in keyof L]: (
          ctx: TypedContext<Actions>,
          event: HeardEvent<Events, L[K]["on"][number]>,
        ) => Promise<void>;
      }
    : never;
type HandlerResult<S> = S extends { transfer: "download" } ? NodeJS.ReadableStream : ResultOf<S>;
