import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { decodeJwt } from "jose";
import { AccessTokens } from "../../mixins/access-token.ts";
import type { Role } from "../../mixins/actor.ts";
import type { Meta } from "../../mixins/meta.ts";
import type { SessionRevoked, SignedIn } from "../../services/identity/identity.contract.ts";
import { inspect } from "../support/database.ts";
import { eventually, startTestNode, type TestNode } from "../support/node.ts";

const password = "a long enough secret";
let node: TestNode;
/** Sessions whose end was broadcast, in order. */
const ended: SessionRevoked[] = [];

beforeAll(async () => {
  node = await startTestNode({ SERVICES: "identity" });
  node.broker.createService({
    name: "listener",
    events: { "session.revoked": (ctx: { params: SessionRevoked }) => void ended.push(ctx.params) },
  });
});
afterAll(() => node.stop());

let count = 0;
const newEmail = () => `user${++count}@example.com`;

/** An organization of its own, with its signed-in admin. */
const register = (
  overrides: { email?: string; password?: string; name?: string; organizationName?: string } = {},
) =>
  node.call("identity.register", {
    organizationName: "Acme",
    name: "Asha",
    email: newEmail(),
    password,
    ...overrides,
  });
const login = (email: string) => node.call("identity.login", { email, password });

/** What the gateway would send along for the bearer of this access token. */
function metaOf({ accessToken }: SignedIn): Meta {
  const { sub, org, sid, role } = decodeJwt<{ org: string; sid: string; role: string }>(accessToken);
  return { userId: sub ?? "", organizationId: org, sessionId: sid, role };
}
const sessionOf = (signedIn: SignedIn): string => metaOf(signedIn).sessionId ?? "";

/** A colleague of the admin, signed in. */
async function hire(admin: SignedIn, role: Role): Promise<SignedIn> {
  const email = newEmail();
  await node.call("identity.createUser", { name: "Ravi", email, role, password }, metaOf(admin));
  return login(email);
}
const refusal = (code: number, type: string) => expect.objectContaining({ code, type });
const hasEnded = (signedIn: SignedIn) => ended.some(({ sessionId }) => sessionId === sessionOf(signedIn));

describe("registering", () => {
  test("makes an organization on trial for 14 days and signs its admin in", async () => {
    const before = Date.now();
    const { user, organization, expiresIn } = await register({
      email: "Boss@Example.COM",
      organizationName: "Initech",
    });
    expect(user).toMatchObject({
      name: "Asha",
      email: "boss@example.com",
      role: "admin",
      isActive: true,
      version: 1,
    });
    expect(organization).toMatchObject({ name: "Initech", plan: "trial", domain: null, version: 1 });
    const trialMs = Date.parse(organization.trialEndsAt ?? "") - before;
    expect(trialMs).toBeGreaterThanOrEqual(14 * 86_400_000);
    expect(trialMs).toBeLessThan(14 * 86_400_000 + 60_000);
    expect(expiresIn).toBe(600);
  });

  test("refuses an email that is taken, also by two at once, and leaves no organization behind", async () => {
    const email = newEmail();
    const attempts = await Promise.allSettled(
      [1, 2, 3].map(() => register({ email, organizationName: "Twins" })),
    );
    const refused = attempts.filter((attempt) => attempt.status === "rejected");
    expect(refused.map((attempt) => attempt.reason as unknown)).toEqual([
      refusal(409, "EMAIL_TAKEN"),
      refusal(409, "EMAIL_TAKEN"),
    ]);
    const made = await inspect(
      node.databases[0] ?? "",
      "SELECT FROM control.organizations WHERE name = 'Twins'",
    );
    expect(made).toHaveLength(1);
  });

  test.each(["password123", "Asha.Kumar@example.com"])(
    "refuses %s as a password, which is easily guessed",
    async (guess) => {
      await expect(register({ email: "asha.kumar@example.com", password: guess })).rejects.toMatchObject({
        code: 422,
        data: { errors: [{ path: "password", code: "too_common" }] },
      });
    },
  );

  test("stores neither password nor refresh token in clear", async () => {
    const { user, refreshToken } = await register();
    const [row] = await inspect<{ password_hash: string; refresh_hash: string }>(
      node.databases[0] ?? "",
      "SELECT password_hash, refresh_hash FROM control.users u JOIN control.sessions s ON s.user_id = u.id WHERE u.id = $1",
      [user.id],
    );
    expect(row?.password_hash).toMatch(/^\$argon2id\$/);
    expect(row?.refresh_hash).toMatch(/^[0-9a-f]{64}$/);
    expect(refreshToken).not.toContain(row?.refresh_hash);
  });

  test("is refused where registration is closed", async () => {
    const closed = await startTestNode({ SERVICES: "identity", REGISTRATION: "closed" });
    try {
      const attempt = closed.call("identity.register", {
        organizationName: "A",
        name: "B",
        email: newEmail(),
        password,
      });
      await expect(attempt).rejects.toEqual(refusal(403, "REGISTRATION_CLOSED"));
    } finally {
      await closed.stop();
    }
  });
});

