import type { Readable } from "node:stream";
import type { Context, ServiceSchema } from "moleculer";
import { z } from "zod";
import { actorService, type ActorHandlersOf } from "../actors/actor-service.ts";
import type { ActorClient } from "../actors/client.ts";
import { accessChanged, type Access, type AccessChanged } from "../access/access.ts";
import { requirePermission, type Principal } from "../access/principal.ts";
import { filledByGateway, givenParamsOf, pathParamsOf, type ActionSpec, type Contract } from "./contract.ts";
import { defaultTimeoutMs, type JobOrigin, type JobSpec } from "../jobs/job-spec.ts";
import { deliver } from "../listeners/delivery.ts";
import type { Meta } from "./meta.ts";
import { personalDataCalls, type PersonalDataVerb } from "../privacy/personal-data.ts";
import type { Database } from "../database/database.ts";
import { idempotencyInUse, idempotencyUsed } from "../database/sql-errors.ts";
import type { Scope } from "../database/scope.ts";
import type { Shard } from "../database/shard.ts";
import { inUnit } from "../database/one-connection.ts";
import { UnitOfWork } from "../database/unit-of-work.ts";
import type { Organizations } from "../organizations/organizations.ts";
import { customFieldsChangedType } from "../records/custom/custom.errors.ts";
import {
  definitionsChanged,
  type Definitions,
  type DefinitionsChanged,
} from "../records/custom/definitions.ts";
import { kinds } from "../records/kind/kinds.ts";
import { mayStillSee as mayStillSeeOf } from "../records/writing/may-still-see.ts";
import type { RecordQuota } from "../records/writing/quota.ts";
import type { OrganizationKeys } from "../encryption/organization-keys.ts";
import type { Env } from "../process/env.ts";
import type { Health } from "../process/health.ts";
import type { OutboundHttp } from "../outbound/http.ts";
import type { RedisConnections } from "../redis/connections.ts";
import type { Mailer } from "../mail/mail.ts";
import type { SealedBox } from "../encryption/sealed-box.ts";
import { deadlineExceeded, remainingMs } from "./deadline.ts";
import { appError, badQuery, errorType, invalid } from "./errors.ts";
import { fieldErrors, queryErrors } from "./field-errors.ts";
import { actionDuration, secondsSince } from "../process/metrics.ts";
import { isMissingService } from "./moved-service.ts";
import { keptIdempotency, keyInUse, recordedAnswer, waitForFirst } from "./repetition.ts";

/** What a process shares among its services; made in moleculer.config.ts before any of them. */
export interface Runtime {
  env: Env;
  /** Of package.json. */
  version: string;
  database: Database;
  /** What callers may do and see. */
  access: Access;
  /** Undefined without REDIS_URL. What is in it may vanish at any time. */
  redis: RedisConnections | undefined;
  /** Brings messages to actors, wherever they run. */
  actors: ActorClient;
  /** Calls URLs that users name. */
  outbound: OutboundHttp;
  /** Seals secrets at rest with MASTER_KEY. */
  sealedBox: SealedBox;
  /** Seals what organizations keep, each with a key of its own. */
  organizationKeys: OrganizationKeys;
  /** Custom fields as organizations have defined them. */
  definitions: Definitions;
  /** How organizations stand: suspended or not, and on which plan. */
  organizations: Organizations;
  /** How many records organizations may have. */
  recordQuota: RecordQuota;
  /** How the parts stand that this process works with. */
  health: Health;
  /** Sends mail, or keeps it where none is sent. */
  mailer: Mailer;
  /** Called after a commit that appended to the feed of this organization. */
  onEvents(organizationId: string): void;
  checkResults: "always" | "sampled" | "never";
  /** Of every service of the system, hosted here or not. */
  contracts: readonly Contract[];
}

/** Where the transaction of an action runs: the organization's shard, or the control database. */
type Home = "shard" | "control";

type AnyHandler = (ctx: never) => Promise<unknown>;
type AnyListener = (ctx: never, event: never) => Promise<void>;
type CallContext = Context<unknown, Meta> & { locals: Record<string, unknown> };

