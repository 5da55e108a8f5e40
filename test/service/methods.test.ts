import { request } from "node:http";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { routes, type Route } from "../../services/gateway/routes.ts";
import { Client } from "../support/client.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";

const anId = "01890000-0000-7000-8000-000000000000";
const urlOf = (route: Pick<Route, "path">) => `/api/v1${route.path.replaceAll(/:\w+/g, anId)}`;

let node: TestNode;
let origin: string;
let admin: Client;
beforeAll(async () => {
  node = await shareNode();
  origin = originOf(node);
  admin = await new Client(origin).register("Methods");
});

/** As it goes over the wire; fetch follows, adds and hides. */
const ask = (method: string, path: string, headers: Record<string, string> = {}) =>
  new Promise<{ status: number | undefined; headers: NodeJS.Dict<string | string[]>; body: string }>(
    (done, fail) => {
      const authorization = `Bearer ${admin.token}`;
      const asking = request(origin + path, { method, headers: { authorization, ...headers } }, (answer) => {
        let body = "";
        answer.on("data", (chunk) => (body += String(chunk)));
        answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, body }));
      });
      asking.on("error", fail).end();
    },
  );

const paths = [...new Set(routes.map(({ path }) => path))];
const methodsOf = (path: string) => routes.filter((route) => route.path === path).map(({ method }) => method);

describe.each(paths)("%s", (path) => {
  const url = urlOf({ path });

  test("tells which methods work, to a wrong one and to OPTIONS, which do nothing", async () => {
    const [wrong] = ["PUT", "DELETE", "PATCH", "GET"].filter((method) => !methodsOf(path).includes(method));
    const answer = await ask(wrong as string, url);
    const allow = String(answer.headers.allow).split(", ");
    expect(answer).toMatchObject({
      status: 405,
      headers: { "content-type": expect.stringContaining("problem+json") as unknown as string },
    });
    expect(JSON.parse(answer.body)).toMatchObject({ code: "METHOD_NOT_ALLOWED" });
    expect(allow).toEqual(expect.arrayContaining([...methodsOf(path), "OPTIONS"]));
    expect(allow).not.toContain(wrong);
    for (const method of [undefined, "DELETE"]) {
      const asked = await ask("OPTIONS", url, method ? { "access-control-request-method": method } : {});
      expect(asked).toMatchObject({ status: 204, body: "", headers: { allow: allow.join(", ") } });
    }
  });

  test("has one address: another case or slash is a 404 that names it", async () => {
    const others = [
      `${url}/`,
      url.replace("/api/v1/", "/api/v1//"),
      url.replace("/api/v1", "/API/V1"),
      urlOf({ path: path.toUpperCase().replaceAll(/:\w+/g, ":x") }),
    ];
    for (const other of others) {
      const answer = await ask(methodsOf(path)[0] as string, other);
      expect({ other, ...answer }).toMatchObject({ other, status: 404 });
      expect(JSON.parse(answer.body)).toMatchObject({
        code: "ROUTE_NOT_FOUND",
        detail: expect.stringContaining(`Did you mean ${url}?`) as unknown as string,
      });
    }
  });
});

const reads = routes.filter(({ method }) => method === "GET");
test.each(reads.map((route) => [route.path, route] as const))(
  "HEAD %s is its GET without a body",
  async (_path, route) => {
    const head = await ask("HEAD", urlOf(route));
    if (route.spec.transfer === "browser") {
      // a HEAD may change nothing, and these do
      expect(head).toMatchObject({ status: 405, headers: { allow: "GET, OPTIONS" } });
      return;
    }
    const get = await ask("GET", urlOf(route));
    expect(head).toMatchObject({ status: get.status, body: "" });
    for (const name of ["content-type", "etag", "content-disposition"])
      if (get.status === 200 && route.spec.transfer === "download")
        expect(head.headers[name]).toBe(get.headers[name]);
  },
);

