import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { linkHash } from "../../services/identity/sign-in/link-token.ts";
import { Client } from "../support/client.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { enrolTotp } from "../support/federation.ts";
import { eventually } from "../support/eventually.ts";
import { type Node, originOf, startNode, testEnv, type TestNode } from "../support/node.ts";
import { SocketClient } from "../support/realtime.ts";

// two gateways on the same databases and without NATS: what is broadcast at one, the other never hears
let databases: string[];
let here: Node;
let deaf: Node;
let admin: Client;
beforeAll(async () => {
  databases = [await createDatabase(), await createDatabase()];
  here = await startNode(testEnv(databases));
  deaf = await startNode(testEnv(databases));
  admin = await new Client(originOf(here as TestNode)).register("Revocations");
});
afterAll(async () => {
  for (const node of [deaf, here]) await node.stop();
  for (const url of databases) await dropDatabase(url);
});

const password = "correct-horse-battery";
/** The bearer of the same credential at another gateway. */
const at = (node: Node, { token, apiKey, userId, organizationId, refreshToken }: Client) =>
  new Client(
    originOf(node as TestNode),
    token === undefined
      ? undefined
      : {
          ...{ accessToken: token, refreshToken: refreshToken ?? "" },
          ...{ user: { id: userId }, organization: { id: organizationId } },
        },
    apiKey,
  );
const me = async (node: Node, client: Client) => (await at(node, client).get("/users?limit=1")).status;
const done = async (answering: ReturnType<Client["post"]>) => {
  const { status, body } = await answering;
  if (status >= 300) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body as Record<string, string>;
};
const emailOf = async ({ userId }: Client) => (await done(admin.get(`/users/${userId}`))).email as string;
const signIn = async (client: Client) =>
  new Client(
    client.origin,
    (await done(client.post("/auth/login", { email: await emailOf(client), password }))) as never,
  );

const ways: [string, () => Promise<{ victim: Client; revoke: () => Promise<unknown> }>][] = [
  [
    "logged out",
    async () => {
      const victim = await admin.addUser("sales_rep");
      return { victim, revoke: () => done(victim.post("/auth/logout", {})) };
    },
  ],
  [
    "whose session was ended from another",
    async () => {
      const victim = await admin.addUser("sales_rep");
      const other = await signIn(victim);
      const { data } = (await done(victim.get("/auth/sessions"))) as unknown as {
        data: { id: string; isCurrent: boolean }[];
      };
      const { id } = data.find(({ isCurrent }) => isCurrent) as { id: string };
      return { victim, revoke: () => done(other.send("DELETE", `/auth/sessions/${id}`)) };
    },
  ],
  [
    "an admin who was demoted",
    async () => {
      const victim = await admin.addUser("admin");
      return {
        victim,
        revoke: () => done(admin.send("PATCH", `/users/${victim.userId}`, { role: "viewer" })),
      };
    },
  ],
  [
    "an admin who was deactivated",
    async () => {
      const victim = await admin.addUser("admin");
      return {
        victim,
        revoke: () => done(admin.send("PATCH", `/users/${victim.userId}`, { isActive: false })),
      };
    },
  ],
  [
    "whose password was changed in another session",
    async () => {
      const victim = await admin.addUser("sales_rep");
      const other = await signIn(victim);
      const change = { currentPassword: password, newPassword: `${password}-2` };
      return { victim, revoke: () => done(other.post("/auth/password/change", change)) };
    },
  ],
  [
    "whose password was reset by a mailed link",
    async () => {
      const victim = await admin.addUser("sales_rep");
      await inspect(
        databases[0] as string,
        `INSERT INTO control.password_resets (hash, organization_id, user_id, expires_at)
         VALUES ($1, $2, $3, now() + interval '1 hour')`,
        [linkHash("reset"), admin.organizationId, victim.userId],
      );
      const reset = { token: "reset", password: `${password}-2` };
      return { victim, revoke: () => done(new Client(admin.origin).post("/auth/password/reset", reset)) };
    },
  ],
  [
    "whose second factor an admin took away",
    async () => {
      const victim = await admin.addUser("sales_rep");
      await enrolTotp(victim);
      return { victim, revoke: () => done(admin.send("DELETE", `/users/${victim.userId}/mfa`)) };
    },
  ],
  [
    "whose refresh token was used twice",
    async () => {
      const victim = await admin.addUser("sales_rep");
      const refresh = () => victim.post("/auth/refresh", { refreshToken: victim.refreshToken });
      await done(refresh());
      return { victim, revoke: refresh };
    },
  ],
  [
    "with an API key that was revoked",
    async () => {
      const { id, key } = await done(
        admin.post("/api-keys", { name: "k", scopes: ["users:read", "events:read"] }),
      );
      return {
        victim: admin.withApiKey(key as string),
        revoke: () => done(admin.send("DELETE", `/api-keys/${id}`)),
      };
    },
  ],
];

describe("the credential of somebody", () => {
  test.each(ways)(
    "%s is refused at once, by a gateway that was not told within two seconds, and by one that starts anew",
    async (_who, prepare) => {
      const { victim, revoke } = await prepare();
      const socket = new SocketClient(originOf(deaf as TestNode), victim.token ?? victim.apiKey ?? "");
      try {
        await socket.connected();
        expect([await me(here, victim), await me(deaf, victim)]).toEqual([200, 200]);
        await revoke();
        expect(await me(here, victim)).toBe(401);
        await eventually(async () => (await me(deaf, victim)) === 401, 4_000);
        await eventually(() => socket.socket.disconnected, 4_000);
        const restarted = await startNode(testEnv(databases, { SERVICES: "gateway" }));
        try {
          expect(await me(restarted, victim)).toBe(401);
          expect(await me(restarted, admin)).toBe(200);
        } finally {
          await restarted.stop();
        }
      } finally {
        socket.close();
      }
    },
    60_000,
  );

  test("whose role was changed acts by API key at a deaf gateway as the new role, also on its socket", async () => {
    const victim = await admin.addUser("admin");
    const { key } = await done(
      victim.post("/api-keys", { name: "k", scopes: ["teams:create", "events:read"] }),
    );
    const program = victim.withApiKey(key as string);
    const makeTeam = async () =>
      (await at(deaf, program).post("/teams", { name: `Team ${Math.random()}` })).status;
    const socket = new SocketClient(originOf(deaf as TestNode), key as string);
    try {
      await socket.connected();
      expect(await makeTeam()).toBe(201);
      await done(admin.send("PATCH", `/users/${victim.userId}`, { role: "sales_rep" }));
      await eventually(async () => (await makeTeam()) === 403, 4_000);
      await eventually(() => socket.socket.disconnected, 4_000);
    } finally {
      socket.close();
    }
  });
});

test("a gateway that cannot read what was revoked lets no access token in", async () => {
  const [control] = databases as [string];
  try {
    await inspect(control, "ALTER TABLE control.revocations RENAME TO hidden");
    const starting = await startNode(testEnv(databases, { SERVICES: "gateway" }));
    try {
      expect(await at(starting, admin).get("/users?limit=1")).toMatchObject({
        status: 503,
        body: { code: "SIGN_IN_UNAVAILABLE" },
      });
      await inspect(control, "ALTER TABLE control.hidden RENAME TO revocations");
      await eventually(async () => (await me(starting, admin)) === 200, 4_000);
    } finally {
      await starting.stop();
    }
  } finally {
    await inspect(control, "ALTER TABLE IF EXISTS control.hidden RENAME TO revocations");
  }
});