describe("signing in", () => {
  test("opens a further session and notes the time, without touching the user's version", async () => {
    const first = await register();
    const second = await node.call("identity.login", {
      email: ` ${first.user.email.toUpperCase()} `,
      password,
      userAgent: "Firefox",
      ip: "192.0.2.7",
    });
    expect(sessionOf(second)).not.toBe(sessionOf(first));
    expect(second.user).toMatchObject({ id: first.user.id, version: 1 });
    expect(Date.parse(second.user.lastLoginAt ?? "")).toBeGreaterThan(
      Date.parse(first.user.lastLoginAt ?? ""),
    );
    const { data } = await node.call("identity.listSessions", {}, metaOf(second));
    expect(data).toEqual([
      expect.objectContaining({
        id: sessionOf(second),
        isCurrent: true,
        userAgent: "Firefox",
        ip: "192.0.2.7",
      }),
      expect.objectContaining({ id: sessionOf(first), isCurrent: false, userAgent: null, ip: null }),
    ]);
  });

  test("answers the same to a wrong password, an unknown email and an inactive user", async () => {
    const admin = await register();
    const leaver = await hire(admin, "viewer");
    await node.call("identity.updateUser", { id: leaver.user.id, isActive: false }, metaOf(admin));
    const attempts = await Promise.allSettled([
      node.call("identity.login", { email: admin.user.email, password: "wrong" }),
      node.call("identity.login", { email: "nobody@example.com", password }),
      login(leaver.user.email),
    ]);
    const answers = attempts.map((attempt) =>
      attempt.status === "rejected" ? String(attempt.reason) : "signed in",
    );
    expect(new Set(answers).size).toBe(1);
    expect(attempts[0]).toMatchObject({ reason: { code: 401, type: "INVALID_CREDENTIALS" } });
  });

  test("by more users than there are connections and places to hash succeeds for all", async () => {
    const { user } = await register();
    const all = await Promise.all(Array.from({ length: 30 }, () => login(user.email)));
    expect(new Set(all.map(sessionOf)).size).toBe(30);
  });

  test("forgets the user's sessions that expired more than a month ago", async () => {
    const { user } = await register();
    const database = node.databases[0] ?? "";
    await inspect(
      database,
      "UPDATE control.sessions SET expires_at = now() - interval '31 days' WHERE user_id = $1",
      [user.id],
    );
    await login(user.email);
    expect(
      await inspect(database, "SELECT FROM control.sessions WHERE user_id = $1", [user.id]),
    ).toHaveLength(1);
  });
});

describe("access tokens", () => {
  test("verify with the published keys and say who signed in", async () => {
    const tokens = new AccessTokens(() => node.call("identity.verificationKeys", {}));
    const signedIn = await register();
    expect(await tokens.verify(signedIn.accessToken)).toMatchObject({
      userId: signedIn.user.id,
      organizationId: signedIn.organization.id,
      role: "admin",
    });
    const [header] = signedIn.accessToken.split(".");
    expect(JSON.parse(Buffer.from(header ?? "", "base64url").toString())).toMatchObject({ alg: "EdDSA" });
  });

  test("of every node are signed with one key, whose private half is stored sealed only", async () => {
    const database = node.databases[0] ?? "";
    await inspect(database, "DELETE FROM control.signing_keys");
    const { default: identityService } = await import("../../services/identity/identity.service.ts");
    const starts = Array.from({ length: 4 }, () => {
      const { started } = identityService(node.runtime);
      return (started as () => Promise<void>)();
    });
    await Promise.all(starts);
    const rows = await inspect<{ public_jwk: object; sealed: string }>(
      database,
      "SELECT public_jwk, encode(sealed_private_jwk, 'escape') AS sealed FROM control.signing_keys",
    );
    expect(rows).toHaveLength(1);
    const { keys } = await node.call("identity.verificationKeys", {});
    expect(keys).toEqual([rows[0]?.public_jwk]);
    expect(keys[0]).toEqual({
      kty: "OKP",
      crv: "Ed25519",
      alg: "EdDSA",
      use: "sig",
      x: expect.any(String),
      kid: expect.any(String),
    });
    expect(rows[0]?.sealed).not.toContain("kty");
  });
});