/**
 * Makes a Moleculer service of a contract and its handlers. Around each handler, in this order: who calls and
 * may they (401, 403), are the parameters right (400 of a query, 422), one unit of work that is committed with the
 * handler's answer, and a check of that answer against the contract.
 *
 * Public actions run before anybody is known, so theirs is the platform's view of the control database.
 * @param options.home where its transactions run; default `shard`
 * @param options.mayStillSee decides whether a recorded answer is repeated; default: of the records of a kind, whether they may
 *   still be seen, and else always
 */
export function createService<C extends Contract>(
  contract: C,
  handlers: { [K in keyof C["actions"]]: AnyHandler },
  runtime: Runtime,
  options: {
    home?: Home;
    jobs?: { [K in keyof C["jobs"]]: AnyHandler };
    listeners?: { [K in keyof C["listeners"]]: AnyListener };
    actors?: ActorHandlersOf<C>;
    personalData?: { [K in keyof C["personalData"]]: Partial<Record<PersonalDataVerb, AnyHandler>> };
    mayStillSee?: MayStillSee;
  } & Partial<ServiceSchema> = {},
): ServiceSchema {
  const { home = "shard", jobs = {}, listeners = {}, actors, personalData = {}, ...rest } = options;
  const kind = [...kinds.values()].find(({ plural }) => plural === contract.name);
  const { mayStillSee = kind ? mayStillSeeOf(kind) : () => Promise.resolve(true), ...schema } = rest;
  if (Object.keys(contract.actors).length > 0 && !actors)
    throw new Error(`${contract.name} declares actors: give createService their handlers`);
  const actions: Record<string, unknown> = {};
  const add = (name: string, action: object) => {
    if (name in actions) throw new Error(`${contract.name}.${name} is declared twice`);
    actions[name] = action;
  };
  for (const [name, spec] of Object.entries(contract.actions)) {
    const open = unitOfAction(spec, runtime, home);
    add(name, {
      rest: spec.rest,
      // a read may run twice: when its node is lost, the call goes to another
      ...(spec.reads ? { retryPolicy: { enabled: true, retries: 2 } } : {}),
      handler: pipeline(
        `${contract.name}.${name}`,
        spec,
        handlers[name] as AnyHandler,
        runtime,
        open,
        mayStillSee,
      ),
    });
  }
  // jobs and listeners are actions that only this process's workers call
  for (const [name, spec] of Object.entries(contract.jobs)) {
    const body = bodyOf<AnyHandler>(jobs, contract, name);
    const open = unitOfJob(spec, runtime);
    add(name, {
      visibility: "protected",
      timeout: spec.timeoutMs ?? defaultTimeoutMs,
      handler: pipeline(`${contract.name}.${name}`, actionOf(spec), body, runtime, open),
    });
  }
  for (const [name, spec] of Object.entries(contract.listeners)) {
    const hear = bodyOf<AnyListener>(listeners, contract, name);
    const listener = { name: `${contract.name}.${name}`, ...spec };
    add(name, {
      visibility: "protected",
      timeout: defaultTimeoutMs,
      handler: (ctx: CallContext) =>
        deliver(ctx, {
          listener,
          hear,
          database: runtime.database,
          onEvents: (organizationId) => runtime.onEvents(organizationId),
        }),
    });
  }
  for (const [kind, { retention }] of Object.entries(contract.personalData)) {
    const bodies = bodyOf<Partial<Record<PersonalDataVerb, AnyHandler>>>(personalData, contract, kind);
    for (const verb of Object.keys(personalDataCalls) as PersonalDataVerb[]) {
      if (verb === "expire" && !retention) continue;
      const name = `${kind}.${verb}`;
      const body = bodies[verb];
      if (body === undefined) throw new Error(`${contract.name}.${name} has no body`);
      const spec: ActionSpec = { ...personalDataCalls[verb], permission: "system" };
      const open = unitOfAction(spec, runtime, home);
      add(name, {
        timeout: defaultTimeoutMs,
        handler: pipeline(`${contract.name}.${name}`, spec, body, runtime, open),
      });
    }
  }
  const mixins = actors ? [actorService(contract, actors, runtime)] : [];
  const events = {
    [accessChanged]: (ctx: Context<AccessChanged>) => runtime.access.forget(ctx.params.organizationId),
    [definitionsChanged]: (ctx: Context<DefinitionsChanged>) =>
      runtime.definitions.forget(ctx.params.organizationId),
    ...schema.events,
  };
  return { ...schema, events, mixins, name: contract.name, actions } as unknown as ServiceSchema;
}

