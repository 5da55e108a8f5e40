import { setTimeout } from "node:timers/promises";
import { Cluster } from "../chaos/cluster.ts";
import { GoodClient } from "../chaos/good-client.ts";
import { Seeded } from "../chaos/seeded.ts";
import { Client } from "../support/client.ts";

// How long reads take whose core is killed with kill -9 amid them: two gateways without services, three cores, 16 lanes of
// GET /leads. `node test/bench/killed-core.ts [kills]`
const kills = Number(process.argv[2] ?? 8);
const lanes = 16;

const cluster = await Cluster.start(
  { gateway: 2, core: 3, worker: 0, cron: 0 },
  { hasRedis: false, settings: {} },
);
try {
  const good = new GoodClient(() => cluster.origins, new Seeded(1));
  await good.register();
  const reader = cluster.origins.map((origin) => new Client(origin, sessionOf(good)));
  const longest: number[] = [];
  let failed = 0;
  for (let kill = 0; kill < kills; kill++) {
    const cores = cluster.of("core");
    const victim = cores[kill % cores.length] as (typeof cores)[number];
    let isOver = false;
    let slowestMs = 0;
    let reads = 0;
    const load = Promise.all(
      Array.from({ length: lanes }, async (_, lane) => {
        const client = reader[lane % reader.length] as Client;
        while (!isOver) {
          const start = performance.now();
          const { status } = await client.get("/leads?limit=5");
          slowestMs = Math.max(slowestMs, performance.now() - start);
          reads++;
          if (status !== 200) failed++;
        }
      }),
    );
    await setTimeout(1_500 + 100 * kill);
    victim.process.kill("SIGKILL");
    await setTimeout(6_000);
    isOver = true;
    await load;
    longest.push(Math.round(slowestMs));
    console.log(`kill ${kill + 1}: ${reads} reads, the longest ${Math.round(slowestMs)} ms`);
    await cluster.revive(victim);
    await setTimeout(3_000);
  }
  longest.sort((a, b) => a - b);
  console.log(
    `${kills} kills: longest read ${longest[Math.floor(kills / 2)]} ms median, ${longest.at(-1)} ms at most; ${failed} reads failed`,
  );
} finally {
  await cluster.stop();
}

function sessionOf({ token, userId, organizationId }: GoodClient) {
  return { accessToken: token, refreshToken: "", user: { id: userId }, organization: { id: organizationId } };
}