describe("refreshing", () => {
  test("answers new tokens of the same session, and the old refresh token ends it", async () => {
    const first = await register();
    const second = await node.call("identity.refresh", { refreshToken: first.refreshToken });
    expect(second.user).toEqual(first.user);
    expect(sessionOf(second)).toBe(sessionOf(first));
    expect(second.refreshToken).not.toBe(first.refreshToken);
    const again = node.call("identity.refresh", { refreshToken: first.refreshToken });
    await expect(again).rejects.toEqual(refusal(401, "REFRESH_TOKEN_REUSED"));
    const stolen = node.call("identity.refresh", { refreshToken: second.refreshToken });
    await expect(stolen).rejects.toEqual(refusal(401, "INVALID_REFRESH_TOKEN"));
    await eventually(() => hasEnded(first));
  });

  test("by 50 at once with one token succeeds for exactly one, and the session has ended", async () => {
    const { refreshToken, user } = await register();
    const attempts = await Promise.allSettled(
      Array.from({ length: 50 }, () => node.call("identity.refresh", { refreshToken })),
    );
    const won = attempts.filter((attempt) => attempt.status === "fulfilled");
    expect(won).toHaveLength(1);
    const refused = attempts.filter((attempt) => attempt.status === "rejected");
    const types = refused.map((attempt) => (attempt.reason as { type: string }).type);
    expect(types.filter((type) => type === "REFRESH_TOKEN_REUSED")).toHaveLength(1);
    expect(types.filter((type) => type === "INVALID_REFRESH_TOKEN")).toHaveLength(48);
    const rows = await inspect(
      node.databases[0] ?? "",
      "SELECT revoked_because FROM control.sessions WHERE user_id = $1 AND revoked_at IS NOT NULL",
      [user.id],
    );
    expect(rows).toEqual([{ revoked_because: "reuse" }]);
  });

  test.each([
    ["garbage", () => "garbage"],
    ["a token of no session", () => `0198c0de-0000-7000-8000-000000000001.${"a".repeat(43)}`],
  ])("with %s is refused", async (_case, token) => {
    const attempt = node.call("identity.refresh", { refreshToken: token() });
    await expect(attempt).rejects.toEqual(refusal(401, "INVALID_REFRESH_TOKEN"));
  });

  test("is refused once the session has expired, and extends it by seven days before", async () => {
    const database = node.databases[0] ?? "";
    const expireIn = (seconds: number, id: string) =>
      inspect(
        database,
        "UPDATE control.sessions SET expires_at = now() + $1 * interval '1 second' WHERE id = $2",
        [seconds, id],
      );
    const first = await register();
    await expireIn(60, sessionOf(first));
    const second = await node.call("identity.refresh", { refreshToken: first.refreshToken });
    const { data } = await node.call("identity.listSessions", {}, metaOf(second));
    expect(Date.parse(data[0]?.expiresAt ?? "") - Date.now()).toBeGreaterThan(6.9 * 86_400_000);
    await expireIn(-1, sessionOf(first));
    const late = node.call("identity.refresh", { refreshToken: second.refreshToken });
    await expect(late).rejects.toEqual(refusal(401, "INVALID_REFRESH_TOKEN"));
  });
});

describe("sessions", () => {
  test("end at logout: refresh fails, every node hears of it, and logging out again changes nothing", async () => {
    const signedIn = await register();
    await node.call("identity.logout", {}, metaOf(signedIn));
    await node.call("identity.logout", {}, metaOf(signedIn));
    const { user, organization } = signedIn;
    await eventually(() => hasEnded(signedIn));
    expect(ended.filter(({ userId }) => userId === user.id)).toEqual([
      { sessionId: sessionOf(signedIn), organizationId: organization.id, userId: user.id },
    ]);
    const attempt = node.call("identity.refresh", { refreshToken: signedIn.refreshToken });
    await expect(attempt).rejects.toEqual(refusal(401, "INVALID_REFRESH_TOKEN"));
  });

  test("are ended by their user, not by a colleague or a stranger", async () => {
    const admin = await register();
    const [stranger, colleague] = await Promise.all([register(), hire(admin, "admin")]);
    const other = await login(admin.user.email);
    const id = sessionOf(other);
    for (const outsider of [stranger, colleague]) {
      const attempt = node.call("identity.revokeSession", { id }, metaOf(outsider));
      await expect(attempt).rejects.toEqual(refusal(404, "SESSION_NOT_FOUND"));
    }
    await node.call("identity.revokeSession", { id }, metaOf(admin));
    await eventually(() => hasEnded(other));
    const { data } = await node.call("identity.listSessions", {}, metaOf(admin));
    expect(data.map((session) => session.id)).toEqual([sessionOf(admin)]);
    const again = node.call("identity.revokeSession", { id }, metaOf(admin));
    await expect(again).rejects.toEqual(refusal(404, "SESSION_NOT_FOUND"));
  });

  test("cannot be listed without being a user", async () => {
    await expect(node.call("identity.listSessions", {})).rejects.toEqual(refusal(401, "UNAUTHENTICATED"));
    const { organization } = await register();
    const system = { organizationId: organization.id, role: "system" };
    await expect(node.call("identity.listSessions", {}, system)).rejects.toEqual(
      refusal(401, "UNAUTHENTICATED"),
    );
  });
});

