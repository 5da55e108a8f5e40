import { parseArgs } from "node:util";
import { requireProgram } from "../support/programs.ts";
import { faults } from "./faults.ts";
import { table } from "./report.ts";
import { runRound, type Round } from "./round.ts";
import { Seeded } from "./seeded.ts";

/**
 * `npm run test:chaos`: rounds of faults, each round on a cluster of its own. A seed decides everything that is chosen:
 * `-- --seed 7 --rounds 1` runs the seventh round again. `--only <part of a name>` runs these faults alone.
 */
const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    rounds: { type: "string", default: "20" },
    faults: { type: "string", default: "6" },
    only: { type: "string" },
    short: { type: "boolean", default: false },
  },
});
requireProgram("nats-server");
const size = { gateway: 3, core: 3, worker: 2, cron: 2 };

/** A fixed order goes round, so that few rounds meet all faults; the seed shuffles what one round meets. */
function faultsOf(seed: number) {
  const { only } = values;
  const chosen = only === undefined ? faults : faults.filter(({ name }) => name.includes(only));
  const order = new Seeded(0).shuffle(chosen);
  const count = Math.min(Number(values.faults), order.length);
  const turn = Array.from(
    { length: count },
    (_, index) => order[((seed - 1) * count + index) % order.length],
  );
  return new Seeded(seed).shuffle(turn.filter((fault) => fault !== undefined));
}

const rounds: Round[] = [];
const first = Number(values.seed);
// whoever has seen enough gets the figures so far
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, finish);
for (let seed = first; seed < first + Number(values.rounds); seed++) {
  console.log(`Round with seed ${seed}`);
  const round = await runRound(seed, {
    faults: faultsOf(seed),
    size,
    hasRedis: true,
    isShort: values.short,
    say: (line) => console.log(line),
  });
  rounds.push(round);
  if (round.outputs !== undefined)
    console.log(
      `FAILED. Again: npm run test:chaos -- --seed ${seed} --rounds 1; outputs are in ${round.outputs}`,
    );
}
finish();

function finish(): never {
  const green = rounds.filter(({ outputs }) => outputs === undefined).length;
  console.log(`\n${green} of ${rounds.length} rounds are green. Recovery: median/maximum, s.\n`);
  console.log(table(rounds));
  process.exit(green === rounds.length && rounds.length > 0 ? 0 : 1);
}
