import type { Context, ServiceSchema } from "moleculer";
import { z } from "zod";
import { requirePermission } from "./actor.ts";
import type { ActionSpec, Contract } from "./contract.ts";
import type { Meta } from "./meta.ts";
import type { Database } from "./database/database.ts";
import { UnitOfWork, idempotencyUsed, type Shard } from "./database/unit-of-work.ts";
import type { Env } from "./env.ts";
import type { SealedBox } from "./sealed-box.ts";
import { appError, errorType, invalid, type FieldError } from "./errors.ts";
import { actionDuration, secondsSince } from "./metrics.ts";

/** What a process shares among its services; made in moleculer.config.ts before any of them. */
export interface Runtime {
  env: Env;
  /** Of package.json. */
  version: string;
  database: Database;
  /** Seals secrets at rest with MASTER_KEY. */
  sealedBox: SealedBox;
  /** Called after a commit that appended to the feed of this organization. */
  onEvents(organizationId: string): void;
  checkResults: "always" | "sampled" | "never";
}

/** Where the transaction of an action runs: the organization's shard, or the control database. */
type Home = "shard" | "control";

type AnyHandler = (ctx: never) => Promise<unknown>;
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
  options: { home?: Home } & Partial<ServiceSchema> = {},
): ServiceSchema {
  const { home = "shard", ...schema } = options;
  const actions: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(contract.actions)) {
    const fullName = `${contract.name}.${name}`;
    actions[name] = {
      rest: spec.rest,
      // a read may run twice: when its node is lost, the call goes to another
      ...(isQuery(spec) ? { retryPolicy: { enabled: true, retries: 2 } } : {}),
      handler: pipeline(fullName, spec, handlers[name] as AnyHandler, runtime, home),
    };
  }
  return { ...schema, name: contract.name, actions } as unknown as ServiceSchema;
}

const isQuery = (spec: ActionSpec): boolean => spec.rest?.startsWith("GET ") ?? false;

function pipeline(name: string, spec: ActionSpec, handler: AnyHandler, runtime: Runtime, home: Home) {
  const readOnly = isQuery(spec);
  const succeeded = actionDuration.labels(name, "ok");
  const failed = actionDuration.labels(name, "error");

  return async function run(ctx: CallContext): Promise<unknown> {
    const start = performance.now();
    // an upload may break while the call is refused, when nobody listens to it yet
    ctx.stream?.on("error", () => undefined);
    try {
      const { organizationId = "", userId = null, role = "", idempotency } = ctx.meta;
      const actor = { organizationId, userId, role };
      requirePermission(actor, spec.permission);
      const parsed = spec.params.safeParse(ctx.params);
      if (!parsed.success) throw invalid(fieldErrors(parsed.error));
      ctx.params = parsed.data;
      // the key is this action's alone: a nested call must not claim it again
      delete ctx.meta.idempotency;

      const shard = home === "shard" ? runtime.database.shardOf(organizationId) : runtime.database.control;
      const tx =
        spec.permission === "public"
          ? new UnitOfWork(runtime.database.control, { platform: true, readOnly })
          : new UnitOfWork(shard, { organizationId, readOnly }, readOnly ? undefined : idempotency);
      ctx.locals.actor = actor;
      ctx.locals.tx = tx;
      let result: unknown;
      try {
        result = (await handler(ctx as never)) ?? null;
        checkResult(name, spec, result, runtime.checkResults);
        if (home === "control" && tx.hasEvents)
          throw new Error(`${name} recorded an event in the control database; feeds live in the shards`);
        await tx.commit(result);
      } catch (error) {
        await tx.rollback();
        if (errorType(error) !== idempotencyUsed || !idempotency) throw error;
        result = await recordedResponse(shard, organizationId, idempotency);
        ctx.meta.replayed = true;
      }
      if (tx.hasEvents) runtime.onEvents(organizationId);
      succeeded.observe(secondsSince(start));
      return result;
    } catch (error) {
      failed.observe(secondsSince(start));
      throw error;
    }
  };
}

/** What the first request with this key was answered. @throws 422 when that request was another one */
async function recordedResponse(
  shard: Shard,
  organizationId: string,
  { key, fingerprint }: { key: string; fingerprint: string },
): Promise<unknown> {
  const tx = new UnitOfWork(shard, { organizationId, readOnly: true });
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

/** zod's issues as the API's field errors. */
export function fieldErrors(error: z.ZodError): FieldError[] {
  return error.issues.flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => ({
          path: [...issue.path, key].join("."),
          code: "unknown_field",
          message: "There is no such field.",
        }))
      : [{ path: issue.path.join("."), code: codeOf(issue), message: issue.message }],
  );
}

/** A refinement may name its code in `params`; zod itself only knows it as custom. */
const codeOf = (issue: z.core.$ZodIssue): string =>
  issue.code === "custom" && typeof issue.params?.code === "string" ? issue.params.code : issue.code;
