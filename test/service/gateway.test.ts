import { beforeAll, describe, expect, test } from "@jest/globals";
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { get as httpGet } from "node:http";
import { routes } from "../../services/gateway/routes.ts";
import { Client } from "../support/client.ts";
import { countRows } from "../support/database.ts";
import { originOf, shareNode, startTestNode, type TestNode } from "../support/node.ts";

interface LeadBody {
  id: string;
  version: number;
  firstName: string | null;
}

let node: TestNode;
let origin: string;
let mine: Client;
let theirs: Client;

const leadCount = () => countRows(node.databases, "leads");
const capture = async (client: Client, fields: object = {}): Promise<LeadBody> =>
  (await client.post("/leads", { firstName: "Ann", ...fields })).body as LeadBody;

beforeAll(async () => {
  node = await shareNode();
  origin = originOf(node);
  mine = await new Client(origin).register("Mine");
  theirs = await new Client(origin).register("Theirs");
});

describe("a lead over HTTP", () => {
  test("is created with 201, Location and ETag, and read back the same", async () => {
    const made = await mine.post("/leads", {
      firstName: "Asha",
      email: "ASHA@Example.com",
      phone: "098765 43210",
    });
    expect(made.status).toBe(201);
    expect(made.headers.get("etag")).toBe('"1"');
    expect(made.body).toMatchObject({ email: "asha@example.com", phone: "+919876543210", version: 1 });
    const read = await mine.send("GET", origin + (made.headers.get("location") as string));
    expect(read).toMatchObject({ status: 200, body: made.body as object });
    // not by fetch, which adds Cache-Control: no-cache to such a request
    const headers = { authorization: `Bearer ${mine.token}`, "if-none-match": '"1"' };
    const unchanged = await new Promise<number | undefined>((done, fail) =>
      httpGet(origin + (made.headers.get("location") as string), { headers, agent: false }, (answer) => {
        answer.resume();
        done(answer.statusCode);
      }).on("error", fail),
    );
    expect(unchanged).toBe(304);
  });

  test("changes only when If-Match names its version", async () => {
    const { id } = await capture(mine);
    const change = (ifMatch: string) =>
      mine.send("PATCH", `/leads/${id}`, { firstName: ifMatch }, { "if-match": ifMatch });
    expect(await change('"7"')).toMatchObject({ status: 412, body: { code: "VERSION_MISMATCH" } });
    expect(await change("seven")).toMatchObject({ status: 400, body: { code: "INVALID_IF_MATCH" } });
    expect(await change('"1"')).toMatchObject({ status: 200, body: { version: 2 } });
    expect(await change('"1"')).toMatchObject({ status: 412 });
    expect(await change("*")).toMatchObject({ status: 200, body: { version: 3 } });
    const remove = (ifMatch: string) =>
      mine.send("DELETE", `/leads/${id}`, undefined, { "if-match": ifMatch });
    expect(await remove('"2"')).toMatchObject({ status: 412 });
    expect(await remove('"3"')).toMatchObject({ status: 204, body: "" });
    expect(await mine.get(`/leads/${id}`)).toMatchObject({ status: 404, body: { code: "LEAD_NOT_FOUND" } });
  });

  test("is also under /api/latest", async () => {
    expect((await mine.get(`${origin}/api/latest/leads`)).status).toBe(200);
  });

  test("comes page by page, each exactly once", async () => {
    const reader = await new Client(origin).register("Pages");
    const items = Array.from({ length: 25 }, (_, index) => ({ lastName: `L${index}` }));
    expect((await reader.post("/leads/bulk", { items })).status).toBe(200);
    const seen: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const answer = await reader.get(
        `/leads?limit=10&count=true&fields=lastName${cursor ? `&cursor=${cursor}` : ""}`,
      );
      const page = answer.body as {
        data: { lastName: string }[];
        page: { nextCursor: string | null; total: number };
      };
      expect(page.page.total).toBe(25);
      seen.push(...page.data.map((lead) => lead.lastName));
      cursor = page.page.nextCursor;
    }
    expect(new Set(seen).size).toBe(25);
    expect(seen).toHaveLength(25);
  });
});

