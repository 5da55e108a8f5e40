import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Client } from "../support/client.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { eventually } from "../support/eventually.ts";
import { metric, startProcess, type NodeProcess } from "../support/process.ts";

// A gateway and three cores as processes. Captures take turns of a pool, which is one actor: the lead router.
let nats: NatsServer;
let database: string;
let gateway: NodeProcess;
const cores = new Map<string, NodeProcess>();
let admin: Client;
const settings = (services: string) => ({
  NATS_URL: nats.url,
  DATABASE_URL: database,
  NAMESPACE: "actors-test",
  SERVICES: services,
});
let started = 0;
async function startCore(): Promise<void> {
  const name = `core-${++started}`;
  cores.set(name, await startProcess(name, settings("core")));
}

beforeAll(async () => {
  nats = await startNats();
  database = await createDatabase();
  gateway = await startProcess("gateway", settings("service:gateway"));
  await Promise.all([startCore(), startCore(), startCore()]);
  admin = await eventually(() => new Client(gateway.origin).register("Actors"), 20_000);
}, 120_000);
afterAll(async () => {
  for (const core of cores.values()) core.kill("SIGCONT");
  await Promise.all([gateway, ...cores.values()].map((process) => process.stop()));
  await nats.stop();
  await dropDatabase(database);
}, 60_000);

/** A pool of the admin and four users, whose leads carry its name as source. */
async function makePool(name: string): Promise<string> {
  const users = await Promise.all(
    [1, 2, 3, 4].map((number) =>
      admin.post("/users", {
        name: `${name} ${number}`,
        email: `${name}-${number}@example.com`,
        password: "a long enough passphrase",
        role: "sales_rep",
      }),
    ),
  );
  const members = [admin.userId, ...users.map(({ body }) => (body as { id: string }).id)];
  const pool = await admin.post("/assignment-pools", {
    name,
    strategy: "round_robin",
    members: members.map((userId) => ({ userId })),
    criteria: [{ field: "source", op: "eq", value: name }],
  });
  expect(pool.status).toBe(201);
  const { id } = pool.body as { id: string };
  // every core has heard of the pool when a capture gets its member
  await eventually(async () => (await capture(name, `${name}-${Math.random()}`)).assignedTo);
  return id;
}

/** Captures a lead, with its key until it is answered, as a client should. */
async function capture(source: string, key: string): Promise<{ assignedTo: string | null }> {
  for (;;) {
    const answer = await admin.post("/leads", { firstName: key, source }, { "idempotency-key": key });
    if (answer.status === 201) return answer.body as { assignedTo: string | null };
    if (answer.status !== 503) throw new Error(`${answer.status}: ${JSON.stringify(answer.body)}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** Captures in 8 lanes until it is stopped; answers how many there were, and the longest silence between two, in ms. */
function captureSteadily(source: string) {
  let isOver = false;
  let count = 0;
  let last = performance.now();
  let longestMs = 0;
  const lanes = Promise.all(
    Array.from({ length: 8 }, async (_lane, lane) => {
      for (let index = 0; !isOver; index++) {
        await capture(source, `${source}-${lane}-${index}`);
        longestMs = Math.max(longestMs, performance.now() - last);
        last = performance.now();
        count++;
      }
    }),
  );
  return {
    count: () => count,
    async stop() {
      isOver = true;
      await lanes;
      return { count, longestMs };
    },
  };
}

async function router(poolId: string) {
  const [row] = await inspect<{ owner: string | null; epoch: number; position: number }>(
    database,
    "SELECT owner, epoch, (state -> 'position')::int AS position FROM actors WHERE kind = 'leads.router' AND id = $1",
    [poolId],
  );
  return row as { owner: string; epoch: number; position: number };
}

/** Each capture has taken one turn, those that were tried again too, and the turns went round. */
async function expectEachTurnOnce(source: string, poolId: string, captures: number): Promise<void> {
  const loads = await inspect<{ count: number }>(
    database,
    `SELECT count(*)::int FROM leads WHERE source = $1 AND assigned_to IS NOT NULL GROUP BY assigned_to`,
    [source],
  );
  const counts = loads.map(({ count }) => count);
  expect(counts.reduce((sum, count) => sum + count)).toBe(captures);
  expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  expect((await router(poolId)).position).toBe(captures);
}

test("a killed owner's actor goes on elsewhere, with every turn once", async () => {
  const poolId = await makePool("killed");
  const load = captureSteadily("killed");
  await eventually(() => load.count() > 30);
  const before = await router(poolId);
  const victim = cores.get(before.owner) as NodeProcess;
  cores.delete(before.owner);
  victim.kill("SIGKILL");
  await eventually(async () => (await router(poolId)).epoch > before.epoch, 20_000);
  const seen = load.count();
  await eventually(() => load.count() > seen + 50);
  const { count, longestMs } = await load.stop();
  await expectEachTurnOnce("killed", poolId, count + 1);
  console.log(`failover after kill -9: ${Math.round(longestMs)} ms, ${count} captures`);
  expect(longestMs).toBeLessThan(15_000);
  await startCore();
}, 90_000);

test("an owner that was frozen for 12 s is fenced when it wakes", async () => {
  const poolId = await makePool("frozen");
  const load = captureSteadily("frozen");
  await eventually(() => load.count() > 30);
  const before = await router(poolId);
  const frozen = cores.get(before.owner) as NodeProcess;
  frozen.kill("SIGSTOP");
  const frozenAt = performance.now();
  await eventually(async () => (await router(poolId)).epoch > before.epoch, 20_000);
  const seen = load.count();
  await eventually(() => load.count() > seen + 20, 12_000);
  await new Promise((done) => setTimeout(done, Math.max(0, 12_000 - (performance.now() - frozenAt))));
  frozen.kill("SIGCONT");
  const after = load.count();
  await eventually(() => load.count() > after + 50, 20_000);
  const { count, longestMs } = await load.stop();
  await expectEachTurnOnce("frozen", poolId, count + 1);
  const fenced = await metric(frozen, "crm_actor_turn_duration_seconds_count", 'outcome="fenced"');
  const failed = await metric(frozen, "crm_actor_turn_duration_seconds_count", 'outcome="failed"');
  console.log(
    `failover of a frozen owner: ${Math.round(longestMs)} ms; ${fenced} fenced, ${failed} failed turns`,
  );
  expect(fenced + failed).toBeGreaterThan(0);
}, 90_000);

test("cores that stop one after the other under load fail no call", async () => {
  const poolId = await makePool("rolling");
  let isOver = false;
  const refused: number[] = [];
  let count = 0;
  const load = Promise.all(
    Array.from({ length: 8 }, async () => {
      while (!isOver) {
        const answer = await admin.post("/leads", { firstName: "R", source: "rolling" });
        count++;
        if (answer.status !== 201) refused.push(answer.status);
      }
    }),
  );
  for (const [name, core] of [...cores]) {
    await startCore();
    await eventually(() => count > 20);
    cores.delete(name);
    expect(await core.stop()).toBe(0);
  }
  isOver = true;
  await load;
  expect(refused).toEqual([]);
  expect((await router(poolId)).position).toBe(count + 1);
}, 120_000);
