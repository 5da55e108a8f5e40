import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import pg from "pg";
import { v7 as uuidv7 } from "uuid";
import { addressKey, placeOf } from "../../mixins/actors/placement.ts";
import { startEmbeddedPostgres } from "../../mixins/database/embedded-postgres.ts";
import { seeEachOther, startCounterNode, type CounterNode } from "../support/counter.ts";
import { startNats } from "../support/nats.ts";

const usage = `node --import ./mixins/process/check-node.mjs test/bench/actors.ts [options]
Turns of actors a second, against bare pg transactions of the same statements; embedded PostgreSQL, rounds interleaved.
  --rounds <n>    of each (default 7)
  --seconds <n>   of a round (default 2)
  --actors <n>    that are sent to at once on one node (default 64)`;
const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    seconds: { type: "string", default: "2" },
    actors: { type: "string", default: "64" },
    help: { type: "boolean", default: false },
  },
});
if (flags.help) {
  console.log(usage);
  process.exit(0);
}
const [rounds, seconds, width] = [flags.rounds, flags.seconds, flags.actors].map(Number) as [
  number,
  number,
  number,
];
const poolSize = 8;
const organizationId = uuidv7();

/** How many of `work` are done a second when `lanes` do it one after the other. */
async function rate(lanes: number, work: (lane: number) => Promise<unknown>): Promise<number> {
  const start = performance.now();
  const end = start + seconds * 1000;
  let done = 0;
  await Promise.all(
    Array.from({ length: lanes }, async (_lane, lane) => {
      while (performance.now() < end) {
        await work(lane);
        done++;
      }
    }),
  );
  return done / ((performance.now() - start) / 1000);
}

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

/** A turn of `counter.tally add` as plain SQL: the rows a turn reads and writes, one statement for each. */
function turnStatements(
  id: string,
  epoch: number,
  count: number,
): { name: string; text: string; values?: unknown[] }[] {
  const actor = [organizationId, "counter.tally", id];
  const state = JSON.stringify({ count, log: [] });
  const where = "organization_id = $1 AND kind = $2 AND id = $3";
  return [
    { name: "b", text: "BEGIN" },
    {
      name: "e",
      text: "SELECT set_config('role', 'sangam_app', true), set_config('app.organization_id', $1, true)",
      values: [organizationId],
    },
    {
      name: "f",
      text: `SELECT 1 FROM actors WHERE ${where} AND epoch = $4 FOR NO KEY UPDATE`,
      values: [...actor, epoch],
    },
    {
      name: "i",
      text: `INSERT INTO actor_inbox (organization_id, kind, actor_id, message_id, result)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING 1`,
      values: [...actor, uuidv7(), JSON.stringify(count)],
    },
    {
      name: "w",
      text: `INSERT INTO companies (organization_id, id, name, created_at, updated_at)
        VALUES ($1, gen_random_uuid(), $2, now(), now())`,
      values: [organizationId, `${id} add`],
    },
    {
      name: "s",
      text: `UPDATE actors SET state = $4, version = version + 1 WHERE ${where}`,
      values: [...actor, state],
    },
    { name: "c", text: "COMMIT" },
  ];
}

/** The same turn through bare pg: statement by statement, or all sent at once on a pipelining connection. */
async function bareTurn(pool: pg.Pool, id: string, count: number, isPipelined: boolean): Promise<void> {
  const client = await pool.connect();
  try {
    const statements = turnStatements(id, 1, count);
    if (isPipelined) await Promise.all(statements.map((statement) => client.query(statement)));
    else for (const statement of statements) await client.query(statement);
  } finally {
    client.release();
  }
}

function report(name: string, values: number[], base?: number[]): void {
  const ratios = base?.map((one, index) => (values[index] as number) / one);
  console.log(
    `${name.padEnd(52)} ${median(values).toFixed(0).padStart(6)}/s${ratios ? `   ${median(ratios).toFixed(2)} of it` : ""}`,
  );
}

