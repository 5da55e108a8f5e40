import { beforeAll, describe, expect, test } from "@jest/globals";
import { AccessTokens } from "../../mixins/access/access-token.ts";
import type { SignedIn } from "../../services/identity/identity.contract.ts";
import { inspect } from "../support/database.ts";
import {
  ended,
  hasEnded,
  hire,
  login,
  metaOf,
  newEmail,
  node,
  password,
  refusal,
  register,
  sessionOf,
  useIdentity,
} from "../support/identity.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode } from "../support/node.ts";

useIdentity();

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

  test("takes an email that others have, also of several at once: nobody has proved yet whose it is", async () => {
    const email = newEmail();
    const made = await Promise.all([1, 2, 3].map(() => register({ email, organizationName: "Twins" })));
    expect(new Set(made.map(({ organization }) => organization.id)).size).toBe(3);
    for (const { user } of made) expect(user).toMatchObject({ email, emailVerifiedAt: null });
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
    // a node of its own: others sign with the key that is taken away
    const own = await startTestNode({ SERVICES: "identity" });
    const database = own.databases[0] ?? "";
    await inspect(database, "DELETE FROM control.signing_keys");
    const { default: identityService } = await import("../../services/identity/identity.service.ts");
    const starts = Array.from({ length: 4 }, () => {
      const { started } = identityService(own.runtime);
      return (started as () => Promise<void>)();
    });
    await Promise.all(starts);
    const rows = await inspect<{ public_jwk: object; sealed: string }>(
      database,
      "SELECT public_jwk, encode(sealed_private_jwk, 'escape') AS sealed FROM control.signing_keys",
    );
    expect(rows).toHaveLength(1);
    const { keys } = await own.call("identity.verificationKeys", {});
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
    await own.stop();
  });
});

describe("refreshing", () => {
  let living: SignedIn;
  beforeAll(async () => {
    living = await register();
  });

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
    ["an invented secret of a session that lives", () => `${sessionOf(living)}.${"a".repeat(43)}`],
    ["a token of no session", () => `0198c0de-0000-7000-8000-000000000001.${"a".repeat(43)}`],
  ])("with %s is refused", async (_case, token) => {
    const attempt = node.call("identity.refresh", { refreshToken: token() });
    await expect(attempt).rejects.toEqual(refusal(401, "INVALID_REFRESH_TOKEN"));
    living = await node.call("identity.refresh", { refreshToken: living.refreshToken });
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
      {
        id: expect.any(String),
        ...{ sessionId: sessionOf(signedIn), organizationId: organization.id, userId: user.id },
      },
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
