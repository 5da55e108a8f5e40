/** @jest-environment ./test/support/environment.mjs */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import type { Claims } from "../../mixins/access/access-token.ts";
import { append, appendMany } from "../support/feed.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
import { RealtimeServer, SocketClient, buildClaims, tokenOf } from "../support/realtime.ts";

let node: TestNode;
let server: RealtimeServer;
const clients: SocketClient[] = [];
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "events" });
  server = await RealtimeServer.listen(node);
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  await server.close();
  await node.stop();
});

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
function open(claims: Claims, options?: Record<string, unknown>): SocketClient {
  const client = new SocketClient(server.url, tokenOf(claims), options);
  clients.push(client);
  return client;
}
const connect = (claims: Claims, options?: Record<string, unknown>) => open(claims, options).connected();
const headReaches = (organizationId: string, head: number) =>
  eventually(
    async () =>
      (await node.call("events.list", { limit: 1 }, { organizationId, role: "admin" })).head === head,
  );

describe("a handshake", () => {
  test.each([
    ["no token", undefined, "UNAUTHENTICATED"],
    ["an empty token", "", "UNAUTHENTICATED"],
    ["a token of another kind", { a: 1 }, "UNAUTHENTICATED"],
    ["a forged token", "forged", "TOKEN_INVALID"],
    ["an expired token", tokenOf(buildClaims({ expiresAt: 1 })), "TOKEN_EXPIRED"],
  ])("with %s is refused by code", async (_what, token, code) => {
    const client = new SocketClient(server.url, token as string);
    clients.push(client);
    await expect(client.connected()).rejects.toThrow(new Error(code));
  });

  test("is refused to a user with fifty sockets, until one is closed", async () => {
    const claims = buildClaims();
    const fifty = await Promise.all(range(1, 50).map(() => connect(claims)));
    await expect(connect(claims)).rejects.toThrow(new Error("TOO_MANY_CONNECTIONS"));
    fifty[0]?.close();
    await eventually(async () => (await connect(claims)).socket.connected);
  });

  test("works over long polling too", async () => {
    const claims = buildClaims();
    const client = await connect(claims, { transports: ["polling"] });
    await client.send("subscribe", {});
    await appendMany(node.runtime, claims.organizationId, 20);
    await client.reaches(20);
    expect(client.seqs).toEqual(range(1, 20));
  });
});

