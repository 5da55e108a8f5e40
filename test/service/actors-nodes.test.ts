import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { actorCommand } from "../../mixins/actors/actor-command.ts";
import type { Answer } from "../../mixins/actors/message.ts";
import { registry } from "../../mixins/process/metrics.ts";
import { seeEachOther, startCounterNode, type CounterNode } from "../support/counter.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { eventually } from "../support/eventually.ts";

// Three brokers that share two databases, with only NATS between them.
let nats: NatsServer;
let databases: string[];
let nodes: CounterNode[];
beforeAll(async () => {
  [nats, databases] = await Promise.all([startNats(), Promise.all([createDatabase(), createDatabase()])]);
  nodes = await Promise.all(["a", "b", "c"].map((name) => startCounterNode(databases, nats.url, { name })));
  await seeEachOther(nodes);
});
afterAll(async () => {
  await Promise.all(nodes.map((node) => node.stop()));
  await nats.stop();
  for (const url of databases) await dropDatabase(url);
});

const organizations = [uuidv7(), uuidv7(), uuidv7()];
const anyNode = () => nodes[Math.floor(Math.random() * nodes.length)] as CounterNode;
const anyOrganization = () => organizations[Math.floor(Math.random() * 3)] as string;

async function everywhere<T extends Record<string, unknown>>(
  sql: string,
  values: unknown[] = [],
): Promise<T[]> {
  return (await Promise.all(databases.map((url) => inspect<T>(url, sql, values)))).flat();
}
const ownerOf = async (id: string) =>
  (await everywhere<{ owner: string | null }>("SELECT owner FROM actors WHERE id = $1", [id]))[0]?.owner;
const rowsOf = async (id: string) =>
  (await everywhere("SELECT 1 FROM companies WHERE name LIKE $1 || ' add'", [id])).length;
async function fencedTurns(): Promise<number> {
  const metric = await registry.getSingleMetric("crm_actor_turn_duration_seconds")?.get();
  return (metric?.values ?? [])
    .filter(
      (value) =>
        (value as { metricName?: string }).metricName?.endsWith("_count")
        && value.labels.outcome === "fenced",
    )
    .reduce((sum, { value }) => sum + value, 0);
}

test("actors spread over the nodes, and every node finds them", async () => {
  const organizationId = anyOrganization();
  const ids = Array.from({ length: 90 }, (_, index) => `spread-${index}`);
  for (const node of nodes) await Promise.all(ids.map((id) => node.counter(organizationId, id).add({})));
  for (const id of ids)
    expect(await anyNode().counter(organizationId, id).get({})).toMatchObject({ count: 3 });
  const owners = Map.groupBy(
    await everywhere<{ owner: string; epoch: number }>(
      "SELECT owner, epoch FROM actors WHERE id LIKE 'spread-%'",
    ),
    ({ owner }) => owner,
  );
  expect([...owners.keys()].sort()).toEqual(["a", "b", "c"]);
  for (const owned of owners.values()) expect(owned.length).toBeGreaterThan(15);
  expect([...owners.values()].flat().every(({ epoch }) => epoch === 1)).toBe(true);
});

test("rival activations lose no turn and apply none twice", async () => {
  const organizationId = anyOrganization();
  const id = "rivals";
  await anyNode().counter(organizationId, id).add({});
  const before = await fencedTurns();
  let isOver = false;
  // takes the ownership away without telling anybody, so that several nodes keep an activation of the same actor
  const rivalry = (async () => {
    while (!isOver) {
      await everywhere("UPDATE actors SET owner = NULL WHERE id = $1", [id]);
      await new Promise((done) => setTimeout(done, 2));
    }
  })();
  /** Straight to one node's activation, past placement. */
  const push = async (messageId: string): Promise<number> => {
    for (;;) {
      const answer = await anyNode().broker.call<Answer, object>(
        "counter.actors.turn",
        {
          address: { organizationId, kind: "counter.tally", id },
          message: "add",
          params: {},
          messageId,
          expiresAt: Date.now() + 10_000,
        },
        { nodeID: anyNode().broker.nodeID, meta: { organizationId, role: "system" } },
      );
      if ("result" in answer) return answer.result as number;
    }
  };
  const answers = (
    await Promise.all(
      Array.from({ length: 9 }, async (_lane, lane) => {
        const results: number[] = [];
        for (let index = 0; index < 30; index++) results.push(await push(`rival-${lane}-${index}`));
        return results;
      }),
    )
  ).flat();
  isOver = true;
  await rivalry;
  expect(new Set(answers).size).toBe(270);
  expect(await anyNode().counter(organizationId, id).get({})).toMatchObject({ count: 271 });
  expect(await rowsOf(id)).toBe(271);
  expect(await fencedTurns()).toBeGreaterThan(before);
});

test("a node that joins takes no actor away from where it lives", async () => {
  const organizationId = anyOrganization();
  const ids = Array.from({ length: 60 }, (_, index) => `stay-${index}`);
  await Promise.all(ids.map((id) => anyNode().counter(organizationId, id).add({})));
  const before = await Promise.all(ids.map(ownerOf));
  const joined = await startCounterNode(databases, nats.url, { name: "d" });
  try {
    await seeEachOther([...nodes, joined]);
    await Promise.all(ids.map((id) => joined.counter(organizationId, id).add({})));
    expect(await Promise.all(ids.map(ownerOf))).toEqual(before);
    // new ones it gets
    const more = Array.from({ length: 40 }, (_, index) => `new-${index}`);
    await Promise.all(more.map((id) => anyNode().counter(organizationId, id).add({})));
    expect(await Promise.all(more.map(ownerOf))).toContain("d");
  } finally {
    await joined.stop();
  }
  await seeEachOther(nodes);
});

