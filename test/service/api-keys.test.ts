import { beforeAll, describe, expect, test } from "@jest/globals";
import { io } from "socket.io-client";
import { inspect } from "../support/database.ts";
import { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, shareNode, startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let visitor: Client;
let admin: Client;

beforeAll(async () => {
  node = await shareNode();
  visitor = new Client(originOf(node));
  admin = await visitor.register("Keys");
});

interface Made {
  id: string;
  key: string;
  prefix: string;
}
async function makeKey(owner: Client, scopes: string[], more: object = {}): Promise<Made> {
  const answer = await owner.post("/api-keys", { name: "CI", scopes, ...more });
  expect(answer).toMatchObject({ status: 201 });
  return answer.body as Made;
}
const withKey = (key: string, method: string, path: string, body?: unknown) =>
  visitor.send(method, path, body, { "x-api-key": key });
const inControl = (sql: string, values: unknown[]) => inspect(node.databases[0] ?? "", sql, values);

describe("an API key", () => {
  test("is shown once, stored as a hash, and lets its scopes in but nothing else its user may do", async () => {
    const made = await makeKey(admin, ["leads:read", "leads:create"]);
    expect(made.key).toMatch(new RegExp(`^sgm_${made.prefix}_[\\w-]{43}$`));
    const lead = await withKey(made.key, "POST", "/leads", { lastName: "Rao" });
    expect(lead).toMatchObject({ status: 201 });
    const { id } = lead.body as { id: string };
    expect(await withKey(made.key, "GET", `/leads/${id}`)).toMatchObject({ status: 200 });
    expect(await withKey(made.key, "PATCH", `/leads/${id}`, { lastName: "X" })).toMatchObject({
      status: 403,
      body: { code: "FORBIDDEN" },
    });
    const shown = await admin.get(`/api-keys/${made.id}`);
    expect(shown.body).toMatchObject({ name: "CI", scopes: ["leads:read", "leads:create"], expiresAt: null });
    expect(JSON.stringify(shown.body)).not.toContain(made.key.slice(-43));
    const [row] = await inControl("SELECT to_json(k) AS row FROM control.api_keys k WHERE id = $1", [
      made.id,
    ]);
    expect(JSON.stringify(row)).not.toContain(made.key.slice(-43));
    const me = await withKey(made.key, "GET", "/auth/me");
    expect(me.body).toMatchObject({
      user: { id: admin.userId },
      permissions: expect.arrayContaining(["leads:read", "leads:create"]),
    });
    expect((me.body as { permissions: string[] }).permissions).toHaveLength(2);
  });

  test("never touches sessions or keys, whatever its scopes", async () => {
    const { key } = await makeKey(admin, ["users:read"]);
    for (const [method, path] of [
      ["GET", "/auth/sessions"],
      ["POST", "/auth/logout"],
    ] as const)
      expect(await withKey(key, method, path)).toMatchObject({
        status: 403,
        body: { code: "SESSION_NEEDED" },
      });
    expect(await withKey(key, "GET", "/api-keys")).toMatchObject({ status: 403 });
    expect(await withKey(key, "POST", "/api-keys", { name: "more", scopes: ["users:read"] })).toMatchObject({
      status: 403,
    });
  });

  test.each(["api-keys:create", "session", "authenticated", "public", "system", "nosuch:thing"])(
    "cannot be made with %s as a scope",
    async (scope) => {
      const answer = await admin.post("/api-keys", { name: "x", scopes: ["leads:read", scope] });
      expect(answer).toMatchObject({
        status: 422,
        body: { errors: [{ path: "scopes.1", code: "not_grantable" }] },
      });
    },
  );

  test("has no right its maker lacks, then or later", async () => {
    const manager = await admin.addUser("manager");
    const refused = await manager.post("/api-keys", { name: "x", scopes: ["users:create"] });
    expect(refused).toMatchObject({ status: 422 });
    const { key } = await makeKey(manager, ["leads:delete", "leads:read"]);
    expect(await withKey(key, "DELETE", `/leads/${manager.userId}`)).toMatchObject({ status: 404 });
    await admin.send("PATCH", `/users/${manager.userId}`, { role: "viewer" });
    await eventually(
      async () => (await withKey(key, "DELETE", `/leads/${manager.userId}`)).status === 403,
      2_000,
    );
    expect(await withKey(key, "GET", "/leads")).toMatchObject({ status: 200 });
    await admin.send("PATCH", `/users/${manager.userId}`, { isActive: false });
    await eventually(async () => (await withKey(key, "GET", "/leads")).status === 401, 2_000);
    await admin.send("PATCH", `/users/${manager.userId}`, { isActive: true });
    expect(await withKey(key, "GET", "/leads")).toMatchObject({
      status: 401,
      body: { code: "API_KEY_INVALID" },
    });
  });

  test("fails within two seconds of its revocation, also when nobody tells of it", async () => {
    const [told, untold] = [await makeKey(admin, ["leads:read"]), await makeKey(admin, ["leads:read"])];
    for (const { key } of [told, untold])
      expect(await withKey(key, "GET", "/leads")).toMatchObject({ status: 200 });
    expect(await admin.send("DELETE", `/api-keys/${told.id}`)).toMatchObject({ status: 204 });
    await inControl("UPDATE control.api_keys SET revoked_at = now() WHERE id = $1", [untold.id]);
    await eventually(async () => (await withKey(told.key, "GET", "/leads")).status === 401, 500);
    await eventually(async () => (await withKey(untold.key, "GET", "/leads")).status === 401, 2_500);
    expect(await admin.get(`/api-keys/${told.id}`)).toMatchObject({ status: 404 });
  });

  test("fails once it has expired, and cannot be made so", async () => {
    const past = new Date(Date.now() - 1).toISOString();
    expect(
      await admin.post("/api-keys", { name: "x", scopes: ["leads:read"], expiresAt: past }),
    ).toMatchObject({ status: 422, body: { errors: [{ path: "expiresAt", code: "in_the_past" }] } });
    const soon = new Date(Date.now() + 700).toISOString();
    const { key } = await makeKey(admin, ["leads:read"], { expiresAt: soon });
    expect(await withKey(key, "GET", "/leads")).toMatchObject({ status: 200 });
    await eventually(async () => (await withKey(key, "GET", "/leads")).status === 401, 1_500);
  });

  test("is refused when one character of its secret is another", async () => {
    const { key } = await makeKey(admin, ["leads:read"]);
    const other = key.slice(0, -1) + (key.endsWith("A") ? "B" : "A");
    for (const wrong of [other, "sgm_garbage", `${key}x`])
      expect(await withKey(wrong, "GET", "/leads")).toMatchObject({
        status: 401,
        body: { code: "API_KEY_INVALID" },
      });
  });

  test("notes when it was last used, at most once a minute", async () => {
    const { key, id } = await makeKey(admin, ["leads:read"]);
    const lastUsed = async () =>
      ((await admin.get(`/api-keys/${id}`)).body as { lastUsedAt: string }).lastUsedAt;
    expect(await lastUsed()).toBeNull();
    await withKey(key, "GET", "/leads");
    expect(Date.now() - Date.parse(await lastUsed())).toBeLessThan(5_000);
    const set = (secondsAgo: number) =>
      inControl("UPDATE control.api_keys SET last_used_at = now() - $2 * interval '1 s' WHERE id = $1", [
        id,
        secondsAgo,
      ]);
    await set(50);
    const noted = await lastUsed();
    await new Promise((done) => setTimeout(done, 2_100)); // the gateway looks the key up again
    await withKey(key, "GET", "/leads");
    expect(await lastUsed()).toBe(noted);
    await set(61);
    await eventually(async () => {
      await withKey(key, "GET", "/leads");
      return Date.now() - Date.parse(await lastUsed()) < 5_000;
    });
  });

  test("is not told twice: a repeated answer under an Idempotency-Key has no key in it", async () => {
    const body = { name: "once", scopes: ["leads:read"] };
    const headers = { "idempotency-key": "make-a-key" };
    const [first, second] = [
      await admin.post("/api-keys", body, headers),
      await admin.post("/api-keys", body, headers),
    ];
    const made = first.body as Made;
    expect(second).toMatchObject({ status: 201, body: { ...made, key: null } });
    const kept = await inControl("SELECT response FROM idempotency_keys WHERE key LIKE '% make-a-key'", []);
    expect(JSON.stringify(kept)).toContain(made.id);
    expect(JSON.stringify(kept)).not.toContain(made.key);
  });

  test("opens a socket, which ends with the key", async () => {
    const { key, id } = await makeKey(admin, ["events:read", "leads:read"]);
    const socket = io(originOf(node), { auth: { token: key }, transports: ["websocket"] });
    try {
      const answer: unknown = await socket.timeout(5_000).emitWithAck("subscribe", {});
      expect(answer).toMatchObject({ ok: true });
      const reason = new Promise((heard) => socket.once("session.revoked", heard));
      await admin.send("DELETE", `/api-keys/${id}`);
      expect(await reason).toEqual({ reason: "revoked" });
    } finally {
      socket.close();
    }
  });
});

describe("API keys", () => {
  test("are seen and revoked by their user and the organization's admins, never from outside", async () => {
    const manager = await admin.addUser("manager");
    const stranger = await visitor.register("Strangers");
    const [ours, own] = [await makeKey(admin, ["leads:read"]), await makeKey(manager, ["leads:read"])];
    const ids = async (client: Client) =>
      ((await client.get("/api-keys?limit=200")).body as { data: Made[] }).data.map(({ id }) => id);
    expect(await ids(manager)).toEqual([own.id]);
    expect(await ids(admin)).toEqual(expect.arrayContaining([ours.id, own.id]));
    expect(await ids(stranger)).toEqual([]);
    for (const [client, id] of [
      [manager, ours.id],
      [stranger, ours.id],
      [stranger, own.id],
    ] as const)
      for (const method of ["GET", "DELETE"])
        expect(await client.send(method, `/api-keys/${id}`)).toMatchObject({
          status: 404,
          body: { code: "API_KEY_NOT_FOUND" },
        });
    expect(await admin.send("DELETE", `/api-keys/${own.id}`)).toMatchObject({ status: 204 });
    expect(await withKey(own.key, "GET", "/leads")).toMatchObject({ status: 401 });
  });

  test("share the minute of their user, and guesses at them the minute of their address", async () => {
    const limited = await startTestNode({ RATE_LIMIT_PER_MINUTE: "12" });
    try {
      const stranger = new Client(originOf(limited));
      const owner = await stranger.register("Limited");
      const { key } = await makeKey(owner, ["leads:read"]);
      const send = (apiKey: string) => stranger.get("/leads", { "x-api-key": apiKey });
      const statuses: number[] = [];
      for (let n = 0; n < 13; n++) statuses.push((await send(key)).status);
      expect(statuses.filter((status) => status === 200)).toHaveLength(11);
      expect(statuses.at(-1)).toBe(429);
      expect(await owner.get("/leads")).toMatchObject({ status: 429 });
      const guesses: number[] = [];
      for (let n = 0; n < 13; n++)
        guesses.push((await send(`sgm_${"0".repeat(12)}_${"a".repeat(41)}${10 + n}`)).status);
      expect(new Set(guesses)).toEqual(new Set([401, 429]));
      expect(guesses.at(-1)).toBe(429);
    } finally {
      await limited.stop();
    }
  });
});
