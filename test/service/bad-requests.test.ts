import { beforeAll, describe, expect, test } from "@jest/globals";
import { connect } from "node:net";
import { problem } from "../../services/gateway/problem.ts";
import { Client } from "../support/client.ts";
import { countRows } from "../support/database.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let origin: string;
let mine: Client;
const leadCount = () => countRows(node.databases, "leads");

beforeAll(async () => {
  node = await shareNode();
  origin = originOf(node);
  mine = await new Client(origin).register("Mine");
});

describe("a bad request", () => {
  const hostile = [
    "'; DROP TABLE leads; --",
    '" OR 1=1 --',
    "<script>alert(1)</script>",
    "${jndi:ldap://x}",
    "../../etc/passwd",
    "{{7*7}}",
    "\u202Eevil",
    "$$; SELECT pg_sleep(10)",
  ];
  test.each(hostile)("%j is only text, in every field", async (value) => {
    const made = await mine.post("/leads", {
      ...{ firstName: value, lastName: value, companyName: value, title: value, source: value },
      ...{ tags: [value], customFields: { note: value }, consent: { email: value } },
    });
    expect(made).toMatchObject({
      status: 201,
      body: { firstName: value, tags: [value], customFields: { note: value } },
    });
    const query = encodeURIComponent(value);
    for (const path of [
      `?q=${query}`,
      `?filter[firstName]=${query}`,
      `?filter[firstName][like]=${query}`,
      `?filter[customFields.note]=${query}`,
    ])
      expect((await mine.get(`/leads${path}`)).status).toBe(200);
    for (const path of [
      `?sort=${query}`,
      `?fields=${query}`,
      `?cursor=${query}`,
      `?filter[${query}]=1`,
      `?limit=${query}`,
    ])
      expect(await mine.get(`/leads${path}`)).toMatchObject({
        status: 400,
        body: { errors: [expect.objectContaining({ code: expect.any(String) })] },
      });
  });

  test.each([
    ["cut off JSON", '{"firstName":', "application/json", 400, "MALFORMED_JSON"],
    ["a JSON array", "[]", "application/json", 400, "MALFORMED_JSON"],
    ["a JSON string", '"x"', "application/json", 400, "MALFORMED_JSON"],
    ["null", "null", "application/json", 400, "MALFORMED_JSON"],
    ["text", "firstName=Ann", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"],
    ["a form", "firstName=Ann", "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE"],
    ["UTF-32", '{"firstName":"Ann"}', "application/json; charset=utf-99", 415, "UNSUPPORTED_CHARSET"],
    ["2 MB", JSON.stringify({ firstName: "x".repeat(2_000_000) }), "application/json", 413, "BODY_TOO_LARGE"],
    [
      "a 1 MB string",
      JSON.stringify({ firstName: "x".repeat(1_000_000) }),
      "application/json",
      422,
      "VALIDATION_FAILED",
    ],
    ["NUL", '{"firstName":"a\\u0000b"}', "application/json", 422, "VALIDATION_FAILED"],
    [
      "NUL in a custom field",
      '{"firstName":"a","customFields":{"x":"\\u0000"}}',
      "application/json",
      422,
      "VALIDATION_FAILED",
    ],
    ["a wrong type", '{"firstName":1}', "application/json", 422, "VALIDATION_FAILED"],
    ["an unknown field", '{"firstName":"a","score":100}', "application/json", 422, "VALIDATION_FAILED"],
    [
      "a field only the gateway fills",
      '{"firstName":"a","expectedVersion":1}',
      "application/json",
      422,
      "VALIDATION_FAILED",
    ],
    [
      "a prototype",
      '{"firstName":"a","__proto__":{"role":"admin"}}',
      "application/json",
      422,
      "VALIDATION_FAILED",
    ],
    ["nobody", "{}", "application/json", 422, "VALIDATION_FAILED"],
    ["an impossible phone", '{"phone":"12"}', "application/json", 422, "VALIDATION_FAILED"],
  ])("%s gets its problem and stores nothing", async (_name, body, contentType, status, code) => {
    const before = await leadCount();
    const answer = await mine.send("POST", "/leads", body, { "content-type": contentType });
    expect(answer).toMatchObject({
      status,
      contentType: "application/problem+json; charset=utf-8",
      body: { code, status },
    });
    expect(problem.safeParse(answer.body).success).toBe(true);
    expect(await leadCount()).toBe(before);
    expect(JSON.stringify(answer.body)).not.toMatch(/at \w+ \(|SELECT|INSERT|node_modules/);
  });

  test.each([
    ["/nosuch", 404, "ROUTE_NOT_FOUND"],
    ["/leads/not-an-id", 404, "NOT_FOUND"],
    ["/leads/%ff", 400, "MALFORMED_REQUEST"],
    ["/leads?limit=0", 400, "INVALID_QUERY"],
    ["/leads?limit=201", 400, "INVALID_QUERY"],
    ["/leads?cursor=garbage", 400, "INVALID_CURSOR"],
    ["/leads?filter[score]=high", 400, "INVALID_FILTER"],
    ["/leads?filter[firstName]=%00", 400, "INVALID_FILTER"],
    ["/leads?q=%00", 200, undefined],
  ])("GET %s is a %d", async (path, status, code) => {
    const answer = await mine.get(path);
    expect(answer).toMatchObject({ status, body: code ? { code } : {} });
  });

  test("that is not HTTP leaves the process up", async () => {
    const { port } = new URL(origin);
    await new Promise<void>((done) => {
      const socket = connect(Number(port), "127.0.0.1", () => socket.write("\0\0\0 nonsense\r\n\r\n"));
      socket.on("close", () => done());
      socket.on("error", () => done());
      socket.resume();
    });
    expect((await mine.get(`${origin}/health`)).status).toBe(200);
  });
});