test("a node that stops under load answers what it has, fails no call and gives its actors up", async () => {
  const organizationId = anyOrganization();
  const leaving = await startCounterNode(databases, nats.url, { name: "leaving" });
  await seeEachOther([...nodes, leaving]);
  const ids = Array.from({ length: 30 }, (_, index) => `leave-${index}`);
  const sent = new Map(ids.map((id) => [id, 0]));
  let isOver = false;
  const load = Promise.all(
    ids.map(async (id) => {
      while (!isOver) {
        await anyNode().counter(organizationId, id).add({});
        sent.set(id, (sent.get(id) ?? 0) + 1);
      }
    }),
  );
  await eventually(async () => (await Promise.all(ids.map(ownerOf))).includes("leaving"));
  await leaving.stop();
  const owners = await Promise.all(ids.map(ownerOf));
  expect(owners).not.toContain("leaving");
  isOver = true;
  await load; // rejects with the first call that failed
  for (const id of ids) {
    expect(await anyNode().counter(organizationId, id).get({})).toMatchObject({ count: sent.get(id) });
    expect(await rowsOf(id)).toBe(sent.get(id));
  }
});

test("reminders that many nodes look for have one effect each", async () => {
  const ids = Array.from({ length: 40 }, (_, index) => `remind-${index}`);
  const counters = ids.map((id) => anyNode().counter(organizations[0] as string, id));
  await Promise.all(counters.map((counter) => counter.remind({ afterMs: 200, by: 1 })));
  await eventually(async () =>
    (await Promise.all(counters.map((c) => c.get({})))).every(({ count }) => count > 0),
  );
  // as if every delivery had been thought lost
  await new Promise((done) => setTimeout(done, 1200));
  for (const counter of counters) expect(await counter.get({})).toEqual({ count: 1, log: ["reminded"] });
});

test("a reminder whose deliverer dies is delivered again, with one effect", async () => {
  const organizationId = organizations[1] as string;
  const counter = anyNode().counter(organizationId, "twice");
  await counter.remind({ afterMs: 3_600_000, by: 1 });
  const [row] = await everywhere<{ id: string }>("SELECT id FROM actor_reminders WHERE actor_id = 'twice'");
  const deliver = (node: CounterNode) =>
    node.actors.sendAsSystem(
      { organizationId, kind: "counter.tally", id: "twice" },
      "add",
      { by: 1, note: "reminded" },
      { messageId: `reminder ${row?.id}`, ...(row && { reminderId: row.id }) },
    );
  await Promise.all([...nodes, ...nodes].map(deliver));
  expect(await counter.get({})).toEqual({ count: 1, log: ["reminded"] });
  // one that was cancelled while it was on its way
  await anyNode().actors.sendAsSystem(
    { organizationId, kind: "counter.tally", id: "twice" },
    "add",
    { by: 1 },
    { reminderId: uuidv7() },
  );
  expect(await counter.get({})).toMatchObject({ count: 1 });
});

test("an operator lists, finds, moves and passivates actors from a node that hosts none", async () => {
  const operator = await startCounterNode(databases, nats.url, { name: "operator", hosts: false });
  try {
    await eventually(() => operator.actors.hostsOf("counter").length === 3);
    const actorIs = (...words: string[]) => actorCommand(operator.broker, words);
    const organizationId = anyOrganization();
    const words = [organizationId, "counter.tally", "moved"];
    const counter = anyNode().counter(organizationId, "moved");
    expect(await actorIs("where", ...words)).toBe("It never had a turn.");
    await counter.add({});
    const from = (await ownerOf("moved")) as string;
    expect(await actorIs("where", ...words)).toBe(`On ${from}; epoch 1, version 1.`);
    expect(await actorIs("list", "counter.tally")).toContain(`${from}  ${words.join(" ")}  epoch 1`);
    expect(await actorIs("list", "leads.router")).toBe("0 in memory.");

    expect(await actorIs("move", ...words, "nowhere")).toContain("these nodes do:");
    const to = ["a", "b", "c"].find((name) => name !== from) as string;
    expect(await actorIs("move", ...words, to)).toBe(`Moved to ${to}.`);
    for (const node of nodes) await node.counter(organizationId, "moved").add({});
    expect(await ownerOf("moved")).toBe(to);

    expect(await actorIs("passivate", ...words)).toBe(`Passivated on ${to}.`);
    expect(await actorIs("passivate", ...words)).toBe("It is in no node's memory.");
    expect(await actorIs("where", ...words)).toContain("On no node: the next message decides");
    expect(await counter.get({})).toMatchObject({ count: 4 });
    expect(await actorIs("move", "x")).toContain("actor list [kind]");
  } finally {
    await operator.stop();
  }
});

test("actors leave the memory when nobody asks for them, or when there are too many, and come back as they were", async () => {
  const alone = await createDatabase();
  const node = await startCounterNode([alone], undefined, { idleMs: 300, mostActivations: 5 });
  try {
    const organizationId = anyOrganization();
    const ids = Array.from({ length: 8 }, (_, index) => `idle-${index}`);
    const inMemory = async () =>
      (await node.broker.call<{ id: string }[]>("counter.actors.list")).map(({ id }) => id);
    for (const id of ids) await node.counter(organizationId, id).add({});
    await eventually(async () => (await inMemory()).length <= 5);
    await eventually(async () => (await inMemory()).length === 0);
    const owned = await inspect(alone, "SELECT 1 FROM actors WHERE owner IS NOT NULL");
    expect(owned).toEqual([]);
    for (const id of ids) expect(await node.counter(organizationId, id).add({})).toBe(2);
  } finally {
    await node.stop();
    await dropDatabase(alone);
  }
});
