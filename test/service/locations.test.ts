import { beforeAll, describe, expect, test } from "@jest/globals";
import { kinds } from "../../entities/kinds.ts";
import { routes } from "../../services/gateway/routes.ts";
import { Client, type Answer } from "../support/client.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let visitor: Client;
let admin: Client;

beforeAll(async () => {
  node = await shareNode();
  visitor = new Client(originOf(node));
  admin = await visitor.register("Located");
});

const id = (answer: Answer) => (answer.body as { id: string }).id;
const make = async (path: string, body: object): Promise<string> => id(await admin.post(path, body));

describe("Location", () => {
  const csv = () => {
    const form = new FormData();
    form.append("file", new Blob(["email\nfile@example.com\n"], { type: "text/csv" }), "leads.csv");
    return form;
  };
  let leadId: string;
  const nobody = "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f";
  beforeAll(async () => {
    leadId = await make("/leads", { email: "located@example.com" });
  });
  /** How to make what each route makes; undefined: the test tells why it is not asked here. */
  const asked: Record<string, (() => Promise<Answer>) | undefined> = {
    "POST /auth/register": () =>
      visitor.post("/auth/register", {
        ...{ organizationName: "Located", name: "Ann", email: "located@test.example" },
        password: "correct-horse-battery",
      }),
    "POST /users": () =>
      admin.post("/users", {
        ...{ name: "Ann", email: "ann@located.example", role: "viewer", password: "correct-horse-battery" },
      }),
    "POST /users/invite": () =>
      admin.post("/users/invite", { name: "Ann", email: "invited@located.example", role: "viewer" }),
    "POST /roles": () => admin.post("/roles", { name: "Located", permissions: ["leads:read"] }),
    "POST /api-keys": () => admin.post("/api-keys", { name: "Located", scopes: ["leads:read"] }),
    ...Object.fromEntries(
      [...kinds.values()].flatMap(({ plural, example }) => [
        [`POST /${plural}`, () => admin.post(`/${plural}`, example)],
        [
          `PUT /${plural}/by-external-id/:externalId`,
          () => admin.send("PUT", `/${plural}/by-external-id/located`, example),
        ],
        [
          `PATCH /${plural}/bulk`,
          () => admin.send("PATCH", `/${plural}/bulk`, { ids: [nobody], changes: { tags: ["located"] } }),
        ],
        [
          `POST /${plural}/:id/comments`,
          async () =>
            admin.post(`/${plural}/${await make(`/${plural}`, example)}/comments`, { body: "Located" }),
        ],
        [`POST /${plural}/import`, () => admin.post(`/${plural}/import`, csv())],
        [`POST /${plural}/bulk-delete`, () => admin.post(`/${plural}/bulk-delete`, { ids: [nobody] })],
      ]),
    ),
    "POST /assignment-pools": () =>
      admin.post("/assignment-pools", {
        ...{ name: "Located", strategy: "round_robin", isActive: false },
        members: [{ userId: admin.userId }],
      }),
    "POST /custom-fields": () => admin.post("/custom-fields", { key: "located" }),
    "POST /leads/:id/reminders": () =>
      admin.post(`/leads/${leadId}/reminders`, { remindAt: "2030-01-01T00:00:00Z" }),
    "POST /reports/:id/run": async () =>
      admin.post(`/reports/${await make("/reports", { name: "Located", kind: "lead" })}/run`),
    "POST /calls": async () =>
      admin.post("/calls", {
        queueId: await make("/call-queues", { name: "Located" }),
        phone: "+919876543210",
      }),
    "POST /lists": () => admin.post("/lists", { name: "Located" }),
    "POST /lists/:id/entries": async () =>
      admin.post(`/lists/${await make("/lists", { name: "Located" })}/entries`, { recordId: leadId }),
    "POST /lists/:id/entries/bulk": async () =>
      admin.post(`/lists/${await make("/lists", { name: "Located" })}/entries/bulk`, { ids: [nobody] }),
    "POST /views": () => admin.post("/views", { name: "Located" }),
    "POST /teams": () => admin.post("/teams", { name: "Located" }),
    "POST /privacy/exports": () => admin.post("/privacy/exports", { email: "nobody@located.example" }),
    "POST /privacy/erasures": () =>
      admin.post("/privacy/erasures", { email: "nobody@located.example", reason: "A test" }),
    "DELETE /organization": async () => {
      const leaving = await visitor.register("Leaving");
      const answer = await leaving.send("DELETE", "/organization", { password: "correct-horse-battery" });
      return { ...answer, follow: leaving } as Answer;
    },
    "POST /auth/invite/accept": undefined, // needs a mailed token: mailed-links.test.ts
    "POST /imports/:id/rollback": undefined, // needs an import that has ended: imports.test.ts
    "POST /jobs/:id/retry": undefined, // needs a dead job: jobs.test.ts
  };
  const makers = routes.filter(({ spec }) => spec.upserts || spec.status === 201 || spec.status === 202);

  test.each(makers.map(({ spec }) => spec.rest as string))("of %s leads to what was made", async (rest) => {
    expect(Object.keys(asked)).toContain(rest);
    const answer = await asked[rest]?.();
    if (!answer) return;
    expect([201, 202]).toContain(answer.status);
    const location = answer.headers.get("location") ?? "";
    expect(location).toMatch(/^\/api\/v1\/[^:]+$/);
    const follower =
      (answer as Answer & { follow?: Client }).follow
      ?? (rest === "POST /auth/register" ? new Client(admin.origin, answer.body as never) : admin);
    const found = await follower.get(admin.origin + location);
    expect({ location, status: found.status }).toEqual({ location, status: 200 });
    const made = answer.body as { id?: string };
    if (made.id !== undefined) expect(found.body).toMatchObject({ id: made.id });
  });
});
