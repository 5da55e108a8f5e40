import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";
import { RawHttp } from "../support/raw-http.ts";

let node: TestNode;
let origin: string;
let admin: Client;
beforeAll(async () => {
  node = await startTestNode({ MAX_IN_FLIGHT: "8" });
  origin = originOf(node);
  admin = await new Client(origin).register("Bodies");
});
afterAll(() => node.stop());

const opened: RawHttp[] = [];
afterEach(() => {
  for (const connection of opened.splice(0)) connection.end();
});
const open = async (at = origin): Promise<RawHttp> => {
  const connection = await RawHttp.open(at);
  opened.push(connection);
  return connection;
};
const json = { "Content-Type": "application/json" };
const bearer = () => ({ Authorization: `Bearer ${admin.token}` });
const lead = JSON.stringify({ lastName: "Slow" });
const deep = "[".repeat(450_000);

describe("no byte of a body is awaited", () => {
  test.each<[string, string, Record<string, string | number>, boolean, number, string]>([
    ["of a stranger", "/leads", { ...json, "Content-Length": 900_000 }, false, 401, "UNAUTHENTICATED"],
    [
      "of a stranger with a key that is none",
      "/leads",
      { ...json, "X-API-Key": "bogus", "Content-Length": 9 },
      false,
      401,
      "API_KEY_INVALID",
    ],
    [
      "that is declared too large",
      "/leads",
      { ...json, "Content-Length": 1_048_577 },
      true,
      413,
      "BODY_TOO_LARGE",
    ],
    [
      "of a type that is not taken",
      "/leads",
      { "Content-Type": "text/csv", "Content-Length": 9 },
      true,
      415,
      "UNSUPPORTED_MEDIA_TYPE",
    ],
    [
      "in an encoding that is not taken",
      "/leads",
      { ...json, "Content-Encoding": "zstd", "Content-Length": 9 },
      true,
      415,
      "UNSUPPORTED_ENCODING",
    ],
    [
      "for which there is no route",
      "/nosuch",
      { ...json, "Content-Length": 9 },
      true,
      404,
      "ROUTE_NOT_FOUND",
    ],
    ["of an upload by a stranger", "/leads/import", { "Content-Length": 9 }, false, 401, "UNAUTHENTICATED"],
    [
      "of an upload that is declared too large",
      "/leads/import",
      { "Content-Type": "multipart/form-data; boundary=b", "Content-Length": 300_000_000 },
      true,
      413,
      "FILE_TOO_LARGE",
    ],
  ])("%s", async (_what, path, headers, isKnown, status, code) => {
    const connection = await open();
    connection.begin("POST", `/api/v1${path}`, { ...headers, ...(isKnown ? bearer() : {}) });
    expect(await connection.answer()).toMatchObject({ status, body: { code } });
    await connection.closed();
  });

  test("of an address over its limit, on a public route", async () => {
    const limited = await startTestNode({ SERVICES: "gateway,identity", RATE_LIMIT_PER_MINUTE: "2" });
    try {
      const visitor = new Client(originOf(limited));
      for (let turn = 0; turn < 2; turn++) expect((await visitor.post("/auth/login", {})).status).toBe(422);
      const connection = await open(originOf(limited));
      connection.begin("POST", "/api/v1/auth/login", { ...json, "Content-Length": 900_000 });
      expect(await connection.answer()).toMatchObject({ status: 429, body: { code: "RATE_LIMITED" } });
    } finally {
      await limited.stop();
    }
  });

  test("before a client that waits to be asked is known", async () => {
    const head = { ...json, Expect: "100-continue", "Content-Length": lead.length };
    const stranger = (await open()).begin("POST", "/api/v1/leads", head);
    expect((await stranger.answer()).status).toBe(401);
    expect(stranger.heard).not.toContain("100 Continue");
    const known = (await open()).begin("POST", "/api/v1/leads", { ...head, ...bearer() });
    await expect(known.answer(200)).rejects.toThrow();
    expect(known.heard).toContain("100 Continue");
    known.socket.write(lead);
    expect((await known.answer()).status).toBe(201);
  });
});