test("a user learns who they are and what they may do", async () => {
  const admin = await register();
  const viewer = await hire(admin, "viewer");
  const { user, organization, permissions } = await node.call("identity.me", {}, metaOf(viewer));
  expect(user).toMatchObject({ id: viewer.user.id, role: "viewer" });
  expect(organization).toEqual(admin.organization);
  expect(permissions).toContain("leads:read");
  expect(permissions).not.toContain("leads:create");
});

describe("users", () => {
  test("are added by admins only, with an email nobody has", async () => {
    const admin = await register();
    const stranger = await register();
    const email = newEmail();
    const newUser = { name: "Ravi", email, role: "manager", password } as const;
    const made = await node.call("identity.createUser", newUser, metaOf(admin));
    expect(made).toMatchObject({
      name: "Ravi",
      email,
      role: "manager",
      isActive: true,
      lastLoginAt: null,
      version: 1,
    });
    expect(await node.call("identity.getUser", { id: made.id }, metaOf(admin))).toEqual(made);
    const manager = await login(email);
    const attempts: [Meta, string, ReturnType<typeof refusal>][] = [
      [metaOf(admin), email, refusal(409, "EMAIL_TAKEN")],
      [metaOf(stranger), email, refusal(409, "EMAIL_TAKEN")],
      [metaOf(manager), newEmail(), refusal(403, "FORBIDDEN")],
    ];
    for (const [meta, address, expected] of attempts) {
      const attempt = node.call("identity.createUser", { ...newUser, email: address }, meta);
      await expect(attempt).rejects.toEqual(expected);
    }
    const guessed = node.call("identity.createUser", { ...newUser, password: "qwertyuiop" }, metaOf(admin));
    await expect(guessed).rejects.toEqual(refusal(422, "VALIDATION_FAILED"));
  });

  test("are listed by pages, filters, fields and count", async () => {
    const admin = await register();
    for (const role of ["viewer", "viewer", "manager"] as const)
      await node.call(
        "identity.createUser",
        { name: role, email: newEmail(), role, password },
        metaOf(admin),
      );
    const first = await node.call("identity.listUsers", { limit: 3, count: "true" }, metaOf(admin));
    expect(first.page).toMatchObject({ hasMore: true, total: 4 });
    expect(first.data[0]).toEqual(admin.user);
    const cursor = first.page.nextCursor ?? "";
    const rest = await node.call("identity.listUsers", { limit: 3, cursor }, metaOf(admin));
    expect(rest).toMatchObject({ data: [{ name: "manager" }], page: { hasMore: false, nextCursor: null } });
    const viewers = await node.call(
      "identity.listUsers",
      { filter: { role: "viewer", isActive: "true" }, fields: "name", sort: "-createdAt" },
      metaOf(admin),
    );
    expect(viewers.data).toEqual([
      { id: expect.any(String), name: "viewer" },
      { id: expect.any(String), name: "viewer" },
    ]);
  });

  test("never appear to another organization", async () => {
    const [ours, theirs] = await Promise.all([register(), register()]);
    const { data } = await node.call("identity.listUsers", {}, metaOf(ours));
    expect(data.map((user) => user.id)).toEqual([ours.user.id]);
    const { id } = theirs.user;
    for (const attempt of [
      node.call("identity.getUser", { id }, metaOf(ours)),
      node.call("identity.updateUser", { id, name: "Mallory" }, metaOf(ours)),
      node.call("identity.updateUser", { id, isActive: false }, metaOf(ours)),
    ])
      await expect(attempt).rejects.toEqual(refusal(404, "USER_NOT_FOUND"));
    expect(await node.call("identity.activeUserIds", { ids: [id, ours.user.id] }, metaOf(ours))).toEqual([
      ours.user.id,
    ]);
    expect(await node.call("identity.getUser", { id }, metaOf(theirs))).toEqual(theirs.user);
  });

  test("change at the version the caller saw, or not at all", async () => {
    const admin = await register();
    const { id } = admin.user;
    const renamed = await node.call(
      "identity.updateUser",
      { id, name: "Usha", expectedVersion: 1 },
      metaOf(admin),
    );
    expect(renamed).toMatchObject({ name: "Usha", role: "admin", version: 2 });
    const late = node.call("identity.updateUser", { id, name: "Isha", expectedVersion: 1 }, metaOf(admin));
    await expect(late).rejects.toMatchObject({ code: 412, data: { version: 2 } });
    expect(await node.call("identity.getUser", { id }, metaOf(admin))).toEqual(renamed);
    expect(hasEnded(admin)).toBe(false);
  });

  test.each([
    ["deactivated", { isActive: false }],
    ["given another role", { role: "viewer" }],
  ] as const)("that are %s lose their sessions", async (_case, change) => {
    const admin = await register();
    const colleague = await hire(admin, "manager");
    const { id } = colleague.user;
    const changed = await node.call("identity.updateUser", { id, ...change }, metaOf(admin));
    expect(changed).toMatchObject({ ...change, version: 2 });
    await eventually(() => hasEnded(colleague));
    const attempt = node.call("identity.refresh", { refreshToken: colleague.refreshToken });
    await expect(attempt).rejects.toEqual(refusal(401, "INVALID_REFRESH_TOKEN"));
  });

  test("that are inactive are not active user ids, until they are active again", async () => {
    const admin = await register();
    const { user } = await hire(admin, "viewer");
    const ids = [user.id];
    expect(await node.call("identity.activeUserIds", { ids }, metaOf(admin))).toEqual(ids);
    await node.call("identity.updateUser", { id: user.id, isActive: false }, metaOf(admin));
    expect(await node.call("identity.activeUserIds", { ids }, metaOf(admin))).toEqual([]);
    await node.call("identity.updateUser", { id: user.id, isActive: true }, metaOf(admin));
    expect(await login(user.email)).toMatchObject({ user: { id: user.id } });
  });
});