describe("a subscriber", () => {
  test("gets what happens from now on, as the contract says, and not what happened before", async () => {
    const claims = buildClaims();
    const { organizationId } = claims;
    await append(node.runtime, organizationId, {});
    await headReaches(organizationId, 1);
    const client = await connect(claims);
    expect(await client.send("subscribe")).toEqual({ ok: true, head: 1 });
    const leadId = uuidv7();
    await append(node.runtime, organizationId, {
      entity: { id: leadId, version: 3 },
      data: { a: "ä" },
      audience: [uuidv7()],
    });
    await client.reaches(2);
    expect(client.events).toEqual([
      {
        ...{
          seq: 2,
          type: "lead.created",
          entity: { kind: "lead", id: leadId, version: 3 },
          data: { a: "ä" },
        },
        ...{ actorId: null, id: expect.any(String), occurredAt: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/) },
      },
    ]);
  });

  test("sees an event well before the next look for lost hints", async () => {
    const claims = buildClaims();
    const client = await connect(claims);
    await client.send("subscribe", {});
    const start = performance.now();
    await append(node.runtime, claims.organizationId, {});
    await client.reaches(1);
    expect(performance.now() - start).toBeLessThan(300);
  });

  test("gets what no hint told of, within two seconds and a bit", async () => {
    const claims = buildClaims();
    const { organizationId } = claims;
    const client = await connect(claims);
    await client.send("subscribe", {});
    const url =
      node.databases[node.runtime.database.shards.indexOf(node.runtime.database.shardOf(organizationId))]
      ?? "";
    await inspect(
      url,
      `WITH head AS (INSERT INTO event_heads VALUES ('${organizationId}', 1))
       INSERT INTO events (organization_id, id, type, entity_kind, entity_id, entity_version, data, seq)
       VALUES ('${organizationId}', '${uuidv7()}', 'lead.created', 'lead', '${uuidv7()}', 1, '{}', 1)`,
    );
    await client.reaches(1, 3_000);
  });

  test("gets nothing of other organizations", async () => {
    const [one, another] = [buildClaims(), buildClaims()];
    const client = await connect(one);
    await client.send("subscribe", { since: 0 });
    await append(node.runtime, another.organizationId, {}, {});
    await headReaches(another.organizationId, 2);
    await append(node.runtime, one.organizationId, { type: "lead.updated" });
    await client.reaches(1);
    expect(client.events.map(({ type }) => type)).toEqual(["lead.updated"]);
  });

  test("gets what its role and the types it asked for allow", async () => {
    const organizationId = uuidv7();
    const rep = buildClaims({ organizationId, role: "sales_rep" });
    const everything = await connect(buildClaims({ organizationId }));
    const own = await connect(rep);
    const deals = await connect(buildClaims({ organizationId, role: "viewer" }));
    for (const client of [everything, own]) await client.send("subscribe", {});
    await deals.send("subscribe", { types: ["deal.*", "import.failed"] });
    await append(
      node.runtime,
      organizationId,
      { type: "lead.created", audience: [uuidv7()] },
      { type: "lead.assigned", audience: [rep.userId] },
      { type: "deal.won", entity: { kind: "deal" } },
      { type: "import.completed", entity: { kind: "import" } },
      { type: "user.invited", entity: { kind: "user" } },
      { type: "import.failed", entity: { kind: "import" } },
      { type: "lead.updated" },
    );
    await everything.reaches(7);
    await Promise.all([own.reaches(7), deals.reaches(6)]);
    expect([everything.seqs, own.seqs, deals.seqs]).toEqual([range(1, 7), [2, 3, 7], [3, 6]]);
  });

  test("may not be a role without the right to the feed", async () => {
    const client = await connect(buildClaims({ role: "guest" }));
    expect(await client.send("subscribe", {})).toMatchObject({ ok: false, code: "FORBIDDEN" });
  });

  test.each([
    [{ since: -1 }],
    [{ since: 1.5 }],
    [{ since: "1" }],
    [{ types: "lead;" }],
    [{ types: [] }],
    [{ typos: "lead.*" }],
    ["text"],
    [[1]],
  ])("is told what is wrong with %j", async (message) => {
    const client = await connect(buildClaims());
    expect(await client.send("subscribe", message)).toMatchObject({ ok: false, code: "VALIDATION_FAILED" });
    expect(await client.send("unsubscribe")).toEqual({ ok: true });
  });

  test("that sends without pause is told to send less, and keeps its subscription", async () => {
    const claims = buildClaims();
    const client = await connect(claims);
    await client.send("subscribe", {});
    const answers = await Promise.all(
      range(1, 60).map(() => client.send("authenticate", { token: tokenOf(claims) })),
    );
    expect(answers).toContainEqual(expect.objectContaining({ ok: false, code: "RATE_LIMITED" }));
    await append(node.runtime, claims.organizationId, {});
    await client.reaches(1);
  });

  test("that unsubscribes gets nothing more, and may subscribe anew", async () => {
    const claims = buildClaims();
    const client = await connect(claims);
    await client.send("subscribe", {});
    await append(node.runtime, claims.organizationId, {});
    await client.reaches(1);
    await client.send("unsubscribe");
    await append(node.runtime, claims.organizationId, {});
    await headReaches(claims.organizationId, 2);
    expect(client.seqs).toEqual([1]);
    expect(await client.send("subscribe", { since: 1 })).toEqual({ ok: true, head: 2 });
    await client.reaches(2);
    expect(client.seqs).toEqual([1, 2]);
  });

  test("that subscribes twice follows the second subscription only", async () => {
    const claims = buildClaims();
    const client = await connect(claims);
    const [, second] = await Promise.all([
      client.send("subscribe", { types: "lead.*" }),
      client.send("subscribe", { types: "deal.*" }),
    ]);
    expect(second).toEqual({ ok: true, head: 0 });
    await append(node.runtime, claims.organizationId, {}, { type: "deal.won", entity: { kind: "deal" } });
    await client.reaches(2);
    expect(client.seqs).toEqual([2]);
  });
});

