import { createConfig, lintFromString } from "@redocly/openapi-core";
import { describe, expect, test } from "@jest/globals";
import { openApiDocument } from "../../services/gateway/openapi.ts";
import { routes, type Route } from "../../services/gateway/routes.ts";

type Json = Record<string, unknown>;
interface Operation {
  operationId: string;
  parameters: { name: string; in: string }[];
  requestBody?: { content: Record<string, { example?: Json }> };
  responses: Record<string, { content?: Record<string, { schema?: Json; example?: unknown }> }>;
}
const document = openApiDocument("1.2.3") as Json & {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Json> };
};
const operationOf = ({ method, path }: Route): Operation =>
  document.paths[path.replace(/:(\w+)/g, "{$1}")]?.[method.toLowerCase()] as Operation;
const anId = "01890000-0000-7000-8000-000000000000";

test("a linter finds nothing in the document", async () => {
  const config = await createConfig({
    extends: ["recommended"],
    // the path of /leads/by-external-id/restore is one of both only to who does not see that ids are UUIDs
    rules: { "no-ambiguous-paths": "off" },
  });
  const source = JSON.stringify(document);
  const problems = await lintFromString({ source, absoluteRef: "openapi.json", config });
  expect(problems.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toEqual(
    [],
  );
});

test("a record is one schema, and each operation has a name of its own that is one in any language", () => {
  const names = Object.keys(document.components.schemas);
  expect(names).toEqual(expect.arrayContaining(["Lead", "LeadPart", "NewLead", "User", "Problem", "Page"]));
  // a lead has these two, and nothing else in the document has its fields
  const text = JSON.stringify(document);
  expect(text.match(/"scoreReasons":\{/g)).toHaveLength(2);
  const ids = routes.map((route) => operationOf(route).operationId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^[a-z]\w+$/);
});

test("every reference leads to something", () => {
  const resolve = (pointer: string) =>
    pointer
      .slice(2)
      .split("/")
      .reduce<unknown>((part, key) => (part as Json | undefined)?.[key], document);
  for (const [, pointer] of JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g))
    expect({ pointer, found: resolve(pointer as string) !== undefined }).toEqual({ pointer, found: true });
});

describe.each(routes.map((route) => [`${route.method} ${route.path}`, route] as const))(
  "%s",
  (_name, route) => {
    const operation = operationOf(route);

    test("shows a request that its contract takes", () => {
      const [content] = Object.values(operation.requestBody?.content ?? {});
      if (!content?.example) return;
      const path = Object.fromEntries(route.pathParams.map((name) => [name, exampleOfPath(route, name)]));
      expect(route.spec.params.safeParse({ ...content.example, ...path }).error).toBeUndefined();
    });

    test("shows an answer that its contract gives", () => {
      const { status = 200, transfer = "json", returns } = route.spec;
      if (status === 204 || transfer === "download" || transfer === "browser") return;
      const answer = operation.responses[String(status)]?.content?.["application/json"];
      expect(answer?.schema).toBeDefined();
      expect(returns.safeParse(answer?.example).error).toBeUndefined();
    });

    test("names the problems it can answer", () => {
      const statuses = Object.keys(operation.responses);
      expect(statuses).toEqual(expect.arrayContaining(["400", "429", "503"]));
      if (route.spec.permission !== "public")
        expect(statuses).toEqual(expect.arrayContaining(["401", "403"]));
      if (route.isVersioned) expect(statuses).toContain("412");
      if (route.method !== "GET") expect(statuses).toEqual(expect.arrayContaining(["409", "415", "422"]));
    });
  },
);

const exampleOfPath = (route: Route, name: string): string =>
  route.path.startsWith("/jobs") ? "1" : name === "provider" ? "google" : anId;