function bodyOf<B>(bodies: Record<string, B>, contract: Contract, name: string): B {
  const body = bodies[name];
  if (body === undefined) throw new Error(`${contract.name}.${name} has no body`);
  return body;
}

const actionOf = ({ summary, payload }: JobSpec): ActionSpec => ({
  summary,
  params: payload,
  returns: z.null(),
  permission: "system",
});

const mostTries = 3;

/** Longest that a statement of a read may run: one that takes longer takes what others need. Jobs and commands have 30 s. */
const readTimeoutMs = 5_000;

/** Opens the unit of work of one call; `shard` is where its idempotency key is kept. */
type OpenUnit = (meta: Meta) => { tx: UnitOfWork; shard: Shard; isControl: boolean };

function unitOfAction(spec: ActionSpec, runtime: Runtime, home: Home): OpenUnit {
  const readOnly = spec.reads === true;
  const { control } = runtime.database;
  if (spec.permission === "public")
    return () => ({
      tx: new UnitOfWork(control, { platform: true, readOnly }),
      shard: control,
      isControl: true,
    });
  return ({ organizationId = "", idempotency }) => {
    const isControl = home === "control";
    const shard = isControl ? control : runtime.database.shardOf(organizationId);
    const scope: Scope = {
      ...{ organizationId, readOnly },
      ...(isControl ? { home } : {}),
      ...(readOnly ? { timeoutMs: readTimeoutMs } : {}),
    };
    return { tx: new UnitOfWork(shard, scope, readOnly ? undefined : idempotency), shard, isControl };
  };
}

function unitOfJob(spec: JobSpec, { database }: Runtime): OpenUnit {
  return ({ organizationId = "" }) => {
    const isPlatform = spec.scope === "platform";
    const shard = isPlatform ? database.control : database.shardOf(organizationId);
    return {
      tx: new UnitOfWork(shard, isPlatform ? { platform: true } : { organizationId }),
      shard,
      isControl: isPlatform,
    };
  };
}

const takesQuery = ({ rest }: ActionSpec): boolean => rest?.startsWith("GET ") ?? false;
const isKeptUpsert = (spec: ActionSpec, kept: unknown): kept is { isNew: boolean; result: unknown } =>
  spec.upserts === true && typeof kept === "object" && kept !== null && "isNew" in kept && "result" in kept;

/** Whether the principal may see what an answer showed them earlier. */
type MayStillSee = (tx: UnitOfWork, principal: Principal, answer: unknown) => Promise<boolean>;

