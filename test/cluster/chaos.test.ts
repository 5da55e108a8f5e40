import { expect, test } from "@jest/globals";
import { faults } from "../chaos/faults.ts";
import { runRound } from "../chaos/round.ts";

/** One short round of `npm run test:chaos`, which has all faults. */
const chosen = ["kill -9 a core", "kill -9 a worker", "PostgreSQL connections terminated mid-commit"];

test("killed processes and cut connections lose and double nothing that was acknowledged", async () => {
  const round = await runRound(1, {
    faults: faults.filter(({ name }) => chosen.includes(name)),
    size: { gateway: 2, core: 2, worker: 2, cron: 1 },
    hasRedis: false,
    isShort: true,
    say: () => undefined,
  });
  expect(round.steps.flatMap(({ problems }) => problems).concat(round.outputs ?? [])).toEqual([]);
  expect(round.steps.map(({ fault }) => fault).sort()).toEqual([...chosen].sort());
  for (const { acknowledged } of round.steps) expect(acknowledged).toBeGreaterThan(20);
}, 240_000);
