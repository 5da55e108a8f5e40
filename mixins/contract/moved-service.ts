import { setTimeout as sleep } from "node:timers/promises";
import type { CallingOptions, Context, Middleware } from "moleculer";

/** Longest a call waits for a service that is on its way to another node. */
const patienceMs = 3_000;
const firstPauseMs = 25;
const longestPauseMs = 400;

type Call = Promise<unknown> & { ctx?: Context };
type Target = string | { action: { name: string } };

/**
 * Calls again when a call never reached a handler: no node offered the action, or the node it went to was stopping.
 * That is safe for commands too. The error must name the called action itself: one from deeper down leaves
 * a handler under another name (see mixins/contract/service.ts), and its caller has run.
 */
export function movedServiceMiddleware(): Middleware {
  return {
    name: "MovedService",
    call: (next: (target: Target, params: unknown, options?: CallingOptions) => Call) => {
      return (target: Target, params: unknown, options: CallingOptions = {}): Call => {
        const first = next(target, params, options);
        // whoever names a node wants that one, and a stream cannot be read twice
        if (options.nodeID !== undefined || options.stream !== undefined) return first;
        const name = typeof target === "string" ? target : target.action.name;
        const call: Call = first.catch(async (failure: unknown) => {
          const start = performance.now();
          const patience = Math.min(patienceMs, options.timeout ?? patienceMs);
          let error = failure;
          for (let pauseMs = firstPauseMs; neverRan(error, name); pauseMs *= 2) {
            const waited = performance.now() - start;
            if (waited + pauseMs > patience) break;
            await sleep(Math.min(pauseMs, longestPauseMs));
            const timeout = options.timeout ? options.timeout - (performance.now() - start) : options.timeout;
            const again = next(name, params, { ...options, timeout });
            try {
              const result = await again;
              call.ctx = again.ctx;
              return result;
            } catch (later) {
              call.ctx = again.ctx;
              error = later;
            }
          }
          throw error;
        });
        call.ctx = first.ctx;
        return call;
      };
    },
  } as unknown as Middleware; // the types give these hooks the results of what they wrap
}

const names = new Set(["ServiceNotFoundError", "ServiceNotAvailableError"]);
/** Whether an error, perhaps from another node, says that this action was not run. */
export function neverRan(error: unknown, action: string): boolean {
  const { name, data } = (error ?? {}) as { name?: string; data?: { action?: string } };
  return names.has(name ?? "") && data?.action === action;
}
/** Whether an error says that some action was not run. */
export const isMissingService = (error: unknown): boolean => names.has((error as Error | null)?.name ?? "");
