/** @jest-environment ./test/support/environment.mjs */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import type { Claims } from "../../mixins/access/access-token.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { type Node, startNode, startTestNode, testEnv, type TestNode } from "../support/node.ts";
import { RealtimeServer, SocketClient, buildClaims, tokenOf } from "../support/realtime.ts";
import { startRedisCluster, subscribed, type RedisCluster } from "../support/redis.ts";

let redis: RedisCluster;
let nodeA: TestNode;
let nodeB: Node;
let servers: RealtimeServer[];
const clients: SocketClient[] = [];
beforeAll(async () => {
  redis = await startRedisCluster();
  const settings = { SERVICES: "leads", REDIS_URL: redis.url };
  nodeA = await startTestNode(settings);
  nodeB = await startNode(testEnv(nodeA.databases, settings));
  servers = [await RealtimeServer.listen(nodeA), await RealtimeServer.listen(nodeB)];
  await subscribed(redis, "socket.io#/#", 2);
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  for (const server of servers) await server.close();
  await nodeB.stop();
  await nodeA.stop();
  await redis.stop();
});

function connect(gateway: number, claims: Claims): Promise<SocketClient> {
  const client = new SocketClient(servers[gateway]!.url, tokenOf(claims));
  clients.push(client);
  return client.connected();
}
const received = (client: SocketClient, name: string) =>
  client.others.filter(([sent]) => sent === name).map(([, payload]) => payload);
const colleague = (claims: Claims, overrides: Partial<Claims> = {}) =>
  buildClaims({ organizationId: claims.organizationId, ...overrides });
const told = (userId: string, status: string) => ({ users: [{ userId, status }] });

describe("presence", () => {
  test("is told to colleagues at every gateway, to nobody else, and answered to who asks", async () => {
    const asha = buildClaims();
    const ravi = colleague(asha, { role: "sales_rep" });
    const [one, two, stranger] = [
      await connect(0, asha),
      await connect(1, ravi),
      await connect(1, buildClaims()),
    ];
    expect(await one.send("presence", { status: "online" })).toEqual({
      ok: true,
      users: [{ userId: asha.userId, status: "online" }],
    });
    await eventually(() => received(two, "presence").length > 0);
    expect(await two.send("presence", {})).toEqual({
      ok: true,
      users: [{ userId: asha.userId, status: "online" }],
    });
    await one.send("presence", { status: "away" });
    await eventually(() => received(two, "presence").length > 1);
    one.close();
    await eventually(() => received(two, "presence").length > 2);
    expect(received(two, "presence")).toEqual([
      told(asha.userId, "online"),
      told(asha.userId, "away"),
      told(asha.userId, "offline"),
    ]);
    expect(received(stranger, "presence")).toEqual([]);
    expect(await stranger.send("presence", {})).toEqual({ ok: true, users: [] });
  });

  test("lasts until the last tab at any gateway is closed, and is online while one tab is", async () => {
    const asha = buildClaims();
    const watcher = await connect(0, colleague(asha));
    const tabs = [await connect(0, asha), await connect(0, asha), await connect(1, asha)];
    for (const tab of tabs) await tab.send("presence", { status: "online" });
    await tabs[0]!.send("presence", { status: "away" });
    tabs[1]!.close();
    await tabs[2]!.send("presence", { status: "away" });
    await eventually(() => received(watcher, "presence").length >= 2);
    tabs[0]!.close();
    await eventually(async () => (await watcher.send("presence", {})).ok);
    tabs[2]!.close();
    await eventually(() => received(watcher, "presence").length >= 3);
    expect(received(watcher, "presence")).toEqual([
      told(asha.userId, "online"),
      told(asha.userId, "away"),
      told(asha.userId, "offline"),
    ]);
  });

  test("of a crowd that comes at once is told in few messages, completely", async () => {
    const asha = buildClaims();
    const watcher = await connect(0, asha);
    const crowd = await Promise.all(
      Array.from({ length: 100 }, (_, index) => connect(index % 2, colleague(asha))),
    );
    await Promise.all(crowd.map((client) => client.send("presence", { status: "online" })));
    await eventually(async () => {
      const answer = (await watcher.send("presence", {})) as unknown as { users: unknown[] };
      return answer.users.length === 100;
    });
    const messages = received(watcher, "presence") as { users: unknown[] }[];
    expect(messages.flatMap(({ users }) => users)).toHaveLength(100);
    expect(messages.length).toBeLessThan(30);
  });
});

