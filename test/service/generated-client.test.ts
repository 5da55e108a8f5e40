import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import openapiTS, { astToString } from "openapi-typescript";
import { originOf, shareNode, type TestNode } from "../support/node.ts";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");

/** What somebody writes who has nothing but the document; every line is checked by the compiler. */
const program = `
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const api = createClient<paths>({ baseUrl: process.argv[2] + "/api/v1" });
const fail = (problem: components["schemas"]["Problem"]): never => { throw new Error(problem.code); };

const registered = await api.POST("/auth/register", {
  body: { organizationName: "Generated", name: "Ann", email: "generated@test.example", password: "correct-horse-battery" },
});
const { accessToken, user } = registered.data ?? fail(registered.error);
api.use({ onRequest: ({ request }) => { request.headers.set("authorization", "Bearer " + accessToken); return request; } });

const made = await api.POST("/leads", { body: { firstName: "Asha", email: "asha@test.example", tags: ["fair"] } });
const lead: components["schemas"]["Lead"] = made.data ?? fail(made.error);

const listed = await api.GET("/leads", {
  params: { query: { limit: 1, sort: "-score", filter: { status: "new", email: "asha@test.example" }, fields: ["email", "score"], count: true } },
});
const { data: leads, page } = listed.data ?? fail(listed.error);

const etag = made.response.headers.get("etag") ?? "";
const params = { path: { id: lead.id }, header: { "If-Match": etag } };
const changed = await api.PATCH("/leads/{id}", { params, body: { status: "contacted", assignedTo: user.id } });
const overtaken = await api.PATCH("/leads/{id}", { params, body: { status: "qualified" } });
const refused = await api.POST("/leads", { body: { email: "nobody" } });
const gone = await api.DELETE("/leads/{id}", { params: { path: { id: lead.id } } });
// @ts-expect-error there is no such status
await api.PATCH("/leads/{id}", { params, body: { status: "bogus" } });

console.log(JSON.stringify({
  page, leads,
  changed: [changed.data?.status, changed.data?.version],
  overtaken: [overtaken.response.status, overtaken.error?.code],
  refused: [refused.response.status, refused.error?.errors?.[0]?.path],
  gone: gone.response.status,
}));
`;

let node: TestNode;
let folder: string;
beforeAll(async () => {
  node = await shareNode();
  // below node_modules, as the program of a user would find its packages
  const cache = join(root, "node_modules/.cache");
  await mkdir(cache, { recursive: true });
  folder = await mkdtemp(join(cache, "generated-client-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

test("a client made from the document compiles under --strict, and works", async () => {
  const document = await (await fetch(`${originOf(node)}/api/v1/openapi.json`)).text();
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  await writeFile(join(folder, "schema.d.ts"), astToString(await openapiTS(document)));
  await writeFile(join(folder, "program.ts"), program);
  const compile = [
    join(root, "node_modules/typescript/bin/tsc"),
    "--ignoreConfig",
    ...["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--target", "es2023"],
    ...["--module", "nodenext", "--lib", "es2023,dom,dom.iterable", "--types", "node"],
    "program.ts",
  ];
  await run(process.execPath, compile, { cwd: folder }).catch((error: { stdout: string }) => {
    throw new Error(error.stdout);
  });
  const { stdout } = await run(process.execPath, [join(folder, "program.js"), originOf(node)]);
  expect(JSON.parse(stdout)).toEqual({
    page: { nextCursor: null, hasMore: false, total: 1 },
    leads: [{ id: expect.any(String), email: "asha@test.example", score: expect.any(Number) }],
    changed: ["contacted", 2],
    overtaken: [412, "VERSION_MISMATCH"],
    refused: [422, "email"],
    gone: 204,
  });
}, 120_000);
