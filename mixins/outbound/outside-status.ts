import { BrokenCircuitError, BulkheadRejectedError } from "cockatiel";
import { errorType } from "../contract/errors.ts";

/** An answer of the other side that says no. Its status decides whether the call is repeated. */
export class OutsideStatusError extends Error {
  readonly status: number;
  /** How long the other side asks to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, retryAfterMs?: number) {
    super(`The other side answered ${status}`);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The answer itself when it is 2xx. @throws OutsideStatusError otherwise; the body is dropped */
export async function requireOk(response: Response): Promise<Response> {
  if (response.ok) return response;
  await response.body?.cancel();
  throw new OutsideStatusError(response.status, retryAfterMs(response.headers.get("retry-after")));
}

/** Retry-After, seconds or a date (RFC 9110, 10.2.3), as milliseconds from now. */
export function retryAfterMs(text: string | null): number | undefined {
  if (text === null) return undefined;
  const ms = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** Whether a failed attempt may succeed when it is made again soon. */
export function isRepeatable(error: unknown): boolean {
  if (error instanceof BrokenCircuitError || error instanceof BulkheadRejectedError) return false;
  if (error instanceof OutsideStatusError)
    return error.status >= 500 || error.status === 429 || error.status === 408;
  const type = errorType(error);
  return type === undefined || type === "OUTSIDE_TIMEOUT";
}
