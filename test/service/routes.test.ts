import { beforeAll, describe, expect, test } from "@jest/globals";
import { can } from "../../mixins/access/principal.ts";
import { openApiDocument, operationId } from "../../services/gateway/openapi.ts";
import { problem } from "../../services/gateway/problem.ts";
import { routes } from "../../services/gateway/routes.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";
import { Client } from "../support/client.ts";
import { pathOf } from "../support/paths.ts";

const { paths } = openApiDocument("test") as {
  paths: Record<string, Record<string, { operationId: string }>>;
};
const roles = ["admin", "manager", "sales_rep", "viewer"] as const;

let node: TestNode;
let visitor: Client;
const clients = {} as Record<(typeof roles)[number], Client>;

beforeAll(async () => {
  node = await shareNode();
  visitor = new Client(originOf(node));
  clients.admin = await visitor.register("Walkers");
  for (const role of roles.slice(1)) clients[role] = await clients.admin.addUser(role);
});

// made from the contracts: a new action is walked without a line here
describe.each(routes.map((route) => [`${route.method} ${route.path}`, route] as const))(
  "%s",
  (_name, route) => {
    const isPublic = route.spec.permission === "public";

    test("is described in OpenAPI", () => {
      const path = route.path.replace(/:(\w+)/g, "{$1}");
      expect(paths[path]?.[route.method.toLowerCase()]?.operationId).toBe(operationId(route.action));
    });

    test("refuses a caller without a token unless it is public", async () => {
      const answer = await visitor.send(
        route.method,
        pathOf(route),
        isPublic && route.method !== "GET" ? {} : undefined,
      );
      if (isPublic) expect(answer.status).not.toBe(401);
      else expect(answer).toMatchObject({ status: 401, body: { code: "UNAUTHENTICATED" } });
    });

    test("lets in exactly the roles with its permission", async () => {
      if (isPublic || route.spec.permission === "authenticated") return;
      for (const role of roles) {
        const mayCall = can({ organizationId: "", userId: "", role }, route.spec.permission);
        // an unknown field stops every call that is let in, so that nothing is changed
        const answer = await clients[role].send(route.method, `${pathOf(route)}?nosuch=1`, { nosuch: 1 });
        if (mayCall) expect({ role, status: answer.status }).not.toMatchObject({ status: 403 });
        else expect({ role, ...answer }).toMatchObject({ role, status: 403, body: { code: "FORBIDDEN" } });
      }
    });

    test("refuses an unknown field with a problem that names it", async () => {
      if (isPublic && route.method === "GET") return;
      const hasBody = route.method !== "GET" && route.method !== "DELETE";
      if (route.spec.transfer === "multipart") return; // its form is walked in imports.test.ts
      const answer = await clients.admin.send(
        route.method,
        pathOf(route) + (hasBody ? "" : "?nosuch=1"),
        hasBody ? { nosuch: 1 } : undefined,
      );
      expect(problem.safeParse(answer.body).error).toBeUndefined();
      const status = hasBody ? 422 : 400;
      expect(answer).toMatchObject({ status, contentType: "application/problem+json; charset=utf-8" });
      expect((answer.body as { errors: unknown[] }).errors).toContainEqual(
        expect.objectContaining({ path: "nosuch", code: "unknown_field" }),
      );
    });
  },
);