describe("a subscriber with since", () => {
  test("gets every event once and in order, whenever it comes into the stream", async () => {
    const claims = buildClaims();
    const { organizationId } = claims;
    await append(node.runtime, organizationId, ...range(1, 1_200).map(() => ({})));
    await headReaches(organizationId, 1_200);
    const writing = Promise.all(range(1, 4).map(() => appendMany(node.runtime, organizationId, 200)));
    const followers: { since: number; client: SocketClient }[] = [];
    for (const since of [0, 0, 1, 300, 699, 700, 943, 944, 945, 1_150, 1_199, 1_200, 1_200]) {
      const client = await connect(buildClaims({ organizationId }));
      followers.push({ since, client });
      expect(await client.send("subscribe", { since })).toMatchObject({ ok: true });
    }
    await writing;
    await Promise.all(followers.map(({ client }) => client.reaches(2_000)));
    for (const { since, client } of followers) expect(client.seqs).toEqual(range(since + 1, 2_000));
  });

  test("is told of the gap when retention has dropped events, and goes on from the oldest kept", async () => {
    const claims = buildClaims();
    const { organizationId } = claims;
    await append(node.runtime, organizationId, ...range(1, 600).map(() => ({})));
    await headReaches(organizationId, 600);
    for (const url of node.databases)
      await inspect(url, "DELETE FROM events WHERE organization_id = $1 AND seq <= 200", [organizationId]);
    const client = await connect(claims);
    expect(await client.send("subscribe", { since: 100 })).toEqual({ ok: true, head: 600, gap: true });
    await client.reaches(600);
    expect(client.others).toEqual([["gap", { since: 100, oldest: 201 }]]);
    expect(client.seqs).toEqual(range(201, 600));
  });

  test("beyond the head is told so, and goes on from the head", async () => {
    const claims = buildClaims();
    await append(node.runtime, claims.organizationId, {});
    await headReaches(claims.organizationId, 1);
    const client = await connect(claims);
    expect(await client.send("subscribe", { since: 1_000 })).toEqual({ ok: true, head: 1, gap: true });
    await append(node.runtime, claims.organizationId, {});
    await client.reaches(2);
    expect(client.seqs).toEqual([2]);
  });
});