function pipeline(
  name: string,
  spec: ActionSpec,
  handler: AnyHandler,
  runtime: Runtime,
  open: OpenUnit,
  mayStillSee: MayStillSee = () => Promise.resolve(true),
) {
  const succeeded = actionDuration.labels(name, "ok");
  const failed = actionDuration.labels(name, "error");
  const hidden = [...pathParamsOf(spec), ...filledByGateway];

  return async function run(ctx: CallContext): Promise<unknown> {
    const start = performance.now();
    // Moleculer tells of an upload that broke once, and then ends its stream: who begins to read later would see a whole one
    ctx.stream?.on("error", (error: Error) => void (ctx.stream as Readable).destroy(error));
    try {
      const { organizationId = "" } = ctx.meta;
      const principal = await runtime.access.principalOf(ctx.meta);
      requirePermission(principal, spec.permission);
      const parsed = spec.params.safeParse(ctx.params);
      if (!parsed.success)
        throw takesQuery(spec)
          ? badQuery(queryErrors(parsed.error, givenParamsOf(spec)))
          : invalid(fieldErrors(parsed.error, hidden));
      ctx.params = parsed.data;
      const idempotency = keptIdempotency(ctx.meta, principal, runtime.sealedBox);
      // the key is this action's alone: a nested call must not claim it again
      delete ctx.meta.idempotency;
      ctx.locals.principal = principal;
      ctx.locals.actors = runtime.actors;
      ctx.locals.idempotencyKey = idempotency?.key;
      // asked for before the transaction holds a connection: once a minute and organization it takes another
      const timeZone =
        namesTimes(parsed.data) && organizationId !== ""
          ? (await runtime.organizations.of(organizationId)).timeZone
          : "UTC";

      /** Answers the handler's result once it is committed, or undefined when another request holds the key. */
      const attempt = async (): Promise<{ result: unknown } | undefined> => {
        const { tx, shard, isControl } = open({ organizationId, ...(idempotency ? { idempotency } : {}) });
        tx.origin = originOf(ctx.meta);
        tx.timeZone = timeZone;
        ctx.locals.tx = tx;
        ctx.locals.isNew = false;
        try {
          const result = (await inUnit(tx, () => handler(ctx as never))) ?? null;
          checkResult(name, spec, result, runtime.checkResults);
          if (isControl && tx.hasEvents)
            throw new Error(`${name} recorded an event in the control database; feeds live in the shards`);
          // the caller has been told that it failed: what can still be left undone is
          if (!tx.scope.readOnly && remainingMs(ctx) <= 0) throw deadlineExceeded();
          const kept = spec.kept ? spec.kept(result) : result;
          await tx.commit(spec.upserts ? { isNew: ctx.locals.isNew === true, result: kept } : kept);
          if (tx.hasEvents) runtime.onEvents(organizationId);
          return { result };
        } catch (error) {
          await tx.rollback();
          const type = errorType(error);
          if (!idempotency || (type !== idempotencyUsed && type !== idempotencyInUse)) throw error;
          const place = { shard, scope: tx.scope };
          if (type === idempotencyInUse) {
            await waitForFirst(place, idempotency, remainingMs(ctx));
            return undefined;
          }
          const kept = await recordedAnswer(place, idempotency, (reading, answer) =>
            mayStillSee(reading, principal, isKeptUpsert(spec, answer) ? answer.result : answer),
          );
          ctx.meta.replayed = true;
          if (!isKeptUpsert(spec, kept)) return { result: kept };
          ctx.locals.isNew = kept.isNew;
          return { result: kept.result };
        }
      };
      /** Once more, a few times, where it went by definitions that somebody changed meanwhile: nothing was done. */
      const attemptAnew = async (tries = 1): ReturnType<typeof attempt> => {
        try {
          return await attempt();
        } catch (error) {
          if (errorType(error) !== customFieldsChangedType || tries >= mostTries || ctx.stream) throw error;
          return attemptAnew(tries + 1);
        }
      };
      let done = await attemptAnew();
      while (done === undefined) {
        // what was read of an upload cannot be read again
        if (ctx.stream) throw keyInUse();
        done = await attemptAnew();
      }
      const { result } = done;
      if (ctx.locals.isNew === true) ctx.meta.isNew = true;
      succeeded.observe(secondsSince(start));
      return result;
    } catch (error) {
      failed.observe(secondsSince(start));
      // as it came, it would say that this action was not run
      throw isMissingService(error) ? serviceUnavailable() : error;
    }
  };
}

/** Whether a call chooses rows by a day or a time, which may name no zone. */
function namesTimes(params: unknown): boolean {
  if (typeof params !== "object" || params === null) return false;
  const { filter, where, view } = params as { filter?: unknown; where?: unknown; view?: unknown };
  // what a view asks is not known yet
  if (view !== undefined) return true;
  return (
    (filter !== undefined || where !== undefined) && /"\d{4}-\d\d-\d\d/.test(JSON.stringify([filter, where]))
  );
}

/** What of a call's meta goes with the jobs it adds. */
function originOf({ userId, requestId, traceparent }: Meta): JobOrigin | undefined {
  if (userId === undefined && requestId === undefined && traceparent === undefined) return undefined;
  return {
    ...(userId === undefined ? {} : { userId }),
    ...(requestId === undefined ? {} : { requestId }),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}

const serviceUnavailable = () =>
  appError(503, "SERVICE_UNAVAILABLE", "A part that this needs is not available; try again.");

let sample = 0;
/** @throws 500 when an action answers what its contract does not promise: a defect, never the caller's fault */
function checkResult(name: string, spec: ActionSpec, result: unknown, mode: Runtime["checkResults"]): void {
  if (mode === "never" || spec.transfer === "download") return;
  if (mode === "sampled" && sample++ % 100 !== 0) return;
  const parsed = spec.returns.safeParse(result);
  if (!parsed.success)
    throw appError(500, "RESULT_INVALID", `${name} broke its contract: ${z.prettifyError(parsed.error)}`);
}