describe("an Idempotency-Key", () => {
  test("makes a repeated request answer what the first did, and happen once", async () => {
    const send = () => mine.post("/leads", { lastName: "Once" }, { "idempotency-key": "once" });
    const before = await leadCount();
    const first = await send();
    const second = await send();
    expect(second).toMatchObject({ status: 201, body: first.body as object });
    expect([first, second].map((answer) => answer.headers.get("idempotency-replayed"))).toEqual([
      null,
      "true",
    ]);
    expect(await leadCount()).toBe(before + 1);
  });

  test("with another request is a 422", async () => {
    await mine.post("/leads", { lastName: "A" }, { "idempotency-key": "reused" });
    const other = await mine.post("/leads", { lastName: "B" }, { "idempotency-key": "reused" });
    expect(other).toMatchObject({ status: 422, body: { code: "IDEMPOTENCY_KEY_REUSED" } });
  });

  test("in a race of 20 makes one lead, and all are answered the same", async () => {
    const before = await leadCount();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () =>
        mine.post("/leads", { lastName: "Race" }, { "idempotency-key": "race" }),
      ),
    );
    expect(await leadCount()).toBe(before + 1);
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(201));
    expect(new Set(answers.map(({ body }) => (body as LeadBody).id)).size).toBe(1);
    expect(answers.filter(({ headers }) => headers.has("idempotency-replayed"))).toHaveLength(19);
  });

  test("of a failed request is free again", async () => {
    const send = (body: object) => mine.post("/leads", body, { "idempotency-key": "failed" });
    expect((await send({ email: "nonsense" })).status).toBe(422);
    expect((await send({ email: "a@example.com" })).status).toBe(201);
  });

  test("is one organization's own", async () => {
    const headers = { "idempotency-key": "shared" };
    const [a, b] = [
      await mine.post("/leads", { lastName: "A" }, headers),
      await theirs.post("/leads", { lastName: "B" }, headers),
    ];
    expect([a.status, b.status]).toEqual([201, 201]);
  });

  test.each(["", "a b", "é", "x".repeat(256)])("%j is refused", async (key) => {
    const answer = await mine.post(
      "/leads",
      { lastName: "Key" },
      { "idempotency-key": encodeURI(key) === key ? key : "a b" },
    );
    if (key === "") expect([400, 201]).toContain(answer.status);
    else expect(answer).toMatchObject({ status: 400, body: { code: "INVALID_IDEMPOTENCY_KEY" } });
  });
});

describe("a token", () => {
  const segment = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const parts = () => (mine.token as string).split(".") as [string, string, string];
  const claims = () => JSON.parse(Buffer.from(parts()[1], "base64url").toString()) as Record<string, unknown>;
  const kid = () => (JSON.parse(Buffer.from(parts()[0], "base64url").toString()) as { kid: string }).kid;
  const stranger = generateKeyPairSync("ed25519").privateKey;
  const signedBy = (payload: object) => {
    const text = `${segment({ alg: "EdDSA", kid: kid() })}.${segment(payload)}`;
    return `${text}.${sign(null, Buffer.from(text), stranger).toString("base64url")}`;
  };
  test.each<[string, () => string]>([
    ["unsigned", () => `${segment({ alg: "none" })}.${parts()[1]}.`],
    ["signed by a stranger", () => signedBy(claims())],
    [
      "signed with the public key as HMAC secret",
      () => {
        const text = `${segment({ alg: "HS256", kid: kid() })}.${parts()[1]}`;
        return `${text}.${createHmac("sha256", "public").update(text).digest("base64url")}`;
      },
    ],
    [
      "of another organization by edit",
      () => `${parts()[0]}.${segment({ ...claims(), org: theirs.organizationId })}.${parts()[2]}`,
    ],
    ["garbage", () => "x.y.z"],
    ["with a NUL", () => "%00"],
  ])("%s is a 401", async (_name, make) => {
    const answer = await new Client(origin).get("/leads", { authorization: `Bearer ${make()}` });
    expect(answer).toMatchObject({ status: 401, body: { code: "TOKEN_INVALID" } });
  });

  test("stops working when its session ends", async () => {
    const visitor = await new Client(origin).register("Leaving");
    expect((await visitor.post("/auth/logout")).status).toBe(204);
    expect(await visitor.get("/leads")).toMatchObject({ status: 401, body: { code: "SESSION_REVOKED" } });
  });
});