describe("the end of a session", () => {
  test("reaches its sockets, and no others of the user", async () => {
    const claims = buildClaims();
    const ended = await connect(claims);
    const kept = await connect({ ...claims, sessionId: uuidv7() });
    await node.broker.broadcast("session.revoked", { sessionId: claims.sessionId });
    await ended.ended();
    expect(ended.others).toEqual([
      ["session.revoked", { reason: "revoked" }],
      ["disconnect", "io server disconnect"],
    ]);
    expect(kept.socket.connected).toBe(true);
  });

  test("reaches them within two seconds and a bit even when nobody tells", async () => {
    const { organizationId, userId, sessionId } = buildClaims();
    const [control = ""] = node.databases;
    await inspect(
      control,
      `WITH organization AS (
         INSERT INTO control.organizations (id, name, created_at, updated_at) VALUES ('${organizationId}', 'o', now(), now())
       ), member AS (
         INSERT INTO control.users (id, organization_id, name, email, role, password_hash, created_at, updated_at)
         VALUES ('${userId}', '${organizationId}', 'u', '${userId}@test.example', 'admin', '', now(), now())
       ) INSERT INTO control.sessions (id, organization_id, user_id, refresh_hash, last_used_at, expires_at, created_at, updated_at)
         VALUES ('${sessionId}', '${organizationId}', '${userId}', '', now(), now() + interval '1 day', now(), now())`,
    );
    const client = await connect(buildClaims({ organizationId, userId, sessionId }));
    await inspect(
      control,
      "INSERT INTO control.revocations (id, organization_id, user_id, session_id) VALUES (gen_random_uuid(), $1, $2, $3)",
      [organizationId, userId, sessionId],
    );
    await eventually(() => client.socket.disconnected, 3_000);
    expect(client.others[0]).toEqual(["session.revoked", { reason: "revoked" }]);
  });

  test("is not brought by another user's token, nor by an expired one", async () => {
    const claims = buildClaims();
    const client = await connect(claims);
    const renewWith = (changes: Partial<Claims>) =>
      client.send("authenticate", { token: tokenOf({ ...claims, ...changes }) });
    expect(await renewWith({ userId: uuidv7() })).toMatchObject({ ok: false, code: "TOKEN_INVALID" });
    expect(await renewWith({ organizationId: uuidv7() })).toMatchObject({ ok: false, code: "TOKEN_INVALID" });
    expect(await renewWith({ expiresAt: 1 })).toMatchObject({ ok: false, code: "TOKEN_EXPIRED" });
    expect(await renewWith({ sessionId: uuidv7() })).toEqual({ ok: true });
  });

  test("comes half a minute after its token's, unless a new token comes before", async () => {
    const claims = buildClaims({ expiresAt: Math.floor(Date.now() / 1000) - 27 });
    const [renewing, forgetting] = await Promise.all(
      [1, 2].map(() => connect(claims, { auth: { token: tokenOf(claims, { isTrusted: true }) } })),
    );
    expect(
      await renewing?.send("authenticate", { token: tokenOf(buildClaims({ ...claims, expiresAt: 1e10 })) }),
    ).toEqual({
      ok: true,
    });
    await eventually(() => forgetting?.socket.disconnected);
    expect(Date.now()).toBeGreaterThan((claims.expiresAt + 30) * 1000);
    expect(forgetting?.others).toEqual([
      ["session.revoked", { reason: "expired" }],
      ["disconnect", "io server disconnect"],
    ]);
    expect(renewing?.socket.connected).toBe(true);
  });

  test("a renewed token brings its role's rights", async () => {
    const claims = buildClaims({ role: "viewer" });
    const client = await connect(claims);
    await client.send("subscribe", {});
    await append(node.runtime, claims.organizationId, { entity: { kind: "user" } }, {});
    await client.reaches(2);
    expect(await client.send("authenticate", { token: tokenOf({ ...claims, role: "admin" }) })).toEqual({
      ok: true,
    });
    await append(node.runtime, claims.organizationId, { entity: { kind: "user" } });
    await client.reaches(3);
    expect(client.seqs).toEqual([2, 3]);
  });
});

test("a reader that stops reading is cut off, and resumes without loss", async () => {
  const claims = buildClaims();
  const slow = await connect(claims);
  const quick = await connect(claims);
  for (const client of [slow, quick]) await client.send("subscribe", {});
  const { ws } = (
    slow.socket.io.engine as unknown as { transport: { ws: { pause(): void; resume(): void } } }
  ).transport;
  ws.pause();
  const data = "x".repeat(40_000);
  const before = await slowSockets();
  // what the kernel takes for a reader is not ours to bound: megabytes, after which it must show
  let head = 0;
  while ((await slowSockets()) === before && head < 2_000) {
    await append(node.runtime, claims.organizationId, ...range(1, 50).map(() => ({ data })));
    head += 50;
    await quick.reaches(head);
  }
  expect(await slowSockets()).toBe(before + 1);
  expect(quick.seqs).toEqual(range(1, head));
  ws.resume();
  await slow.ended();
  expect(slow.others).toEqual([["disconnect", expect.stringContaining("transport")]]);
  const again = await connect(claims);
  await again.send("subscribe", { since: slow.seqs.at(-1) ?? 0 });
  await again.reaches(head);
  expect([...slow.seqs, ...again.seqs]).toEqual(range(1, head));
});

async function slowSockets(): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${node.metricsPort}/metrics`)).text();
  return Number(/^crm_sockets_slow_total (\d+)/m.exec(metrics)?.[1]);
}