describe("the last active admin", () => {
  test.each([{ isActive: false }, { role: "manager" }] as const)(
    "cannot be changed by %j",
    async (change) => {
      const admin = await register();
      await hire(admin, "manager");
      const attempt = node.call("identity.updateUser", { id: admin.user.id, ...change }, metaOf(admin));
      await expect(attempt).rejects.toEqual(refusal(409, "LAST_ADMIN"));
    },
  );

  test("remains when all admins step down or demote each other at once", async () => {
    const admin = await register();
    const admins = [admin, ...(await Promise.all([1, 2, 3].map(() => hire(admin, "admin"))))];
    const attempts = await Promise.allSettled(
      admins.flatMap((one, index) => [
        node.call("identity.updateUser", { id: one.user.id, role: "viewer" }, metaOf(one)),
        node.call(
          "identity.updateUser",
          { id: admins[(index + 1) % 4]?.user.id ?? "", isActive: false },
          metaOf(one),
        ),
      ]),
    );
    const refused = attempts.filter((attempt) => attempt.status === "rejected");
    for (const attempt of refused) expect(attempt.reason).toEqual(refusal(409, "LAST_ADMIN"));
    const left = await inspect(
      node.databases[0] ?? "",
      "SELECT FROM control.users WHERE organization_id = $1 AND role = 'admin' AND is_active",
      [admin.organization.id],
    );
    expect(left).toHaveLength(1);
  });
});

describe("the organization", () => {
  test("is read by all its users and renamed by its admins at the version they saw", async () => {
    const admin = await register();
    const viewer = await hire(admin, "viewer");
    expect(await node.call("identity.getOrganization", {}, metaOf(viewer))).toEqual(admin.organization);
    const refused = node.call("identity.updateOrganization", { name: "Mine" }, metaOf(viewer));
    await expect(refused).rejects.toEqual(refusal(403, "FORBIDDEN"));
    const renamed = await node.call(
      "identity.updateOrganization",
      { name: "Acme 2", expectedVersion: 1 },
      metaOf(admin),
    );
    expect(renamed).toMatchObject({ id: admin.organization.id, name: "Acme 2", version: 2 });
    const late = node.call(
      "identity.updateOrganization",
      { name: "Acme 3", expectedVersion: 1 },
      metaOf(admin),
    );
    await expect(late).rejects.toEqual(refusal(412, "VERSION_MISMATCH"));
  });
});
