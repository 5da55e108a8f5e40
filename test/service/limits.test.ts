import { beforeAll, expect, test } from "@jest/globals";
import { limits, mostSessionsOfUser, type LimitName } from "../../mixins/organizations/limits.ts";
import { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { shardUrl } from "../support/leads.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let admin: Client;
let leadId: string;
beforeAll(async () => {
  node = await shareNode();
  admin = await new Client(originOf(node)).register("Limits");
  leadId = ((await admin.post("/leads", { lastName: "L" })).body as { id: string }).id;
});

/** Fills the organization with `rows` of a table, past the API. */
const fill = (columns: string, values: string, rows: number, table: string) =>
  inspect(
    table.startsWith("control.") ? (node.databases[0] as string) : shardUrl(node, admin.organizationId),
    `INSERT INTO ${table} (organization_id, id, ${columns}) SELECT '${admin.organizationId}', gen_random_uuid(), ${values}
     FROM generate_series(1, ${rows}) n`,
  );
const unique = () => Math.random().toString(36).slice(2);
const times = "created_at, updated_at";
const later = { remindAt: "2030-01-01T00:00:00Z" };

/** What fills a table up to a number of rows, and what makes one more. */
const cases: [LimitName, (rows: number) => Promise<unknown>, () => ReturnType<Client["post"]>][] = [
  [
    "apiKeysOfUser",
    (rows) =>
      fill(
        "user_id, name, prefix, hash, scopes, created_at",
        `'${admin.userId}', 'k', md5(random()::text), '', '{}', now()`,
        rows,
        "control.api_keys",
      ),
    () => admin.post("/api-keys", { name: "k", scopes: ["leads:read"] }),
  ],
  [
    "invites",
    (rows) =>
      fill(
        "name, email, role, expires_at, created_at",
        "'i', md5(random()::text), 'viewer', now() + interval '1 day', now()",
        rows,
        "control.invites",
      ),
    () => admin.post("/users/invite", { name: "I", email: `${unique()}@example.com`, role: "viewer" }),
  ],
  [
    "roles",
    (rows) =>
      fill(
        `name, permissions, sees, ${times}`,
        "md5(random()::text), '{}', 'own', now(), now()",
        rows,
        "control.roles",
      ),
    () => admin.post("/roles", { name: unique(), permissions: ["leads:read"] }),
  ],
  [
    "teams",
    (rows) =>
      fill(
        `name, manager_ids, member_ids, ${times}`,
        "md5(random()::text), '{}', '{}', now(), now()",
        rows,
        "teams",
      ),
    () => admin.post("/teams", { name: unique() }),
  ],
  [
    "customFields",
    (rows) =>
      fill(
        `entity, key, label, type, ${times}`,
        "'lead', md5(random()::text), '', 'text', now(), now()",
        rows,
        "custom_fields",
      ),
    () => admin.post("/custom-fields", { key: `f${unique()}` }),
  ],
  [
    "assignmentPools",
    (rows) =>
      fill(
        `name, strategy, members, criteria, priority, is_active, version, ${times}`,
        "md5(random()::text), 'round_robin', '[]', '[]', 0, false, 1, now(), now()",
        rows,
        "assignment_pools",
      ),
    () =>
      admin.post("/assignment-pools", {
        name: unique(),
        strategy: "round_robin",
        members: [{ userId: admin.userId }],
      }),
  ],
  [
    "remindersOfLead",
    (rows) =>
      fill(
        "lead_id, user_id, remind_at, created_at",
        `'${leadId}', '${admin.userId}', '2030-01-01', now()`,
        rows,
        "lead_reminders",
      ),
    () => admin.post(`/leads/${leadId}/reminders`, later),
  ],
  [
    "privacyRequests",
    (rows) =>
      fill(`kind, scope, ${times}`, "'export', 'organization', now(), now()", rows, "privacy_requests"),
    () => admin.post("/privacy/exports", { scope: "organization" }),
  ],
  [
    "imports",
    (rows) =>
      fill(
        `file_name, mapping, on_duplicate, status, ${times}`,
        "'f', '[]', 'skip', 'running', now(), now()",
        rows,
        "imports",
      ),
    () => {
      const form = new FormData();
      form.set("file", new Blob(["Last Name\nA\n"]), "a.csv");
      return admin.post("/leads/import", form);
    },
  ],
];

test.each(cases)(
  "%s: the last is made, also of many at once, and one more is a 409 that names the limit",
  async (name, make, one) => {
    const { most, words } = limits[name];
    await make(most - 1);
    const answers = await Promise.all([one(), one(), one()]);
    expect(answers.map(({ status }) => status).sort()).toEqual([
      answers.find(({ status }) => status < 300)?.status,
      409,
      409,
    ]);
    expect(await one()).toMatchObject({
      status: 409,
      body: {
        code: "LIMIT_REACHED",
        detail: expect.stringContaining(`${most} ${words}`) as unknown as string,
      },
    });
  },
);

test("what another organization has does not count", async () => {
  const other = await new Client(admin.origin).register("Other");
  expect((await other.post("/teams", { name: "T" })).status).toBe(201);
});

test("a user's session beyond the hundredth ends the one used longest ago", async () => {
  const user = await admin.addUser("viewer");
  const [control] = node.databases as [string];
  const { body } = await user.get("/auth/me");
  const { email } = (body as { user: { email: string } }).user;
  await inspect(
    control,
    `INSERT INTO control.sessions (id, organization_id, user_id, refresh_hash, last_used_at, expires_at, created_at, updated_at)
     SELECT gen_random_uuid(), $1, $2, md5(random()::text), now(), now() + interval '1 day', now(), now()
     FROM generate_series(1, $3)`,
    [user.organizationId, user.userId, mostSessionsOfUser - 1],
  );
  expect((await user.get("/auth/me")).status).toBe(200);
  const signedIn = await user.post("/auth/login", { email, password: "correct-horse-battery" });
  expect(signedIn.status).toBe(200);
  const live = await inspect<{ count: number }>(
    control,
    "SELECT count(*)::int AS count FROM control.sessions WHERE user_id = $1 AND revoked_at IS NULL",
    [user.userId],
  );
  expect(live).toEqual([{ count: mostSessionsOfUser }]);
  const refreshed = await user.post("/auth/refresh", { refreshToken: user.refreshToken });
  expect(refreshed.status).toBe(401);
});

test("every limit is one of rows that exist", async () => {
  for (const { rows } of Object.values(limits) as { rows: { table: string; where?: string } }[]) {
    const where = (rows.where ?? "true").replace("$2", `'${admin.userId}'`);
    const url = rows.table.startsWith("control.")
      ? (node.databases[0] as string)
      : shardUrl(node, admin.organizationId);
    await inspect(url, `SELECT FROM ${rows.table} WHERE organization_id = $1 AND ${where} LIMIT 1`, [
      admin.organizationId,
    ]);
  }
});
