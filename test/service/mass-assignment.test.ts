import { beforeAll, describe, expect, test } from "@jest/globals";
import { z } from "zod";
import { kinds } from "../../entities/kinds.ts";
import { filledByGateway } from "../../mixins/contract/contract.ts";
import { routes, type Route } from "../../services/gateway/routes.ts";
import { Client } from "../support/client.ts";
import { pathOf } from "../support/paths.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";

// what the server decides, or only some may: a client that sends it with something else must be told, not obeyed
const guarded = [
  ...[
    "id",
    "organizationId",
    "version",
    "expectedVersion",
    "createdAt",
    "updatedAt",
    "deletedAt",
    "createdBy",
  ],
  ...["userId", "actorId", "sessionId", "role", "permissions", "sees", "scopes", "isActive", "isBuiltIn"],
  ...["passwordHash", "refreshHash", "hash", "prefix", "lastLoginAt", "expiresAt", "ip", "userAgent"],
  ...["plan", "dataRegion", "trialEndsAt", "settings", "score", "scoreReasons", "scoringVersion"],
  ...["assignedTo", "convertedAt", "lastActivityAt", "importId", "position", "remindedAt"],
];
/** Routes that take some of these, because that is what they are for. Another one needs a line here, and a reason. */
const taken: Record<string, readonly string[]> = {
  "POST /users": ["role"],
  "PATCH /users/:id": ["role", "isActive"],
  "POST /users/invite": ["role"],
  "POST /roles": ["permissions", "sees"],
  "PATCH /roles/:role": ["permissions", "sees"],
  "POST /api-keys": ["scopes", "expiresAt"],
  "POST /assignment-pools": ["isActive"],
  "PATCH /assignment-pools/:id": ["isActive"],
  "POST /leads/:id/assign": ["userId"],
  ...Object.fromEntries([...kinds.values()].map(({ plural }) => [`POST /${plural}/:id/revert`, ["version"]])),
  ...Object.fromEntries(
    [...kinds.values()].flatMap(({ plural, fields }) =>
      [`POST /${plural}`, `PATCH /${plural}/:id`, `PUT /${plural}/by-external-id/:externalId`].map(
        (route) => [route, guarded.filter((key) => fields[key]?.setBy === "caller")],
      ),
    ),
  ),
};
const nameOf = ({ method, path }: Route) => `${method} ${path}`;
const refusedBy = (route: Route) => guarded.filter((field) => !taken[nameOf(route)]?.includes(field));
const writing = routes.filter(({ method }) => ["POST", "PUT", "PATCH"].includes(method));

let node: TestNode;
let admin: Client;
beforeAll(async () => {
  node = await shareNode();
  admin = await new Client(originOf(node)).register("Mass");
});

/** Every schema of an object inside a JSON schema that names its fields. */
function objectsIn(schema: unknown): Record<string, unknown>[] {
  if (typeof schema !== "object" || schema === null) return [];
  const own = "properties" in schema ? [schema as Record<string, unknown>] : [];
  return [...own, ...Object.values(schema).flatMap(objectsIn)];
}

describe.each(writing.map((route) => [nameOf(route), route] as const))("%s", (_name, route) => {
  test("takes no field it does not name, at any depth", () => {
    const schema = z.toJSONSchema(route.spec.params, { io: "input", unrepresentable: "any" });
    for (const object of objectsIn(schema)) expect(object).toMatchObject({ additionalProperties: false });
  });

  test("refuses what is not the client's to set, and names each such field", async () => {
    const path = pathOf(route);
    const isForm = route.spec.transfer === "multipart";
    // what repeats the path or a header is refused before the rest is looked at; a form holds 20 fields
    const early = (field: string) => route.pathParams.includes(field) || filledByGateway.includes(field);
    const groups = Object.values(
      Object.groupBy(refusedBy(route), (field) => (early(field) ? "early" : "late")),
    );
    for (const fields of groups.flatMap((group) => [group.slice(0, 18), group.slice(18)])) {
      if (fields.length === 0) continue;
      const sent = Object.fromEntries(fields.map((field) => [field, "x"]));
      const answer = await admin.send(route.method, path, isForm ? formOf(sent) : sent);
      expect(answer.status).toBe(422);
      const { errors } = answer.body as { errors: { path: string; code: string }[] };
      const named = errors.filter(({ code }) => code === "unknown_field").map((error) => error.path);
      expect(named.sort()).toEqual(fields.toSorted());
    }
  });
});

function formOf(fields: Record<string, string>): FormData {
  const form = new FormData();
  form.set("file", new Blob(["email\na@b.example\n"]), "leads.csv");
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  return form;
}

test("what may be sent is not taken either when something else may not", async () => {
  const lead = (await admin.post("/leads", { firstName: "Asha" })).body as { id: string };
  const answer = await admin.send("PATCH", `/leads/${lead.id}`, {
    firstName: "Mallory",
    organizationId: "01890000-0000-7000-8000-000000000000",
  });
  expect(answer).toMatchObject({ status: 422 });
  expect(await admin.get(`/leads/${lead.id}`)).toMatchObject({ body: { firstName: "Asha", version: 1 } });
});

test.each(guarded.filter((field) => field !== "assignedTo"))(
  "an item of a batch with %s is refused alone",
  async (field) => {
    const answer = await admin.post("/leads/bulk", {
      items: [{ firstName: "A", [field]: "x" }, { firstName: "B" }],
    });
    expect(answer).toMatchObject({
      status: 200,
      body: {
        results: [
          { status: 422, error: { errors: [{ path: field, code: "unknown_field" }] } },
          { status: 201 },
        ],
      },
    });
  },
);