async function oneNode(url: string): Promise<void> {
  const node = await startCounterNode([url], undefined, { poolSize, checkResults: "sampled" });
  const [plain, pipelined] = [false, true].map(
    (pipeline) => new pg.Pool({ connectionString: url, max: poolSize, pipeline }),
  ) as [pg.Pool, pg.Pool];
  const counters = Array.from({ length: width }, (_, index) => node.counter(organizationId, `turn-${index}`));
  const counts = counters.map(() => 0);
  const bare = (pool: pg.Pool, isPipelined: boolean) => (lane: number) =>
    bareTurn(pool, `bare-${lane}`, (counts[lane] = (counts[lane] as number) + 1), isPipelined);
  await Promise.all(counters.map((counter) => counter.add({})));
  await plain.query(
    `INSERT INTO actors (organization_id, kind, id) SELECT $1, 'counter.tally', 'bare-' || n FROM generate_series(0, $2::int - 1) n`,
    [organizationId, width],
  );
  const measured = { plain: [], pipelined: [], turns: [], one: [] } as Record<string, number[]>;
  for (let round = 0; round <= rounds; round++) {
    const figures = {
      plain: await rate(width, bare(plain, false)),
      pipelined: await rate(width, bare(pipelined, true)),
      turns: await rate(width, (lane) => counters[lane]?.add({}) as Promise<number>),
      one: await rate(width, () => counters[0]?.add({}) as Promise<number>),
    };
    if (round === 0) continue; // everything warm
    for (const [name, value] of Object.entries(figures)) measured[name]?.push(value);
  }
  console.log(
    `\n${width} actors on one node, ${poolSize} connections, median of ${rounds} rounds of ${seconds} s`,
  );
  report("bare pg, statement by statement", measured.plain as number[]);
  report("  actor turns", measured.turns as number[], measured.plain);
  report("bare pg, a transaction's statements sent at once", measured.pipelined as number[]);
  report("  actor turns", measured.turns as number[], measured.pipelined);
  report("  turns of a single actor, one after the other", measured.one as number[], measured.pipelined);
  await Promise.all([plain.end(), pipelined.end()]);
  await node.stop();
}

async function threeNodes(url: string): Promise<void> {
  const nats = await startNats();
  const start = (name: string) =>
    startCounterNode([url], nats.url, { name, poolSize: 4, checkResults: "sampled" });
  const nodes = await Promise.all(["a", "b", "c"].map(start));
  await seeEachOther(nodes);
  const ids = Array.from({ length: 1000 }, (_, index) => `spread-${index}`);
  let next = 0;
  const anyActor = () => {
    const index = next++ % ids.length;
    const node = nodes[Math.floor(Math.random() * nodes.length)] as CounterNode;
    return node.counter(organizationId, ids[index] as string).add({});
  };
  await Promise.all(ids.map(anyActor));
  const spread: number[] = [];
  for (let round = 0; round < rounds; round++) spread.push(await rate(width, anyActor));
  console.log(`\n1,000 actors on three nodes (one process, joined by NATS), sent to from any of them`);
  report("actor turns", spread);

  // what a directory could save: a caller that knows nothing, after a node has joined
  const joined = await start("d");
  await seeEachOther([...nodes, joined]);
  const times = { where: [] as number[], elsewhere: [] as number[] };
  const owners = new Map<string, string>();
  for (const node of nodes)
    for (const { id } of await node.broker.call<{ id: string }[]>("counter.actors.list"))
      owners.set(id, node.broker.nodeID);
  for (const id of ids) {
    const place = placeOf(addressKey({ organizationId, kind: "counter.tally", id }), ["a", "b", "c", "d"]);
    const begun = performance.now();
    await joined.counter(organizationId, id).get({});
    (owners.get(id) === place ? times.where : times.elsewhere).push(performance.now() - begun);
  }
  console.log(
    `\nfirst message of a node that has just joined, to 1,000 actors that live elsewhere, one after the other`,
  );
  console.log(`  placement right   ${times.where.length}, median ${median(times.where).toFixed(2)} ms`);
  console.log(
    `  told to go on     ${times.elsewhere.length}, median ${median(times.elsewhere).toFixed(2)} ms`,
  );
  await Promise.all([...nodes, joined].map((node) => node.stop()));
  await nats.stop();
}

const folder = mkdtempSync(join(tmpdir(), "sangam-bench-"));
chmodSync(folder, 0o755); // PostgreSQL runs as a user of its own when this runs as root
const server = await startEmbeddedPostgres(folder, () => undefined);
try {
  await server.createDatabase("actors");
  const url = server.url("actors");
  await oneNode(url);
  await threeNodes(url);
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
