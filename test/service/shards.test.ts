import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { Database } from "../../mixins/database/database.ts";
import { jobCommand } from "../../mixins/jobs/job-command.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { makeOrganization, type TestOrganization } from "../support/leads.ts";
import { rowsByDatabase } from "../support/movers.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";

let node: TestNode;
let org: TestOrganization;
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "leads,jobs,events" });
  org = await makeOrganization(node);
  await node.call("leads.create", { firstName: "a" }, org.as("admin"));
});
afterAll(() => node.stop());

/** Runs the command as `npm run shards -- …` does. */
async function shards(...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ["services/shards.ts", ...args], {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: node.databases[0],
      DATABASE_SHARDS: node.databases[1],
      MASTER_KEY: Buffer.alloc(32, 7).toString("base64"),
    },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
  });
  const code = new Promise<number | null>((done) => child.once("exit", done));
  const output = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, output: output.join("") };
}

test("the command line lists, moves, shows and verifies", async () => {
  const from = node.runtime.database.homes.indexOf(org.id);
  const listed = await shards("list");
  expect(listed).toMatchObject({ code: 0 });
  expect(listed.output).toMatch(new RegExp(`database ${from}: 1 organizations\n  ${org.id}  Test  1 events`));
  const moved = await shards("move", org.id, "--to", String(1 - from));
  expect(moved).toMatchObject({ code: 0 });
  expect(moved.output.trim().split("\n").at(-1)).toBe("done");
  expect((await shards("show", org.id)).output).toMatch(new RegExp(`database ${1 - from}: 1 organizations`));
  const verified = await shards("verify", org.id);
  expect(verified).toMatchObject({ code: 0 });
  expect(verified.output).toContain(`database ${from}: nothing`);
  const counts = await rowsByDatabase(node, org.id, "leads");
  expect([counts[from], counts[1 - from]]).toEqual([0, 1]);
});

test("the command line says what is wrong with a command", async () => {
  expect(await shards("move", "everybody")).toMatchObject({ code: 2 });
  expect((await shards("move", org.id, "--to", "7")).output).toContain("There is no database 7");
  expect((await shards("show", uuidv7())).output).toContain("There is no organization");
  expect((await shards("abandon", org.id)).output).toContain("not being moved");
});

test("verify finds rows that were left elsewhere", async () => {
  await node.runtime.database.homes.refresh();
  const url = node.databases[1 - node.runtime.database.homes.indexOf(org.id)] as string;
  await inspect(url, "INSERT INTO event_heads (organization_id, seq) VALUES ($1, 1) ON CONFLICT DO NOTHING", [
    org.id,
  ]);
  const verified = await shards("verify", org.id);
  expect(verified).toMatchObject({ code: 1 });
  expect(verified.output).toContain("rows are left here");
});

test("what is asked or done in every database names the one that is silent, and ends in the others", async () => {
  const urls = [await createDatabase(), await createDatabase()];
  const proxy = await TcpProxy.listen(Number(new URL(urls[1] as string).port));
  const database = await Database.open([urls[0] as string, proxy.through(urls[1] as string)], {
    ...{ logicalShards: 16, poolSize: 2, onError: () => undefined },
  });
  try {
    const ask = () => database.everywhere((tx) => tx.query({ text: "SELECT 1 AS one" }), 300);
    expect(await ask()).toEqual([
      { shard: "shard-0", answer: [{ one: 1 }] },
      { shard: "shard-1", answer: [{ one: 1 }] },
    ]);
    proxy.blackhole();
    expect(await ask()).toEqual([
      { shard: "shard-0", answer: [{ one: 1 }] },
      { shard: "shard-1", error: "no answer within 300 ms" },
    ]);
    await expect(database.ping()).rejects.toThrow("shard-1: no answer within 1500 ms");
    proxy.refuse();
    const worked: string[] = [];
    const work = database.eachShard((shard) =>
      database.transaction(shard, async (tx) => {
        await tx.query({ text: "SELECT 1 AS one" });
        worked.push(shard.platform.name);
      }),
    );
    await expect(work).rejects.toThrow("shard-1: ");
    expect(worked).toEqual(["shard-0"]);
  } finally {
    proxy.cut();
    await database.close();
    await proxy.close();
    for (const url of urls) await dropDatabase(url);
  }
});

test("operators' jobs come from every database", async () => {
  expect(await jobCommand(node.broker, ["dead"])).toBe("No job is dead.");
});

test("256 logical shards spread organizations over the databases, and are fixed from then on", async () => {
  const urls = [await createDatabase(), await createDatabase()];
  const options = { poolSize: 2, onError: () => undefined };
  try {
    const database = await Database.open(urls, { ...options, logicalShards: 256 });
    const homes = Array.from({ length: 1_000 }, () => database.homes.indexOf(uuidv7()));
    const second = homes.filter((index) => index === 1).length;
    expect(second).toBeGreaterThan(400);
    expect(second).toBeLessThan(600);
    const organizationId = uuidv7();
    await database.transaction({ organizationId }, (tx) =>
      tx.execute({
        text: `INSERT INTO companies (id, organization_id, name, created_at, updated_at)
          VALUES (gen_random_uuid(), $1, 'C', now(), now())`,
        values: [organizationId],
      }),
    );
    await database.close();
    await expect(Database.open(urls, { ...options, logicalShards: 16 })).rejects.toThrow("made with 256");
    const again = await Database.open(urls, { ...options, logicalShards: 256 });
    expect(await again.reader(organizationId).query({ text: "SELECT name FROM companies" })).toEqual([
      { name: "C" },
    ]);
    await again.close();
  } finally {
    for (const url of urls) await dropDatabase(url);
  }
});