test("a HEAD of a lead has its ETag, and If-None-Match with it is a 304, also of other single records", async () => {
  const { body: lead } = await admin.post("/leads", { lastName: "Same" });
  const { body: pool } = await admin.post("/assignment-pools", {
    name: "P",
    strategy: "round_robin",
    members: [],
  });
  const records = [
    `/api/v1/leads/${(lead as { id: string }).id}`,
    `/api/v1/assignment-pools/${(pool as { id: string }).id}`,
    `/api/v1/users/${admin.userId}`,
    ...["/api/v1/organization", "/api/v1/privacy/retention", "/api/v1/scoring/rules"],
  ];
  for (const path of records) {
    const { headers } = await ask("HEAD", path);
    expect({ path, etag: headers.etag }).toMatchObject({
      etag: expect.stringMatching(/^"\d+"$/) as unknown as string,
    });
    expect(await ask("GET", path, { "if-none-match": String(headers.etag) })).toMatchObject({
      status: 304,
      body: "",
    });
    expect(await ask("GET", path, { "if-none-match": '"9999"' })).toMatchObject({ status: 200 });
  }
});

test.each(["/", "/api/v1", "/api/latest"])("GET %s points to the docs", async (path) => {
  expect(await ask("GET", path)).toMatchObject({ status: 302, headers: { location: "/docs" } });
});

describe("a query string", () => {
  test.each([
    [
      "of more than a hundred parameters",
      Array.from({ length: 101 }, (_, index) => `filter[a${index}]=1`).join("&"),
      "",
      "too_many_parameters",
    ],
    ["with a parameter that stands twice", "limit=1&limit=2", "limit", "duplicate_parameter"],
    [
      "with a filter that stands twice",
      "filter[score]=1&filter[score]=2",
      "filter.score",
      "duplicate_parameter",
    ],
    [
      "with a value that is an object too",
      "filter[score]=1&filter[score][gte]=2",
      "filter.score.gte",
      "duplicate_parameter",
    ],
    ["that is nested too deep", "filter[a][b][c]=1", "filter[a][b][c]", "malformed"],
    ["with a bracket too few", "filter[score=1", "filter[score", "malformed"],
    ["with a name that is none", "=1", "", "malformed"],
    ["that is not percent encoding", "q=%zz", "q", "malformed"],
    ["that is not UTF-8", "q=%ff", "q", "malformed"],
    ["with the prototype", "filter[__proto__]=1", "filter.__proto__", "unknown_field"],
    ["with a list that has holes", "fields[3]=id", "fields", "malformed"],
    [
      "with a list that is too long",
      Array.from({ length: 201 }, () => "f[]=1")
        .slice(0, 100)
        .join("&"),
      "",
      undefined,
    ],
  ])("%s is a 400 that names it", async (_what, query, path, code) => {
    const answer = await ask("GET", `/api/v1/leads?${query}`);
    if (code === undefined) return expect([400, 422]).toContain(answer.status);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({
      code: path.startsWith("filter") ? expect.any(String) : "INVALID_QUERY",
      errors: [{ path, code }],
    });
  });

  test("may name the items of a list, numbered or not", async () => {
    for (const query of [
      "fields[]=id&fields[]=score",
      "fields[0]=id&fields[1]=score",
      "fields=id,score",
      "fields=id&fields=score",
    ])
      expect({ query, ...(await ask("GET", `/api/v1/leads?${query}`)) }).toMatchObject({
        query,
        status: 200,
      });
  });
});

test("an API key that is none is told so, and not to sign in", async () => {
  for (const key of ["bogus", "sgm_bogus", "", `sgm_${"0".repeat(12)}_${"x".repeat(43)}`]) {
    const answer = await new Client(origin).get("/leads", { "x-api-key": key });
    expect(answer).toMatchObject({ status: 401, body: { code: "API_KEY_INVALID" } });
  }
});
