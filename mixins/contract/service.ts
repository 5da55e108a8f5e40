import type { Readable } from "node:stream";
import type { Context, ServiceSchema } from "moleculer";
import { z } from "zod";
import { actorService, type ActorHandlersOf } from "../actors/actor-service.ts";
import type { ActorClient } from "../actors/client.ts";
import { accessChanged, type Access, type AccessChanged } from "../access/access.ts";
import { requirePermission } from "../access/actor.ts";
import { filledElsewhere, type ActionSpec, type Contract } from "./contract.ts";
import { defaultTimeoutMs, type JobOrigin, type JobSpec } from "../jobs/job-spec.ts";
import { deliver } from "../listeners/delivery.ts";
import type { Meta } from "./meta.ts";
import { personalDataCalls, type PersonalDataVerb } from "../privacy/personal-data.ts";
import type { Database } from "../database/database.ts";
import type { Idempotency } from "../database/idempotency.ts";
import { idempotencyUsed } from "../database/sql-errors.ts";
import type { Scope } from "../database/scope.ts";
import { UnitOfWork, type Shard } from "../database/unit-of-work.ts";
import type { Organizations } from "../organizations/organizations.ts";
import type { OrganizationKeys } from "../encryption/organization-keys.ts";
import type { Env } from "../process/env.ts";
import type { OutboundHttp } from "../outbound/http.ts";
import type { RedisConnections } from "../redis/connections.ts";
import type { Mailer } from "../mail/mail.ts";
import type { SealedBox } from "../encryption/sealed-box.ts";
import { deadlineExceeded, remainingMs } from "./deadline.ts";
import { appError, errorType, invalid } from "./errors.ts";
import { fieldErrors } from "./field-errors.ts";
import { actionDuration, secondsSince } from "../process/metrics.ts";
import { isMissingService } from "./moved-service.ts";

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
  /** How organizations stand: suspended or not, and on which plan. */
  organizations: Organizations;
  /** Sends mail, or keeps it where none is sent. */
  mailer: Mailer;
  /** Called after a commit that appended to the feed of this organization. */
  onEvents(organizationId: string): void;
  checkResults: "always" | "sampled" | "never";
  /** Of every service of the system, hosted here or not. */
  contracts: readonly Contract[];
  /** Whether this process is on its way out: it serves what it has, and should get nothing new. */
  isStopping(): boolean;
}

/** Where the transaction of an action runs: the organization's shard, or the control database. */
type Home = "shard" | "control";

type AnyHandler = (ctx: never) => Promise<unknown>;
type AnyListener = (ctx: never, event: never) => Promise<void>;
type CallContext = Context<unknown, Meta> & { locals: Record<string, unknown> };

/**
 * Makes a Moleculer service of a contract and its handlers. Around each handler, in this order: who calls and
 * may they (401, 403), are the parameters right (422), one unit of work that is committed with the
 * handler's answer, and a check of that answer against the contract.
 *
 * Public actions run before anybody is known, so theirs is the platform's view of the control database.
 * @param options.home where its transactions run; default `shard`
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
  } & Partial<ServiceSchema> = {},
): ServiceSchema {
  const { home = "shard", jobs = {}, listeners = {}, actors, personalData = {}, ...schema } = options;
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
      ...(isQuery(spec) ? { retryPolicy: { enabled: true, retries: 2 } } : {}),
      handler: pipeline(`${contract.name}.${name}`, spec, handlers[name] as AnyHandler, runtime, open),
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

/** Opens the unit of work of one call; `shard` is where its idempotency key is kept. */
type OpenUnit = (meta: Meta) => { tx: UnitOfWork; shard: Shard; isControl: boolean };

