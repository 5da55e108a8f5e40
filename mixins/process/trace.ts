import { AsyncLocalStorage } from "node:async_hooks";
import type { Context, Middleware } from "moleculer";
import type { Meta } from "../contract/meta.ts";
import { drawBytes } from "../database/new-id.ts";

const form = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;

/**
 * The `traceparent` of work done for a request: the trace of the one that came with it, else a new trace; always a
 * new span. One that breaks the rules counts as none. See W3C Trace Context, 3.2.
 */
export function continueTrace(given: unknown): string {
  const [, version, traceId = "", parentId = "", flags = "", rest] =
    (typeof given === "string" ? form.exec(given) : null) ?? [];
  const isValid =
    version !== undefined
    && version !== "ff"
    && (version !== "00" || rest === undefined)
    && !/^0+$/.test(traceId)
    && !/^0+$/.test(parentId);
  // not sampled: nothing here records spans
  return `00-${isValid ? traceId : randomId(16)}-${randomId(8)}-${isValid ? flags : "00"}`;
}

/** Random, in hex; never all zero, which would mean that there is no id. */
function randomId(count: number): string {
  const id = drawBytes(count).toString("hex");
  return /^0+$/.test(id) ? randomId(count) : id;
}

const calls = new AsyncLocalStorage<Meta>();

/** Remembers for which request a piece of work is done, for `logFields` and for whoever starts further work. */
export function traceMiddleware(): Middleware {
  return {
    name: "Trace",
    localAction: (next: (ctx: Context<unknown, Meta>) => unknown) => (ctx: Context<unknown, Meta>) =>
      calls.run(ctx.meta, next, ctx),
  }; // the types want a handler bound to a service
}

/** `requestId` and `traceId` of the call that is being worked on, for every log line. */
export function logFields(): { requestId?: string; traceId?: string } {
  const { requestId, traceparent } = calls.getStore() ?? {};
  return {
    ...(requestId === undefined ? {} : { requestId }),
    ...(traceparent === undefined ? {} : { traceId: traceIdOf(traceparent) }),
  };
}

/** The trace's id in a valid `traceparent`. */
export const traceIdOf = (traceparent: string | undefined): string | undefined => traceparent?.split("-")[1];
