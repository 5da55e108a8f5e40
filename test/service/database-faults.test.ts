import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { rmSync } from "node:fs";
import pg from "pg";
import { startEmbeddedPostgres, type EmbeddedServer } from "../../mixins/database/embedded-postgres.ts";
import { openPool, takeConnection } from "../../mixins/database/pool.ts";
import { Client, type Answer } from "../support/client.ts";
import { countRows, createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { type Node, originOf, startNode, testEnv, type TestNode } from "../support/node.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { makeScratch } from "../support/scratch.ts";

/** A node whose PostgreSQL is behind a proxy. */
async function startBehind(proxy: TcpProxy, databases: string[]): Promise<{ node: Node; admin: Client }> {
  const urls = databases.map((url) => proxy.through(url));
  const node = await startNode(testEnv(urls, { LOG_LEVEL: "fatal" }));
  return { node, admin: await new Client(originOf(node as TestNode)).register("Faulty") };
}
const capture = (client: Client, name: string): Promise<Answer> =>
  client.post("/leads", { lastName: name, externalId: name }, { "idempotency-key": name });

describe("a node whose connections to PostgreSQL fail", () => {
  let databases: string[];
  let proxy: TcpProxy;
  let node: Node;
  let admin: Client;

  beforeAll(async () => {
    databases = [await createDatabase(), await createDatabase()];
    proxy = await TcpProxy.listen(Number(new URL(databases[0] as string).port));
    ({ node, admin } = await startBehind(proxy, databases));
  });
  afterEach(() => {
    proxy.resume();
    proxy.cut();
  });
  afterAll(async () => {
    await node.stop();
    await proxy.close();
    for (const url of databases) await dropDatabase(url);
  });

  test("stores each capture exactly once for a client that repeats with its key", async () => {
    let isOver = false;
    const unexpected: Answer[] = [];
    let failures = 0;
    const cutting = (async () => {
      for (let turn = 0; !isOver; turn++) {
        await new Promise((done) => setTimeout(done, 40));
        if (turn % 2 === 0) proxy.cut();
        else
          await inspect(
            databases[0] as string,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sangam'",
          );
      }
    })();
    const repeatUntilStored = async (name: string) => {
      for (;;) {
        const answer = await capture(admin, name);
        if (answer.status === 201) return;
        failures++;
        // 409: the first one still runs, on a connection that is not yet known to be dead
        if (answer.status !== 503 && answer.status !== 409) {
          unexpected.push(answer);
          return;
        }
      }
    };
    for (let batch = 0; batch < 20; batch++)
      await Promise.all(Array.from({ length: 5 }, (_, lane) => repeatUntilStored(`cut-${batch}-${lane}`)));
    isOver = true;
    await cutting;
    expect(unexpected).toEqual([]);
    expect(failures).toBeGreaterThan(0);
    expect(await countRows(databases, "leads")).toBe(100);
  });

  test("answers 503 while none can be opened, and goes on by itself", async () => {
    proxy.refuse();
    const refused = await eventually(async () => {
      const answer = await admin.get("/leads");
      return answer.status === 200 ? undefined : answer;
    });
    expect(refused).toMatchObject({ status: 503, body: { code: "DATABASE_UNAVAILABLE" } });
    expect(refused.headers.get("retry-after")).toBe("2");
    proxy.resume();
    expect((await admin.get("/leads")).status).toBe(200);
  });

  test("says that the outcome is unknown when the connection is lost at the commit", async () => {
    // pollers use connections too: one must be left for the capture, a new one could not be opened
    await Promise.all(Array.from({ length: 8 }, (_, index) => capture(admin, `warm-${index}`)));
    proxy.blackhole("down");
    const answering = capture(admin, "unheard");
    await eventually(async () => (await countRows(databases, "leads WHERE external_id = 'unheard'")) === 1);
    proxy.cut();
    expect(await answering).toMatchObject({ status: 503, body: { code: "OUTCOME_UNKNOWN" } });
    proxy.resume();
    const repeated = await capture(admin, "unheard");
    expect(repeated).toMatchObject({ status: 201 });
    expect(repeated.headers.get("idempotency-replayed")).toBe("true");
    expect(await countRows(databases, "leads WHERE external_id = 'unheard'")).toBe(1);
  });
});

describe("a pool", () => {
  const options = { types: new pg.TypeOverrides(), onError: () => undefined };

  test("gives up a connection in use that is silent, and only that", async () => {
    const url = await createDatabase();
    const proxy = await TcpProxy.listen(Number(new URL(url).port));
    const pool = openPool(proxy.through(url), { ...options, size: 2, silenceTimeoutMs: 300 });
    try {
      const client = await takeConnection(pool);
      expect((await client.query("SELECT pg_sleep(0.1)")).rowCount).toBe(1);
      proxy.blackhole();
      await expect(client.query("SELECT 1")).rejects.toThrow("no answer for 300 ms");
      client.release(true);
      proxy.resume();
      expect((await pool.query("SELECT 1")).rowCount).toBe(1);
      await new Promise((done) => setTimeout(done, 400));
      expect(pool.idleCount).toBe(1);
    } finally {
      await pool.end();
      await proxy.close();
      await dropDatabase(url);
    }
  });

  test("ends a transaction that rests, and who waits for its locks goes on", async () => {
    const url = await createDatabase();
    const pool = openPool(url, { ...options, size: 2, restTimeoutMs: 300 });
    try {
      const [resting, waiting] = [await takeConnection(pool), await takeConnection(pool)];
      const lock = "SELECT pg_advisory_xact_lock(1)";
      await resting.query("BEGIN");
      await resting.query(lock);
      expect((await waiting.query(lock)).rowCount).toBe(1);
      await expect(resting.query("COMMIT")).rejects.toThrow();
      resting.release(true);
      waiting.release();
    } finally {
      await pool.end();
      await dropDatabase(url);
    }
  });

  test("refuses those who would wait behind too many others", async () => {
    const url = await createDatabase();
    const pool = openPool(url, { ...options, size: 1 });
    try {
      const first = await takeConnection(pool);
      const waiting = Array.from({ length: 256 }, () => takeConnection(pool));
      await expect(takeConnection(pool)).rejects.toMatchObject({ code: 503, type: "DATABASE_BUSY" });
      first.release();
      for (const next of waiting) (await next).release();
    } finally {
      await pool.end();
      await dropDatabase(url);
    }
  });
});

test("a node that is stopped while its workers start ends with them", async () => {
  const url = await createDatabase();
  const proxy = await TcpProxy.listen(Number(new URL(url).port));
  try {
    // a slow database, so that they still start
    proxy.delay(5);
    const node = await startNode(testEnv([proxy.through(url)], { LOG_LEVEL: "fatal" }));
    await node.stop();
    await eventually(() => proxy.connections === 0);
  } finally {
    await proxy.close();
    await dropDatabase(url);
  }
});

test("a node goes on by itself after its PostgreSQL was restarted", async () => {
  const folder = makeScratch("sangam-restart-");
  let server: EmbeddedServer | undefined = await startEmbeddedPostgres(folder, () => undefined);
  const portOf = (running: EmbeddedServer) => Number(new URL(running.url("sangam")).port);
  await server.createDatabase("sangam");
  const proxy = await TcpProxy.listen(portOf(server));
  const { node, admin } = await startBehind(proxy, [server.url("sangam")]);
  try {
    expect((await capture(admin, "before")).status).toBe(201);
    const stopping = server.stop();
    const during: Answer[] = [];
    const down = await eventually(async () => {
      during.push(await capture(admin, "meanwhile"));
      return during.at(-1)?.status === 503;
    });
    expect(down).toBe(true);
    await stopping;
    server = await startEmbeddedPostgres(folder, () => undefined);
    proxy.forwardTo(portOf(server));
    await eventually(async () => (await capture(admin, "meanwhile")).status === 201);
    expect((await admin.get("/leads?count=true")).body).toMatchObject({ page: { total: 2 } });
  } finally {
    await node.stop();
    await proxy.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