function unitOfAction(spec: ActionSpec, runtime: Runtime, home: Home): OpenUnit {
  const readOnly = isQuery(spec);
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
    const scope: Scope = { organizationId, readOnly, ...(isControl ? { home } : {}) };
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

const isQuery = ({ rest, transfer }: ActionSpec): boolean =>
  (rest?.startsWith("GET ") ?? false) && transfer !== "browser";

function pipeline(name: string, spec: ActionSpec, handler: AnyHandler, runtime: Runtime, open: OpenUnit) {
  const succeeded = actionDuration.labels(name, "ok");
  const failed = actionDuration.labels(name, "error");
  const hidden = filledElsewhere(spec);

  return async function run(ctx: CallContext): Promise<unknown> {
    const start = performance.now();
    // Moleculer tells of an upload that broke once, and then ends its stream: who begins to read later would see a whole one
    ctx.stream?.on("error", (error: Error) => void (ctx.stream as Readable).destroy(error));
    try {
      const { organizationId = "" } = ctx.meta;
      const idempotency = keptIdempotency(ctx.meta, runtime);
      const actor = await runtime.access.actorOf(ctx.meta);
      requirePermission(actor, spec.permission);
      const parsed = spec.params.safeParse(ctx.params);
      if (!parsed.success) throw invalid(fieldErrors(parsed.error, hidden));
      ctx.params = parsed.data;
      // the key is this action's alone: a nested call must not claim it again
      delete ctx.meta.idempotency;

      const { tx, shard, isControl } = open({ organizationId, ...(idempotency ? { idempotency } : {}) });
      tx.origin = originOf(ctx.meta);
      ctx.locals.actor = actor;
      ctx.locals.tx = tx;
      ctx.locals.actors = runtime.actors;
      ctx.locals.idempotencyKey = idempotency?.key;
      let result: unknown;
      try {
        result = (await handler(ctx as never)) ?? null;
        checkResult(name, spec, result, runtime.checkResults);
        if (isControl && tx.hasEvents)
          throw new Error(`${name} recorded an event in the control database; feeds live in the shards`);
        // the caller has been told that it failed: what can still be left undone is
        if (!tx.scope.readOnly && remainingMs(ctx) <= 0) throw deadlineExceeded();
        await tx.commit(spec.kept ? spec.kept(result) : result);
      } catch (error) {
        await tx.rollback();
        if (errorType(error) !== idempotencyUsed || !idempotency) throw error;
        result = await recordedResponse(new UnitOfWork(shard, { ...tx.scope, readOnly: true }), idempotency);
        ctx.meta.replayed = true;
      }
      if (tx.hasEvents) runtime.onEvents(organizationId);
      succeeded.observe(secondsSince(start));
      return result;
    } catch (error) {
      failed.observe(secondsSince(start));
      // as it came, it would say that this action was not run
      throw isMissingService(error) ? serviceUnavailable() : error;
    }
  };
}

/** A request's key with what is kept of its fingerprint: a body may hold a password, and a plain hash could be tried. */
const keptIdempotency = (
  { idempotency }: Meta,
  { sealedBox }: Pick<Runtime, "sealedBox">,
): Idempotency | undefined =>
  idempotency && {
    key: idempotency.key,
    fingerprint: sealedBox.mac("idempotency", idempotency.fingerprint),
  };

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

/** What the first request with this key was answered. @throws 422 when that request was another one */
async function recordedResponse(tx: UnitOfWork, { key, fingerprint }: Idempotency): Promise<unknown> {
  const rows = await tx.query<{ fingerprint: string; response: unknown }>({
    text: "SELECT fingerprint, response FROM idempotency_keys WHERE key = $1",
    values: [key],
  });
  await tx.commit();
  const [row] = rows;
  if (row?.fingerprint !== fingerprint)
    throw appError(
      422,
      "IDEMPOTENCY_KEY_REUSED",
      "This Idempotency-Key was used with another request; take a new key.",
    );
  return row.response;
}

let sample = 0;
/** @throws 500 when an action answers what its contract does not promise: a defect, never the caller's fault */
function checkResult(name: string, spec: ActionSpec, result: unknown, mode: Runtime["checkResults"]): void {
  if (mode === "never" || spec.transfer === "download") return;
  if (mode === "sampled" && sample++ % 100 !== 0) return;
  const parsed = spec.returns.safeParse(result);
  if (!parsed.success)
    throw appError(500, "RESULT_INVALID", `${name} broke its contract: ${z.prettifyError(parsed.error)}`);
}