describe("another organization", () => {
  test("finds none of my ids on any route", async () => {
    const lead = await capture(mine);
    const pool = (await mine.post("/assignment-pools", { name: "P", strategy: "round_robin", members: [] }))
      .body as LeadBody;
    const ids: Record<string, string> = {
      leads: lead.id,
      "assignment-pools": pool.id,
      users: mine.userId,
      imports: lead.id,
      auth: lead.id,
      jobs: "1",
      "api-keys": lead.id,
    };
    const bodies: Record<string, object> = {
      "leads.assign": { userId: theirs.userId },
      "leads.convert": {},
      "leads.update": { firstName: "Stolen" },
      "leads.merge": { loserIds: [pool.id] },
      "leads.revert": { version: 1 },
      "leads.createComment": { body: "Mine" },
      "leads.updateComment": { body: "Mine" },
      "identity.updateUser": { name: "Stolen" },
      "leads.updatePool": { name: "Stolen" },
      "leads.createReminder": { remindAt: new Date().toISOString() },
    };
    const walked = routes.filter((route) => route.path.includes("/:id"));
    expect(walked.length).toBeGreaterThan(10);
    for (const route of walked) {
      const id = ids[route.path.split("/")[1] as string] as string;
      const answer = await theirs.send(
        route.method,
        route.path.replace(":id", id).replace(/:\w+/, lead.id),
        bodies[route.action] ?? {},
      );
      expect({ route: route.path, method: route.method, status: answer.status }).toMatchObject({
        status: 404,
      });
    }
    expect(await mine.get(`/leads/${lead.id}`)).toMatchObject({
      status: 200,
      body: { version: 1, firstName: "Ann" },
    });
  });

  test("sees none of my rows in lists, counts, searches, exports and events", async () => {
    const marker = "Zanzibarian";
    await capture(mine, { lastName: marker });
    for (const path of [
      "/leads?count=true",
      `/leads?q=${marker}`,
      "/leads/export",
      "/events?limit=1000",
      "/users",
    ]) {
      expect(JSON.stringify((await theirs.get(path)).body)).not.toContain(marker);
      expect(JSON.stringify((await theirs.get(path)).body)).not.toContain(mine.userId);
    }
  });
});

test("a sales rep sees only their own leads", async () => {
  const [one, other] = [await mine.addUser("sales_rep"), await mine.addUser("sales_rep")];
  const own = await capture(one, { lastName: "Own" });
  expect((await one.get(`/leads/${own.id}`)).status).toBe(200);
  expect((await other.get(`/leads/${own.id}`)).status).toBe(404);
  expect((await other.send("PATCH", `/leads/${own.id}`, { lastName: "Mine" })).status).toBe(404);
  expect((await other.get("/leads?count=true")).body).toMatchObject({ data: [], page: { total: 0 } });
});

test("exports say what they are", async () => {
  const [csv, xlsx] = [await mine.get("/leads/export"), await mine.get("/leads/export?format=xlsx")];
  expect(csv.contentType).toBe("text/csv; charset=utf-8");
  expect(csv.headers.get("content-disposition")).toBe('attachment; filename="leads.csv"');
  expect(xlsx.contentType).toBe("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet");
  expect((xlsx.body as string).startsWith("PK")).toBe(true);
});

test("health, docs and the OpenAPI document are public", async () => {
  const visitor = new Client(origin);
  for (const path of ["/health", "/api/health"])
    expect(await visitor.get(origin + path)).toMatchObject({
      status: 200,
      body: {
        status: "ok",
        version: expect.any(String) as unknown,
        uptime: expect.any(Number) as unknown,
        checks: { database: { status: "up" } },
      },
    });
  for (const path of ["/health/live", "/health/ready", "/health/startup", "/docs", "/docs/swagger-ui.css"])
    expect((await visitor.get(origin + path)).status).toBe(200);
  expect((await visitor.get(`${origin}/docs/..%2fpackage.json`)).status).toBe(404);
  expect(await visitor.get("/openapi.json")).toMatchObject({ status: 200, body: { openapi: "3.1.0" } });
  const metrics = await visitor.get(`http://127.0.0.1:${node.metricsPort}/metrics`);
  for (const name of [
    "http_request_duration_seconds",
    "db_query_duration_seconds",
    "crm_leads_created_total",
  ])
    expect(metrics.body).toContain(name);
});

test("a user over the limit is told when to come back", async () => {
  const small = await startTestNode({ RATE_LIMIT_PER_MINUTE: "5" });
  try {
    const user = await new Client(originOf(small)).register("Hasty");
    const answers = [];
    for (let turn = 0; turn < 6; turn++) answers.push(await user.get("/leads"));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429]);
    expect(answers[0]?.headers.get("ratelimit")).toMatch(/^"default";r=4;t=\d+$/);
    expect(answers[5]).toMatchObject({ body: { code: "RATE_LIMITED" } });
    expect(Number(answers[5]?.headers.get("retry-after"))).toBeGreaterThan(0);
  } finally {
    await small.stop();
  }
});
