import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { Client, type Answer } from "../support/client.ts";
import type { Seeded } from "./seeded.ts";

/** How long an operation may go unanswered, with all its repetitions. */
export const patienceMs = 150_000;
/** A client gives a request up after this long and asks again. */
const requestTimeoutMs = 10_000;
const statusesToRepeat = new Set([429, 503, 504]);
const email = "admin@chaos.example";
const password = "correct-horse-battery";

/** Something a client asked for, until it was told that it is done. */
export interface Operation {
  workload: string;
  /** Steady clock of the test. */
  begunAt: number;
  acknowledgedAt: number;
  /** Times it was sent again. */
  repeated: number;
  body: unknown;
}

/**
 * A client of all gateways that does as the API asks: it repeats what was refused for the moment, cut off or not
 * answered, with the same Idempotency-Key, at another gateway. Anything else it is told is a failure of the product.
 */
export class GoodClient {
  readonly #origins: () => string[];
  readonly #seeded: Seeded;
  #session: Client = new Client("");
  readonly failures: string[] = [];

  constructor(origins: () => string[], seeded: Seeded) {
    this.#origins = origins;
    this.#seeded = seeded;
  }

  get organizationId(): string {
    return this.#session.organizationId;
  }
  get userId(): string {
    return this.#session.userId;
  }
  get token(): string {
    return this.#session.token ?? "";
  }

  async register(): Promise<void> {
    const organization = { organizationName: "Chaos", name: "Admin", email, password };
    const { body } = await this.do("register", "POST", "/auth/register", organization);
    this.#session = new Client("", body as never);
  }

  /** A new access token; the old one may have little time left. */
  async signIn(): Promise<void> {
    const { body } = await this.do("sign-in", "POST", "/auth/login", { email, password });
    this.#session = new Client("", body as never);
  }

  /** Repeats until it is done. @throws Error when it is refused for good, or not done in time */
  async do(workload: string, method: string, path: string, body?: unknown): Promise<Operation> {
    const begunAt = performance.now();
    const headers: Record<string, string> = method === "GET" ? {} : { "idempotency-key": randomUUID() };
    let last = "";
    for (let repeated = 0; performance.now() - begunAt < patienceMs; repeated++) {
      const answer = await this.#try(method, path, body, headers);
      if (typeof answer !== "string" && answer.status < 300)
        return { workload, begunAt, acknowledgedAt: performance.now(), repeated, body: answer.body };
      last = typeof answer === "string" ? answer : `${answer.status} ${JSON.stringify(answer.body)}`;
      if (typeof answer !== "string" && !isToBeRepeated(answer)) break;
      await setTimeout(this.#seeded.between(50, 400));
    }
    const failure = `${workload}: ${method} ${path} after ${Math.round(performance.now() - begunAt)} ms: ${last}`;
    this.failures.push(failure);
    throw new Error(failure);
  }

  async #try(
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string>,
  ): Promise<Answer | string> {
    const origin = this.#seeded.pick(this.#origins());
    const gaveUp = setTimeout(requestTimeoutMs, "no answer", { ref: false });
    const { token } = this.#session;
    const sent = new Client(origin).send(method, path, body, {
      ...headers,
      ...(token && { authorization: `Bearer ${token}` }),
    });
    return Promise.race([sent.catch(reasonOf), gaveUp]);
  }
}

/** A key whose first request still runs is asked for again. */
const isToBeRepeated = ({ status, body }: Answer): boolean =>
  statusesToRepeat.has(status)
  || (status === 409 && (body as { code?: string }).code === "IDEMPOTENCY_KEY_IN_USE");

/** fetch hides why in the cause. */
const reasonOf = ({ message, cause }: Error): string =>
  cause instanceof Error ? `${message}: ${cause.message}` : message;