describe("typing", () => {
  const newLead = async (claims: Claims, assignedTo?: string) => {
    const meta = { organizationId: claims.organizationId, role: "system" };
    const lead = await nodeA.call("leads.create", { firstName: "Meera" }, meta);
    if (assignedTo !== undefined)
      for (const url of nodeA.databases)
        await inspect(url, "UPDATE leads SET assigned_to = $1 WHERE id = $2", [assignedTo, lead.id]);
    return { entity: { kind: "lead", id: lead.id } };
  };

  test("reaches the others at every gateway who may see the record, and nobody else", async () => {
    const asha = buildClaims();
    const [manager, owner, other] = [
      colleague(asha, { role: "manager" }),
      colleague(asha, { role: "sales_rep" }),
      colleague(asha, { role: "sales_rep" }),
    ];
    const sender = await connect(0, asha);
    const [seesAll, ownsIt, seesNot, stranger] = [
      await connect(1, manager),
      await connect(1, owner),
      await connect(1, other),
      await connect(1, buildClaims()),
    ];
    const { entity } = await newLead(asha, owner.userId);
    await eventually(async () => {
      expect(await sender.send("typing", { entity, isTyping: true })).toEqual({ ok: true });
      return [seesAll, ownsIt].every((client) => received(client, "typing").length > 0);
    });
    const typing = { entity, userId: asha.userId, isTyping: true };
    for (const client of [seesAll, ownsIt]) expect(received(client, "typing")[0]).toEqual(typing);
    for (const client of [seesNot, stranger, sender]) expect(received(client, "typing")).toEqual([]);
  });

  test.each([
    ["another organization's", (lead: object) => lead, buildClaims(), "LEAD_NOT_FOUND"],
    ["a colleague's, from a sales rep,", (lead: object) => lead, undefined, "LEAD_NOT_FOUND"],
    [
      "an unknown kind of",
      () => ({ entity: { kind: "secret", id: uuidv7() } }),
      buildClaims(),
      "RECORD_NOT_FOUND",
    ],
    ["a missing", () => ({ conversationId: uuidv7() }), buildClaims(), "RECORD_NOT_FOUND"],
    ["a badly named", () => ({ entity: { kind: "Lead", id: "1" } }), buildClaims(), "VALIDATION_FAILED"],
  ])("in %s record is refused", async (_which, about, sender, code) => {
    const asha = buildClaims();
    const client = await connect(0, sender ?? colleague(asha, { role: "sales_rep" }));
    const record = about(await newLead(asha));
    expect(await client.send("typing", { ...record, isTyping: true })).toMatchObject({ ok: false, code });
  });

  test("goes by the rights of a renewed token", async () => {
    const asha = buildClaims();
    const client = await connect(0, colleague(asha, { userId: uuidv7() }));
    const { userId } = JSON.parse((client.socket.auth as { token: string }).token) as Claims;
    const sender = await connect(0, asha);
    const { entity } = await newLead(asha);
    await client.send("authenticate", { token: tokenOf(colleague(asha, { userId, role: "sales_rep" })) });
    await sender.send("typing", { entity, isTyping: true });
    await client.send("authenticate", { token: tokenOf(colleague(asha, { userId, role: "viewer" })) });
    await sender.send("typing", { entity, isTyping: false });
    await eventually(() => received(client, "typing").length > 0);
    expect(received(client, "typing")).toMatchObject([{ isTyping: false }]);
  });
});

test("an organization that sends too much is refused by code, others are not", async () => {
  const asha = buildClaims();
  const crowd = await Promise.all(Array.from({ length: 35 }, () => connect(0, colleague(asha))));
  const codes = await Promise.all(
    crowd.flatMap((client) =>
      Array.from({ length: 18 }, async () => {
        const answer = await client.send("presence", {});
        return answer.ok ? "ok" : answer.code;
      }),
    ),
  );
  expect(new Set(codes)).toEqual(new Set(["ok", "RATE_LIMITED"]));
  const stranger = await connect(0, buildClaims());
  expect(await stranger.send("presence", {})).toMatchObject({ ok: true });
});