describe("a body that comes without end", () => {
  test.each([
    ["in chunks", "/leads", json, "x".repeat(60_000), "BODY_TOO_LARGE"],
    [
      "in the field of a form",
      "/leads/import",
      { "Content-Type": "multipart/form-data; boundary=b" },
      `--b\r\nContent-Disposition: form-data; name="mapping"\r\n\r\n${"x".repeat(200_000)}\r\n--b\r\n`,
      "VALIDATION_FAILED",
    ],
  ])("%s is refused while it comes, and then no longer read", async (_how, path, type, chunk, code) => {
    const connection = await open();
    connection.begin("POST", `/api/v1${path}`, { ...type, ...bearer(), "Transfer-Encoding": "chunked" });
    const timer = setInterval(() => {
      if (connection.socket.writableLength < 1_000_000 && !connection.isClosed) connection.chunk(chunk);
    }, 2);
    try {
      expect(await connection.answer()).toMatchObject({ body: { code } });
      await connection.closed();
    } finally {
      clearInterval(timer);
    }
    expect(connection.socket.bytesWritten).toBeLessThan(10_000_000);
  });
});

describe("slow bodies", () => {
  test("take no place of a request that is worked on, and one user has only so many", async () => {
    const head = { ...json, ...bearer(), "Content-Length": lead.length };
    const slow = await Promise.all(
      Array.from({ length: 70 }, async () =>
        (await open()).begin("POST", "/api/v1/leads", head, lead.slice(0, 4)),
      ),
    );
    // one by one: nothing else is under way
    for (let turn = 0; turn < 22; turn++) expect((await admin.get("/leads")).status).toBe(200);
    const refused = slow.filter(({ heard }) => heard.includes("TOO_MANY_UNFINISHED"));
    expect(refused).toHaveLength(70 - 64);
    expect(refused[0]?.heard).toMatch(/^HTTP\/1.1 429 [^]*retry-after: 1/i);
    // who waits is served in the end
    const [first] = slow.filter(({ heard }) => heard === "") as [RawHttp];
    first.socket.write(lead.slice(4));
    expect((await first.answer()).status).toBe(201);
  });

  test("of an upload may come in pieces", async () => {
    const form =
      '--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nEmail\nslow@example.com\n\r\n--b--\r\n';
    const connection = (await open()).begin("POST", "/api/v1/leads/import", {
      ...bearer(),
      "Content-Type": "multipart/form-data; boundary=b",
      "Content-Length": form.length,
    });
    for (const piece of form.match(/[^]{1,20}/g) ?? []) {
      connection.socket.write(piece);
      await admin.get("/auth/me");
    }
    expect((await connection.answer()).status).toBe(202);
  });
});

