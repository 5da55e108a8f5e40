/**
 * A process of the product as `services/start.ts` runs it, with the witness in it and two faults built in: a clock that
 * is wrong from the start (CLOCK_SHIFT_MS), and an event loop that SIGUSR2 blocks (for BLOCK_MS).
 */
const shiftMs = Number(process.env.CLOCK_SHIFT_MS ?? 0);
if (shiftMs !== 0) shiftClock(shiftMs);

// only now: modules may take the clock with them
const { readEnv } = await import("../../mixins/process/env.ts");
const { startNode } = await import("../../services/node.ts");
const { witness } = await import("./witness.ts");

const env = readEnv(process.env);
const isHost = env.SERVICES?.some((name) => name === "core" || name === "worker") ?? true;
const starting = startNode(env, [witness(isHost)]);
let isStopping = false;
process.on("SIGTERM", () => {
  if (isStopping) process.exit(1);
  isStopping = true;
  void starting.then((node) => node.stop()).then(() => process.exit(0));
});
process.on("SIGUSR2", () => {
  const until = performance.now() + Number(process.env.BLOCK_MS ?? 0);
  while (performance.now() < until);
});
await starting;
console.log("Sangam is running");

/** Moves the wall clock of this process; steady clocks stay as they are. */
function shiftClock(ms: number): void {
  const Real = Date;
  class Shifted extends Real {
    constructor(...given: unknown[]) {
      if (given.length === 0) super(Real.now() + ms);
      else super(...(given as [number]));
    }
    static override now(): number {
      return Real.now() + ms;
    }
  }
  globalThis.Date = Shifted as DateConstructor;
}
