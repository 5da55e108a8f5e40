import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { endings, endLeftovers } from "./leftovers.ts";
import { runProgram, type Programs } from "./programs.ts";
import { readLines, whyItEnded, tellsOfFullStorage } from "./server-log.ts";

const firstPauseMs = 250;
const defaultLongestPauseMs = 15_000;
/** A server that ran for so long has recovered: its next end is the first of a new row. */
const soundAfterMs = 60_000;
/** Ends in a row after which nobody expects it to come back: about a minute. One for want of space is not counted. */
const mostFaults = 10;

export interface SupervisorOptions {
  dataDirectory: string;
  programs: Programs;
  /** Of `postgres`, behind the data directory. */
  args: string[];
  log: (line: string) => void;
  /** Hears when it ends and when it is back. */
  warn: (line: string) => void;
  /** Hears, once, that it ends again and again and is not started any more. */
  onGivenUp: (error: Error) => void;
  /** Between an end and a new start. Default 15,000. */
  longestPauseMs?: number;
}

/** How a server ended. */
interface End {
  reason: string;
  isForSpace: boolean;
  /** How long it took connections; 0 if it never did. */
  ranMs: number;
}

/** Keeps one PostgreSQL server running on its data directory, until it is stopped. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #stopping = new AbortController();
  #child: ChildProcess | undefined;
  /** The server's runs, one after the other. */
  #runs: Promise<unknown> | undefined;
  #outage: string | undefined = "PostgreSQL has not started";

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** Why it takes no connections, as a sentence without a full stop; undefined while it does. */
  get outage(): string | undefined {
    return this.#outage;
  }

  /** Starts it. @throws Error saying why it does not start; it is then not tried again */
  async start(): Promise<void> {
    const ready = Promise.withResolvers<undefined>();
    const first = this.#run(() => ready.resolve(undefined));
    this.#runs = first;
    const end = await Promise.race([ready.promise, first]);
    if (end) throw new Error(end.reason);
    this.#runs = this.#keep(first);
  }

  /** Ends it, and resolves when it has ended: in order if it can, hard after 20 s. Safe to call twice, and while it starts. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#child) await endChild(this.#child);
    await this.#runs;
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Waits for each end, and starts it again after a pause that grows. */
  async #keep(first: Promise<End>): Promise<void> {
    const { longestPauseMs = defaultLongestPauseMs } = this.#options;
    const again = () => this.#options.warn("PostgreSQL runs again.");
    let [ends, faults, said] = [0, 0, ""];
    for (let run = first; ; run = this.#run(again)) {
      const end = await run;
      if (this.#isStopping) return;
      if (end.ranMs > 0) said = "";
      if (end.ranMs > soundAfterMs) ends = faults = 0;
      ends += 1;
      if (!end.isForSpace) faults += 1;
      this.#outage = `PostgreSQL does not run: ${end.reason}`;
      if (faults >= mostFaults) {
        this.#options.onGivenUp(
          new Error(`The embedded PostgreSQL ended ${faults} times in a row: ${end.reason}.`),
        );
        return;
      }
      const pauseMs = Math.min(firstPauseMs * 2 ** (ends - 1), longestPauseMs);
      // one that stays away for hours says why once, not every time
      if (said !== end.reason) this.#options.warn(`${this.#outage}. It is started again.`);
      said = end.reason;
      await sleep(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      if (this.#isStopping) return;
    }
  }

  /** Runs the server once, until it ends. */
  async #run(onReady: () => void): Promise<End> {
    const { dataDirectory, programs, args, log } = this.#options;
    let readyAt: number | undefined;
    let lines: () => readonly string[] = () => [];
    let reason: string | undefined;
    try {
      await endLeftovers(dataDirectory);
      this.#stopping.signal.throwIfAborted();
      const child = runProgram(programs.postgres, ["-D", dataDirectory, ...args], programs);
      this.#child = child;
      lines = readLines(child, (line) => {
        log(line);
        if (readyAt !== undefined || !line.includes("database system is ready to accept connections")) return;
        readyAt = performance.now();
        this.#outage = undefined;
        onReady();
      });
      const closed = once(child, "close");
      closed.catch(() => undefined); // a program that cannot be run ends both; the exit tells
      const [, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
      // its last words; children that outlive it may hold the pipe open
      await Promise.race([closed, sleep(200)]);
      if (signal !== null) reason = `it was ended by ${signal}`;
    } catch (error) {
      reason = (error as Error).message;
    }
    this.#child = undefined;
    return {
      reason: reason ?? whyItEnded(lines()),
      isForSpace: reason === undefined && tellsOfFullStorage(lines()),
      ranMs: readyAt === undefined ? 0 : performance.now() - readyAt,
    };
  }
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  for (const { signal, patienceMs } of endings) {
    child.kill(signal);
    const patience = new AbortController();
    const hasEnded = await Promise.race([
      exited.then(() => true),
      sleep(patienceMs, false, { signal: patience.signal }),
    ]);
    patience.abort();
    if (hasEnded) return;
  }
}