describe("a body", () => {
  test("with a number that would be stored as another one is refused, and says where it stands", async () => {
    const send = (customFields: string) =>
      fetch(`${admin.origin}/api/v1/leads`, {
        method: "POST",
        headers: { authorization: `Bearer ${admin.token}`, "content-type": "application/json" },
        body: `{ "lastName": "Digits", "customFields": ${customFields} }`,
      });
    for (const [number, isKept] of [
      ["9007199254740993", false],
      ["123456789012345678901234567890", false],
      ["1e400", false],
      ["9007199254740992", true],
      ["0.30000000000000004", true],
      ["0.1000000000000000055511151231257827", true],
    ] as const) {
      const answer = await send(`{ "ids": 1, "big": ${number}, "text": "9007199254740993" }`);
      expect([number, answer.status]).toEqual([number, isKept ? 201 : 422]);
      if (!isKept)
        expect(await answer.json()).toMatchObject({
          errors: [{ path: "customFields.big", code: "not_exact" }],
        });
    }
  });

  const send = (
    body: string | Buffer,
    headers: Record<string, string> = {},
    method = "POST",
    path = "/leads",
  ) =>
    fetch(`${origin}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${admin.token}`, "content-type": "application/json", ...headers },
      body: body as string,
    }).then(async (answer) => ({ status: answer.status, body: (await answer.json()) as { code?: string } }));
  const nested = (levels: number) =>
    `{"lastName":"x","customFields":${'{"a":'.repeat(levels - 1)}1${"}".repeat(levels)}`;
  const gzip = { "content-encoding": "gzip" };

  test.each<[string, string | Buffer, Record<string, string>, number, string | undefined]>([
    ["nested 450,000 deep", deep, {}, 422, "VALIDATION_FAILED"],
    ["nested 33 deep", nested(33), {}, 422, "VALIDATION_FAILED"],
    ["with brackets in a text", JSON.stringify({ lastName: '[{"\\'.repeat(40) }), {}, 201, undefined],
    ["in gzip", gzipSync(lead), gzip, 201, undefined],
    ["in broken gzip", "not gzip", gzip, 400, "MALFORMED_BODY"],
    ["in gzip that is cut off", gzipSync(lead).subarray(0, 12), gzip, 400, "MALFORMED_BODY"],
    ["in gzip that becomes too large", gzipSync(" ".repeat(2_000_000)), gzip, 413, "BODY_TOO_LARGE"],
    ["with a byte order mark", `\ufeff${lead}`, {}, 201, undefined],
    ["that is not UTF-8", Buffer.from('{"lastName":"\xff"}', "latin1"), {}, 400, "MALFORMED_JSON"],
    [
      "in another charset",
      lead,
      { "content-type": "application/json; charset=utf-16" },
      415,
      "UNSUPPORTED_CHARSET",
    ],
    [
      "that names the prototype inside",
      '{"lastName":"x","customFields":{"__proto__":1}}',
      {},
      422,
      "VALIDATION_FAILED",
    ],
    [
      "that names it with escapes",
      '{"lastName":"x","consent":{"\\u005f_proto__":true}}',
      {},
      422,
      "VALIDATION_FAILED",
    ],
    [
      "of a merge patch, where nothing is patched",
      lead,
      { "content-type": "application/merge-patch+json" },
      415,
      "UNSUPPORTED_MEDIA_TYPE",
    ],
  ])("%s", async (_what, body, headers, status, code) => {
    const answer = await send(body, headers);
    expect(answer.status).toBe(status);
    if (code !== undefined) expect(answer.body).toMatchObject({ code });
  });

  test("may be a merge patch (RFC 7396)", async () => {
    const { id } = (await admin.post("/leads", { lastName: "A", title: "B" })).body as { id: string };
    const type = { "content-type": "application/merge-patch+json; charset=utf-8" };
    expect(await send('{"title":null}', type, "PATCH", `/leads/${id}`)).toMatchObject({
      status: 200,
      body: { lastName: "A", title: null },
    });
    expect(
      await send("[]", { "content-type": "application/json-patch+json" }, "PATCH", `/leads/${id}`),
    ).toMatchObject({
      status: 415,
    });
  });

  test("has no place in a GET", async () => {
    const connection = (await open()).begin("GET", "/api/v1/leads", { ...bearer(), "Content-Length": 4 });
    expect(await connection.answer()).toMatchObject({ status: 400, body: { code: "BODY_NOT_ALLOWED" } });
    await connection.closed();
  });

  test("of 80,000 unknown fields is answered with a hundred of them and their number", async () => {
    const body = `{${Array.from({ length: 80_000 }, (_, index) => `"${index}":1`).join()}}`;
    const answer = await admin.post("/leads", body);
    expect(answer).toMatchObject({ status: 422, body: { errorCount: 80_001 } });
    expect(JSON.stringify(answer.body).length).toBeLessThan(100_000);
    const items = Array.from({ length: 1_000 }, () => ({ ...Array.from({ length: 100 }, () => 1) }));
    const bulk = await admin.post("/leads/bulk", { items });
    expect(JSON.stringify(bulk.body).length).toBeLessThan(4_000_000);
  });
});

test("what is not HTTP is told so with a problem", async () => {
  const connection = await open();
  connection.socket.write(
    "POST /api/v1/leads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
  );
  expect((await connection.answer()).status).toBeGreaterThanOrEqual(400);
  const other = await open();
  other.socket.write(`GET / HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n\r\n`);
  expect(await other.answer()).toMatchObject({ status: 431, body: { code: "HEADERS_TOO_LARGE" } });
});

test("who leaves while a body is unpacked takes no place with them", async () => {
  const body = gzipSync(JSON.stringify({ lastName: "x".repeat(900_000) }));
  for (let round = 0; round < 24; round++) {
    const connection = await open();
    connection.begin("POST", "/api/v1/leads", {
      ...{ ...json, ...bearer(), "Content-Encoding": "gzip", "Content-Length": body.length },
      Expect: "100-continue",
    });
    await eventually(() => connection.heard.includes("100 Continue"));
    connection.socket.write(body, () => connection.end());
    await connection.closed();
  }
  const answers = await Promise.all(Array.from({ length: 6 }, () => admin.get("/leads?limit=1")));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
});
