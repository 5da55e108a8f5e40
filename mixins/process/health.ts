import { within } from "../concurrency/within.ts";

/** Longest a part may take to answer before it counts as down. */
const answerTimeoutMs = 2_000;
/** How often each part is asked. */
const askEveryMs = 1_000;
/** How long after the start a part that was never up may still be on its way: only then it is logged. */
const comingMs = 5_000;

/** One part that this process works with, or is. */
export interface Check {
  name: string;
  /** Whether this process cannot serve without it. */
  isVital: boolean;
  /** Says something about a part that is up, or throws why it is down. */
  ask: () => Promise<string | void> | string | void;
  /** Costs nothing to ask: then what a report says is of this instant, not of the last second. */
  isInstant?: boolean;
  /** Name of a check before this one without which the part cannot be reached: while that is down, only it is logged. */
  over?: string;
}

interface PartState {
  status: "up" | "down";
  /** Why it is down, or what is to say of it. */
  detail?: string;
}
export interface HealthReport {
  /** False while a vital part is down. */
  isReady: boolean;
  checks: Record<string, PartState>;
}

/**
 * How the parts stand that a process works with: the one list behind readiness and `/health` on every port. Each is asked
 * once a second, so that a part which goes is down here within three seconds (also one that hangs), and is logged: once
 * when it goes and once when it is back.
 */
export class Health {
  readonly #checks: Check[] = [];
  readonly #states = new Map<string, PartState>();
  /** Of parts whose failure was logged. */
  readonly #downSince = new Map<string, number>();
  readonly #wereUp = new Set<string>();
  #startedAt: number | undefined;
  readonly #asking = new Set<string>();
  readonly #log: (line: string, isVital: boolean) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(log: (line: string, isVital: boolean) => void) {
    this.#log = log;
  }

  add(check: Check): void {
    this.#checks.push(check);
  }

  /** Asks every part, and from then on again each second. */
  async start(): Promise<void> {
    this.#startedAt ??= performance.now();
    this.#timer ??= setInterval(() => void this.#askAll(), askEveryMs).unref();
    await this.#askAll();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** A part that was not asked yet is down. */
  report(): HealthReport {
    const checks: HealthReport["checks"] = {};
    for (const check of this.#checks)
      checks[check.name] = (check.isInstant && this.#askNow(check)) || this.#stateOf(check.name);
    const isReady = this.#checks.every(({ name, isVital }) => !isVital || checks[name]?.status === "up");
    return { isReady, checks };
  }

  async #askAll(): Promise<void> {
    // in order, as a part may stand on one before it; one that hangs is not asked again meanwhile
    await Promise.all(this.#checks.map((check) => this.#ask(check)));
  }

  async #ask(check: Check): Promise<void> {
    if (this.#asking.has(check.name)) return;
    this.#asking.add(check.name);
    const askedAt = performance.now();
    try {
      const detail = await within(
        answerTimeoutMs,
        Promise.resolve().then(() => check.ask()),
        () => {
          throw new Error(`no answer within ${answerTimeoutMs} ms`);
        },
      );
      this.#note(check, up(detail));
    } catch (error) {
      // when this process itself stood still it knows nothing of others
      if (performance.now() - askedAt < 2 * answerTimeoutMs) this.#note(check, down(error));
    } finally {
      this.#asking.delete(check.name);
    }
  }

  #askNow(check: Check): PartState | undefined {
    try {
      const detail = check.ask();
      return detail instanceof Promise ? undefined : up(detail);
    } catch (error) {
      return down(error);
    }
  }

  #note(check: Check, state: PartState): void {
    const { name, isVital, over } = check;
    this.#states.set(name, state);
    const now = performance.now();
    const since = this.#downSince.get(name);
    if (state.status === "down") {
      const isExplained = over !== undefined && this.#states.get(over)?.status === "down";
      const isComing = !this.#wereUp.has(name) && now - (this.#startedAt ?? now) < comingMs;
      if (since !== undefined || isExplained || isComing) return;
      this.#downSince.set(name, now);
      this.#log(`${name} is down: ${state.detail ?? ""}`, isVital);
    } else {
      this.#wereUp.add(name);
      if (since === undefined) return;
      this.#downSince.delete(name);
      this.#log(`${name} is up again after ${Math.round((now - since) / 1000)} s`, false);
    }
  }

  #stateOf(name: string): PartState {
    return this.#states.get(name) ?? { status: "down", detail: "not asked yet" };
  }
}

const up = (detail: string | void): PartState => ({ status: "up", ...(detail ? { detail } : {}) });
const down = (error: unknown): PartState => ({ status: "down", detail: (error as Error).message });
