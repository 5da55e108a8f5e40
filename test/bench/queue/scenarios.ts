import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Cluster, Member } from "../../chaos/cluster.ts";
import type { Load, Producer } from "./producer.ts";

/** What a scenario may touch. */
export interface Stage {
  cluster: Cluster;
  producer: Producer;
  /** Jobs a second of the phases without a disturbance so far. */
  baseline: number;
}

/** What disturbs the queue, for so long. It is over when this resolves. */
type Disturbance = (stage: Stage, ms: number) => Promise<void>;

export interface Scenario {
  name: string;
  /** recovery: what matters is the phase after it; pressure: the phase itself, which comes twice, in turn with quiet ones. */
  kind: "recovery" | "pressure";
  load: Load;
  disturb: Disturbance;
}

/** As the public comparison offers it while it breaks things. */
const offered: Load = { perSecond: 800 };
/** As many as the workers can do: the public comparison keeps 4,000 waiting. */
const saturated: Load = { waiting: 4_000 };
const highLoad = 1.5;
const burstSeconds = 10;
const backendKillEveryMs = 500;
const killEveryMs = 5_000;
const readers = 4;
const readEveryMs = 100;

export const scenarios: readonly Scenario[] = [
  {
    name: "restart",
    kind: "recovery",
    load: offered,
    disturb: async ({ cluster }, ms) => {
      const until = performance.now() + ms;
      await cluster.restartPostgres("stop", ms / 2);
      await sleep(Math.max(0, until - performance.now()));
    },
  },
  {
    name: "backend kill",
    kind: "recovery",
    load: offered,
    disturb: ({ cluster }, ms) =>
      repeatedly(ms, backendKillEveryMs, () =>
        cluster.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = 'sangam' AND pid <> pg_backend_pid() AND application_name LIKE 'sangam%'`,
        ),
      ),
  },
  { name: "pool exhausted", kind: "recovery", load: offered, disturb: holdAllConnections },
  {
    name: "crash",
    kind: "recovery",
    load: offered,
    disturb: async ({ cluster }, ms) => {
      const [victim] = cluster.of("worker") as [Member];
      await kill(victim);
      await sleep(ms);
      await cluster.revive(victim);
    },
  },
  {
    name: "repeated kills",
    kind: "recovery",
    load: offered,
    disturb: ({ cluster }, ms) => {
      const [victim] = cluster.of("worker") as [Member];
      return repeatedly(ms, killEveryMs, async () => {
        await kill(victim);
        await cluster.revive(victim);
      });
    },
  },
  {
    name: "idle in transaction",
    kind: "pressure",
    load: saturated,
    disturb: ({ cluster }, ms) =>
      withConnections(cluster, 1, async ([holder]) => {
        await holder.query("BEGIN");
        await holder.query("SELECT pg_current_xact_id()");
        await sleep(ms);
      }),
  },
  {
    name: "active readers",
    kind: "pressure",
    load: saturated,
    disturb: ({ cluster }, ms) =>
      withConnections(cluster, readers, async (connections) => {
        await Promise.all(
          connections.map(async (reader) => {
            await reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
            await repeatedly(ms, readEveryMs, () =>
              reader.query("SELECT count(*) FROM graphile_worker._private_jobs"),
            );
          }),
        );
      }),
  },
  {
    name: "burst",
    kind: "pressure",
    load: offered,
    disturb: async ({ producer, baseline }, ms) => {
      producer.burst(burstSeconds * baseline);
      await sleep(ms);
    },
  },
  {
    name: "sustained",
    kind: "pressure",
    load: saturated,
    disturb: async ({ producer, baseline }, ms) => {
      producer.load = { perSecond: highLoad * baseline };
      await sleep(ms);
    },
  },
];

async function repeatedly(ms: number, everyMs: number, what: () => Promise<unknown>): Promise<void> {
  const until = performance.now() + ms;
  while (performance.now() < until) {
    const begun = performance.now();
    await what();
    await sleep(Math.max(0, Math.min(everyMs - (performance.now() - begun), until - performance.now())));
  }
}

async function kill({ process: { child } }: Member): Promise<void> {
  const ended = new Promise((done) => child.once("close", done));
  child.kill("SIGKILL");
  await ended;
}

/** Connections of the owner, whom no limit stops; they are cut afterwards, with what they hold. */
async function withConnections(
  cluster: Cluster,
  count: number,
  work: (connections: pg.Client[] & { 0: pg.Client }) => Promise<void>,
): Promise<void> {
  const connections = Array.from({ length: count }, () => connection(cluster));
  try {
    await Promise.all(connections.map((one) => one.connect()));
    await work(connections as pg.Client[] & { 0: pg.Client });
  } finally {
    await Promise.all(connections.map((one) => one.end()));
  }
}

function connection(cluster: Cluster): pg.Client {
  const client = new pg.Client({ connectionString: cluster.databaseUrl, application_name: "bench-pressure" });
  client.on("error", () => undefined);
  return client;
}

/** Takes every connection that the server has left, and each that comes free meanwhile. */
async function holdAllConnections({ cluster }: Stage, ms: number): Promise<void> {
  const held: pg.Client[] = [];
  try {
    await repeatedly(ms, 100, async () => {
      for (let isFull = false; !isFull;) {
        const client = connection(cluster);
        isFull = await client.connect().then(
          () => (held.push(client), false),
          () => true,
        );
      }
    });
  } finally {
    await Promise.all(held.map((client) => client.end()));
  }
}
